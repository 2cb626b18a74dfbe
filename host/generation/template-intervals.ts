/**
 * The intervals that one loaded bundle started. A forgotten one would keep its version in memory, and at work, for ever: the
 * host ends them when the version has ended.
 */
export class TemplateIntervals {
  readonly #running = new Set<NodeJS.Timeout>();
  #isEnded = false;

  readonly set = (work: (...args: unknown[]) => void, ms?: number, ...args: unknown[]): NodeJS.Timeout => {
    const timer = setInterval(work, ms, ...args).unref();
    if (this.#isEnded) clearInterval(timer);
    else this.#running.add(timer);
    return timer;
  };

  readonly clear = (timer: NodeJS.Timeout | undefined): void => {
    clearInterval(timer);
    if (timer !== undefined) this.#running.delete(timer);
  };

  end(): void {
    this.#isEnded = true;
    for (const timer of this.#running) clearInterval(timer);
    this.#running.clear();
  }
}
