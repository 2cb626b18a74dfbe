import { isBedsError } from '../template/errors.js';
import { clientErrors } from './client-errors.js';

/** What a sign-in gives; what an application keeps of it to go on later. */
export interface SessionTokens {
  readonly token: string;
  /** Gives the next pair. Without it the session ends with its token. */
  readonly refresh?: string | undefined;
}

export interface SessionOptions {
  /** Told of each new pair, for who keeps them. The pair before is no longer good. */
  readonly onRefreshed?: (tokens: SessionTokens) => void;
}

/** Asks for the next pair of tokens. */
export type Refresh = (refresh: string) => Promise<SessionTokens>;

/** Who is signed in, for as long as the session lasts: the client takes the next token by itself when one has ended. */
export class Session {
  readonly #onRefreshed: (tokens: SessionTokens) => void;
  #tokens: SessionTokens;
  #refreshing: Promise<void> | undefined;

  constructor(tokens: SessionTokens, { onRefreshed = () => undefined }: SessionOptions = {}) {
    this.#tokens = tokens;
    this.#onRefreshed = onRefreshed;
  }

  /** The pair that is good now. */
  get tokens(): SessionTokens {
    return this.#tokens;
  }

  /** n.b. tokens are for the wire: nobody means to print them. */
  toJSON(): object {
    return {};
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return 'Session {}';
  }

  /**
   * Takes the next pair after `token` was refused. Calls that were refused at once take it once. Rejects with
   * BEDS_CLIENT_SESSION_ENDED where there is none, and with what kept it from being asked for.
   */
  refreshAfter(token: string, refresh: Refresh): Promise<void> {
    if (token !== this.#tokens.token) return Promise.resolve();
    this.#refreshing ??= this.#next(refresh).finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #next(refresh: Refresh): Promise<void> {
    const { refresh: current } = this.#tokens;
    if (current === undefined) throw clientErrors.make('BEDS_CLIENT_SESSION_ENDED');
    try {
      const { token, refresh: next } = await refresh(current);
      this.#tokens = { token, refresh: next };
    } catch (cause) {
      const isRefused = isBedsError(cause) && (cause.status === 'forbidden' || cause.status === 'invalid');
      if (isRefused) throw clientErrors.make('BEDS_CLIENT_SESSION_ENDED', undefined, { cause });
      throw cause;
    }
    this.#onRefreshed(this.#tokens);
  }
}

/** Of an answer of the domain `sessions`. */
export function tokensOf(answer: unknown): SessionTokens {
  const { token, refresh } = (answer ?? {}) as Partial<SessionTokens>;
  if (typeof token === 'string' && typeof refresh === 'string') return { token, refresh };
  throw clientErrors.make('BEDS_CLIENT_SESSION_ENDED', 'The domain sessions answered with what is no session.');
}
