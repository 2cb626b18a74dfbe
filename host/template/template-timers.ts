import * as promised from 'node:timers/promises';
import type { TimerOptions } from 'node:timers';
import { promisify } from 'node:util';

/** What a version still held when its last request was done and its `teardown` had run: what its author forgot to end. */
export interface Leftovers {
  /** Timers that had not fired, and waits of node:timers/promises. */
  readonly timers: number;
  readonly intervals: number;
  /** setImmediate calls that had not run: a loop of them never ends by itself. */
  readonly immediates: number;
}

export const NO_LEFTOVERS: Leftovers = Object.freeze({ timers: 0, intervals: 0, immediates: 0 });

export function addLeftovers(a: Leftovers, b: Leftovers): Leftovers {
  return {
    timers: a.timers + b.timers,
    intervals: a.intervals + b.intervals,
    immediates: a.immediates + b.immediates,
  };
}

export function isNothing({ timers, intervals, immediates }: Leftovers): boolean {
  return timers + intervals + immediates === 0;
}

/** `2 intervals, 1 timer`; empty where nothing was left. */
export function describeLeftovers(left: Leftovers): string {
  const words = { intervals: 'interval', timers: 'timer', immediates: 'immediate' } as const;
  return (['intervals', 'timers', 'immediates'] as const)
    .filter((kind) => left[kind] > 0)
    .map((kind) => `${String(left[kind])} ${words[kind]}${left[kind] === 1 ? '' : 's'}`)
    .join(', ');
}

type Work = (...args: unknown[]) => void;

interface Held {
  /** Undefined: nobody could have ended it, so it is no one's fault that it is there. */
  readonly kind: keyof Leftovers | undefined;
  readonly stop: () => void;
}

/** What a template holds of a timer: all that Node's own can do. */
interface TemplateTimer {
  ref(): TemplateTimer;
  unref(): TemplateTimer;
  hasRef(): boolean;
  refresh(): TemplateTimer;
  close(): TemplateTimer;
  [Symbol.toPrimitive](): number;
  [Symbol.dispose](): void;
}

/**
 * The timers of one loaded bundle. n.b. stray-faults.ts knows `templateTimer` in a stack by its name: threads run from a bundle, whose
 * frames name no file of ours. A forgotten one would keep its version in memory, and at work, for ever: the host counts
 * and ends them when the version has ended. None of them keeps a thread from ending.
 */
export class TemplateTimers {
  readonly #held = new Map<object, Held>();
  readonly #onEnter: () => void;
  #isEnded = false;

  /** `onEnter` is called before code of the bundle goes on after a timer. */
  constructor(onEnter: () => void = () => undefined) {
    this.#onEnter = onEnter;
  }

  readonly setTimeout = Object.assign(
    (work: Work, ms?: number, ...args: unknown[]): TemplateTimer => {
      requireFunction(work);
      const templateTimer = (): void => {
        this.#held.delete(handle);
        this.#onEnter();
        Reflect.apply(work, handle, args);
      };
      const timer = setTimeout(templateTimer, ms).unref();
      const handle = this.#watchTimer('timers', timer);
      return handle;
    },
    { [promisify.custom]: (ms?: number, value?: unknown, options?: TimerOptions) => this.#sleep(ms, value, options) },
  );

  readonly setInterval = (work: Work, ms?: number, ...args: unknown[]): TemplateTimer => {
    requireFunction(work);
    const templateTimer = (): void => {
      this.#onEnter();
      Reflect.apply(work, handle, args);
    };
    const timer = setInterval(templateTimer, ms).unref();
    const handle = this.#watchTimer('intervals', timer);
    return handle;
  };

  readonly setImmediate = Object.assign(
    (work: Work, ...args: unknown[]): object => {
      requireFunction(work);
      const templateTimer = (): void => {
        this.#held.delete(handle);
        this.#onEnter();
        work(...args);
      };
      const immediate = setImmediate(templateTimer);
      const handle = {
        ref: () => handle,
        unref: () => handle,
        hasRef: () => immediate.hasRef(),
        [Symbol.dispose]: () => this.clear(handle),
      };
      this.#hold(handle, { kind: 'immediates', stop: () => clearImmediate(immediate) });
      return handle;
    },
    { [promisify.custom]: (value?: unknown, options?: TimerOptions) => this.#nextTurn(value, options) },
  );

  /** Serves as clearTimeout, clearInterval and clearImmediate; what is not held has ended already. */
  readonly clear = (handle: unknown): void => {
    const isName = typeof handle === 'number' || typeof handle === 'string';
    const key = isName ? this.#named(Number(handle)) : (handle as object);
    this.#held.get(key)?.stop();
    this.#held.delete(key);
  };

  /** What `node:timers/promises` is to the bundle. */
  readonly promises: typeof promised = Object.freeze({
    setTimeout: <T>(ms?: number, value?: T, options?: TimerOptions) => this.#sleep(ms, value, options),
    setImmediate: <T>(value?: T, options?: TimerOptions) => this.#nextTurn(value, options),
    setInterval: <T>(ms?: number, value?: T, options?: TimerOptions) => this.#ticks(ms, value, options),
    scheduler: Object.freeze({
      wait: (ms?: number, options?: TimerOptions) => this.#sleep(ms, undefined, options),
      yield: () => this.#nextTurn(undefined),
    }),
  });

  /** AbortSignal.timeout: it cannot be cancelled, and what listens to it would be kept until its time has come. */
  readonly abortAfter = (ms: number): AbortSignal => {
    const controller = new AbortController();
    const timer = setTimeout(() => {
      this.#held.delete(timer);
      controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
    }, ms).unref();
    this.#hold(timer, { kind: undefined, stop: () => clearTimeout(timer) });
    return controller.signal;
  };

  /** Stops everything; what is started afterwards never runs. Code that waits here waits for ever, and is reclaimed. */
  end(): Leftovers {
    this.#isEnded = true;
    const left = { timers: 0, intervals: 0, immediates: 0 };
    for (const { kind, stop } of this.#held.values()) {
      if (kind !== undefined) left[kind] += 1;
      stop();
    }
    this.#held.clear();
    return left;
  }

  #hold(key: object, held: Held): void {
    if (this.#isEnded) held.stop();
    else this.#held.set(key, held);
  }

  /** n.b. Node's own object is linked with the timers of everybody else. */
  #watchTimer(kind: keyof Leftovers, timer: NodeJS.Timeout): TemplateTimer {
    const held: Held = { kind, stop: () => clearTimeout(timer) };
    const clear = (): TemplateTimer => {
      this.clear(handle);
      return handle;
    };
    const handle: TemplateTimer = {
      ref: () => (timer.ref(), handle),
      unref: () => (timer.unref(), handle),
      hasRef: () => timer.hasRef(),
      refresh: () => {
        timer.refresh();
        // It may have fired before: then it is held again.
        this.#hold(handle, held);
        return handle;
      },
      close: clear,
      [Symbol.toPrimitive]: () => timer[Symbol.toPrimitive](),
      [Symbol.dispose]: clear,
    };
    this.#hold(handle, held);
    return handle;
  }

  /** Node lets timers be named by a number. */
  #named(id: number): object {
    for (const key of this.#held.keys()) {
      if (Symbol.toPrimitive in key && Number(key) === id) return key;
    }
    return this;
  }

  #sleep<T>(ms?: number, value?: T, options?: TimerOptions): Promise<T> {
    return this.#waiting('timers', options, (bounded) => promised.setTimeout(ms, value as T, bounded));
  }

  #nextTurn<T>(value?: T, options?: TimerOptions): Promise<T> {
    return this.#waiting('immediates', options, (bounded) => promised.setImmediate(value as T, bounded));
  }

  async #waiting<T>(
    kind: keyof Leftovers,
    options: TimerOptions | undefined,
    begin: (bounded: TimerOptions) => Promise<T>,
  ): Promise<T> {
    const { bounded, release } = this.#stoppable(kind, options);
    try {
      return await begin(bounded);
    } catch (error) {
      if (this.#isEnded) return await forEver();
      throw error;
    } finally {
      release();
      this.#onEnter();
    }
  }

  async *#ticks<T>(ms?: number, value?: T, options?: TimerOptions): AsyncGenerator<T> {
    const { bounded, release } = this.#stoppable('intervals', options);
    try {
      for await (const tick of promised.setInterval(ms, value, bounded)) {
        this.#onEnter();
        yield tick;
      }
    } catch (error) {
      if (this.#isEnded) await forEver();
      throw error;
    } finally {
      release();
    }
  }

  /** n.b. AbortSignal.any would do, but leaks on some versions of Node 20. */
  #stoppable(kind: keyof Leftovers, options: TimerOptions = {}): { bounded: TimerOptions; release: () => void } {
    const { signal } = options;
    const own = new AbortController();
    // What is no signal is Node's to complain about.
    if (signal !== undefined && !(signal instanceof AbortSignal)) return { bounded: options, release: () => undefined };
    const pass = (): void => own.abort(signal?.reason);
    if (signal?.aborted === true) pass();
    signal?.addEventListener('abort', pass, { once: true });
    this.#hold(own, { kind, stop: () => own.abort() });
    const release = (): void => {
      this.#held.delete(own);
      signal?.removeEventListener('abort', pass);
    };
    return { bounded: { ...options, ref: false, signal: own.signal }, release };
  }
}

/** An error instead would make a loop that goes on after errors run without end. */
function forEver(): Promise<never> {
  return new Promise<never>(() => undefined);
}

/** n.b. Node finds it out at once, not when the time has come. */
function requireFunction(work: unknown): void {
  if (typeof work !== 'function') setTimeout(work as Work);
}
