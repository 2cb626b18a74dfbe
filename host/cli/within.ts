/** Settles as `work` does, or as `late` says when the time is over. */
export async function within<T, L>(timeoutMs: number, work: Promise<T>, late: () => L): Promise<T | L> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<L>((resolve, reject) => {
    timer = setTimeout(() => {
      try {
        resolve(late());
      } catch (error) {
        reject(error as Error);
      }
    }, timeoutMs);
  });
  // What nobody waits for any more may fail as it likes.
  work.catch(() => undefined);
  return Promise.race([work, over]).finally(() => {
    clearTimeout(timer);
  });
}
