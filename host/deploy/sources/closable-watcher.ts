import { FSWatcher } from 'chokidar';

/**
 * chokidar's watcher, but closed for good. n.b. its own, when files vanish around `close()`, finishes handling that
 * afterwards and calls `add()` to wait for their return, which opens it again: the process would never end by itself.
 */
export class ClosableWatcher extends FSWatcher {
  #isClosed = false;

  override add(...args: Parameters<FSWatcher['add']>): this {
    if (!this.#isClosed) super.add(...args);
    return this;
  }

  override close(): Promise<void> {
    this.#isClosed = true;
    return super.close();
  }
}
