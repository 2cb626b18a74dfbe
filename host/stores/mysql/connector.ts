import { withTimeout } from '#sdk/time';
import { storeErrors } from '../../errors/store.js';
import type { Connect, DriverConnection } from './driver.js';
import type { ResultBounds } from './result-meter.js';
import { profileServer } from './server-profile.js';
import type { ServerProfile } from './server-profile.js';
import { Session } from './session.js';
import { toStoreError } from './store-error.js';

type ConnectorConfig = ResultBounds & { readonly connectTimeoutMs: number };

/** Opens sessions, and remembers what the server can do and whether it could be reached. */
export class Connector {
  readonly #connect: Connect;
  readonly #config: ConnectorConfig;
  #profile: ServerProfile | undefined;
  #lastError: string | undefined;

  constructor(connect: Connect, config: ConnectorConfig) {
    this.#connect = connect;
    this.#config = config;
  }

  get profile(): ServerProfile | undefined {
    return this.#profile;
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  /** Bounded by `connectTimeoutMs`, the finding out of the server's capabilities included. */
  async open(): Promise<Session> {
    const connection = this.#connect();
    // mysql2 throws what nobody listens to; the session's owner learns of a loss by its own listener.
    connection.on('error', () => undefined);
    try {
      const session = await withTimeout(this.#greet(connection), this.#config.connectTimeoutMs, () =>
        storeErrors.make('BEDS_STORE_UNAVAILABLE'),
      );
      this.#lastError = undefined;
      return session;
    } catch (error) {
      connection.destroy();
      connection.stream.destroy();
      const failure = 'verdict' in (error as object) ? (error as Error & { code: string }) : toStoreError(error);
      this.#lastError = failure.code;
      throw failure;
    }
  }

  async #greet(connection: DriverConnection): Promise<Session> {
    await new Promise<void>((resolve, reject) => {
      connection.once('connect', resolve);
      connection.once('error', reject);
    });
    this.#profile ??= await profileServer(connection);
    return new Session(connection, this.#profile, this.#config);
  }
}
