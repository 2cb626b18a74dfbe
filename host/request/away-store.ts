import type { BedsError } from '@beds/sdk';
import { backoffMs } from '#sdk/time';
import type { StoreAdapter } from '../stores/contract.js';
import { publishWrites } from '../observe/channels.js';
import type { WaitingWrite } from './asked.js';

/** What is over sooner than this is not worth a line in the log, and may come many times a second. */
const SAY_AFTER_MS = 500;
/** Waits between two attempts to reach the store. */
const RETRY = { minMs: 100, maxMs: 2_000 } as const;

export interface AwayStoreOptions {
  readonly adapter: StoreAdapter;
  /** Runs a write; `ended` or `failed` is told what came of it. */
  readonly run: (write: WaitingWrite) => void;
  /** Before each attempt to reach the store. */
  readonly onAttempt: () => void;
  /** The store is back, and nothing waits any more. */
  readonly onBack: () => void;
}

/**
 * A store that is away, and the writes that wait for it in the order of their arrival. When it can be reached one of them tries
 * whether it takes writes; then they go on, more at once with each that ends well, up to as many as there are connections.
 */
export class AwayStore {
  readonly #options: AwayStoreOptions;
  readonly #line: WaitingWrite[] = [];
  /** Operations whose writes wait, as they are routed. */
  readonly #operations = new Set<string>();
  /** Domains whose writes wait, and what the store said of the first. */
  readonly #domains = new Map<string, BedsError>();
  #isSaid = false;
  readonly #sayTimer: NodeJS.Timeout;
  /** Writes that may run at once; 0 while the store is away. */
  #room = 0;
  #running = 0;
  #attempt = 0;
  /** Trials that found the store there and the write refused: the next one is another's. */
  #misses = 0;
  #timer: NodeJS.Timeout | undefined;
  #isProbing = false;
  #failure: BedsError | undefined;

  constructor(options: AwayStoreOptions) {
    this.#options = options;
    this.#sayTimer = setTimeout(() => {
      this.#isSaid = true;
      for (const [domain, failure] of this.#domains) this.#publish('waiting', domain, failure);
    }, SAY_AFTER_MS).unref();
  }

  get store(): string {
    return this.#options.adapter.store;
  }

  get line(): readonly WaitingWrite[] {
    return this.#line;
  }

  /** Why the next write of the operation waits as well; undefined where it need not. */
  holds(routingKey: string): BedsError | undefined {
    return this.#operations.has(routingKey) ? this.#failure : undefined;
  }

  /** One that met the store away, or comes behind those that did. */
  add(write: WaitingWrite): void {
    write.store = this.store;
    this.#failure = write.failure;
    this.#insert(write);
    const { delivery, request } = write.asked;
    this.#operations.add(delivery.routingKey);
    if (!this.#domains.has(request.domain)) {
      this.#domains.set(request.domain, write.failure);
      if (this.#isSaid) this.#publish('waiting', request.domain, write.failure);
    }
    if (this.#room === 0) this.#probeLater();
    else this.#pump();
  }

  /** One that ran met the store away again. */
  failed(write: WaitingWrite): void {
    this.#running -= 1;
    if (this.#room > 0) this.#misses += 1;
    this.#room = 0;
    this.add(write);
  }

  /** One that ran is done; `isWell`: and the store did its part. */
  ended(isWell: boolean): void {
    this.#running -= 1;
    if (isWell && this.#room > 0) {
      this.#misses = 0;
      this.#attempt = 0;
      this.#room = Math.min(this.#room + 1, this.#options.adapter.status().connections.most);
    }
    this.#pump();
  }

  /** One that waits no longer. */
  remove(write: WaitingWrite): void {
    const at = this.#line.indexOf(write);
    if (at >= 0) this.#line.splice(at, 1);
  }

  #insert(write: WaitingWrite): void {
    const behind = this.#line.findLastIndex(({ order }) => order < write.order);
    this.#line.splice(behind + 1, 0, write);
  }

  #probeLater(): void {
    if (this.#timer !== undefined || this.#isProbing) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#probe();
      },
      backoffMs(this.#attempt, RETRY),
    ).unref();
    this.#attempt += 1;
  }

  /** Why it failed is in the adapter's status. */
  #probe(): void {
    this.#options.onAttempt();
    this.#isProbing = true;
    this.#options.adapter.open().then(
      () => {
        this.#isProbing = false;
        this.#room = 1;
        this.#pump();
      },
      () => {
        this.#isProbing = false;
        this.#probeLater();
      },
    );
  }

  #pump(): void {
    while (this.#room > this.#running) {
      // n.b. one that the store always refuses must not keep the others waiting for ever.
      const at = this.#running === 0 && this.#room === 1 ? this.#misses % Math.max(1, this.#line.length) : 0;
      const [write] = this.#line.splice(at, 1);
      if (write === undefined) break;
      this.#running += 1;
      this.#options.run(write);
    }
    if (this.#line.length === 0 && this.#running === 0 && this.#room > 0) this.#back();
  }

  #back(): void {
    clearTimeout(this.#sayTimer);
    if (this.#isSaid) for (const [domain, failure] of this.#domains) this.#publish('going-on', domain, failure);
    this.#options.onBack();
  }

  #publish(event: 'waiting' | 'going-on', domain: string, { code, message }: BedsError): void {
    publishWrites({ event, domain, store: this.store, code, error: message });
  }
}
