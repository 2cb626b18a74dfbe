/** Settles as `work` does, or, when the time is over, as `late` does: it gives a value or throws. */
export async function within<T, L>(timeoutMs: number, work: Promise<T>, late: () => L): Promise<T | L> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  }).then(late);
  // What nobody waits for any more may fail as it likes.
  for (const each of [work, over]) each.catch(() => undefined);
  return Promise.race([work, over]).finally(() => {
    clearTimeout(timer);
  });
}
