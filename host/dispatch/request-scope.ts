import { requestErrors } from '../errors/request.js';

/** Who asks and until when; shared by a request and the calls it makes into other domains. */
export class RequestScope {
  readonly requestId: string;
  readonly client: string | undefined;
  readonly session: string | undefined;
  readonly idempotencyKey: string | undefined;
  /** In terms of performance.now(). */
  readonly expiresAtMs: number;
  #aborter: AbortController | undefined;
  #expired = false;

  constructor(request: {
    readonly requestId: string;
    readonly client?: string | undefined;
    readonly session?: string | undefined;
    readonly idempotencyKey?: string | undefined;
    readonly expiresAtMs: number;
  }) {
    this.requestId = request.requestId;
    this.client = request.client;
    this.session = request.session;
    this.idempotencyKey = request.idempotencyKey;
    this.expiresAtMs = request.expiresAtMs;
  }

  get remainingMs(): number {
    return this.expiresAtMs - performance.now();
  }

  /** Made on demand: most requests never look at it, and a controller costs more than the rest of the context. */
  get signal(): AbortSignal {
    this.#aborter ??= new AbortController();
    if (this.#expired) this.#aborter.abort(requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED'));
    return this.#aborter.signal;
  }

  /** Milliseconds left; throws BEDS_REQUEST_DEADLINE_EXCEEDED when there are none. */
  requireTime(): number {
    const remainingMs = this.remainingMs;
    if (this.#expired || remainingMs <= 0) throw requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED');
    return remainingMs;
  }

  expire(): void {
    this.#expired = true;
    this.#aborter?.abort(requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED'));
  }
}
