import { settlesWithin } from '#sdk/time';
import { query } from './driver.js';
import type { Connect, DriverConnection } from './driver.js';

const KILL_TIMEOUT_MS = 2_000;
const IDLE_MS = 10_000;

/**
 * Stops statements in the server. It has a connection of its own, outside the pool, opened when first needed, because
 * the pool may be full of the very statements that are to be stopped. A user may kill its own threads, but not while they
 * run a routine with its definer's rights: those end by the session's own bound.
 */
export class Killer {
  readonly #connect: Connect;
  #connection: DriverConnection | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(connect: Connect) {
    this.#connect = connect;
  }

  /** Resolves when the server has been told, or after 2 s. Never rejects: the client gives up on the statement anyway. */
  async stop(threadId: number): Promise<void> {
    const connection = (this.#connection ??= this.#open());
    clearTimeout(this.#idle);
    // n.b. KILL takes no placeholder; the number is the server's own, from its greeting.
    const told = query(connection, `KILL QUERY ${Math.trunc(threadId)}`);
    if (!(await settlesWithin(told, KILL_TIMEOUT_MS))) this.#forget(connection);
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#forget(connection), IDLE_MS);
    this.#idle.unref();
  }

  close(): void {
    clearTimeout(this.#idle);
    if (this.#connection !== undefined) this.#forget(this.#connection);
  }

  #open(): DriverConnection {
    const connection = this.#connect();
    const forget = (): void => this.#forget(connection);
    connection.on('error', forget);
    connection.on('end', forget);
    return connection;
  }

  #forget(connection: DriverConnection): void {
    if (this.#connection === connection) this.#connection = undefined;
    connection.destroy();
    connection.stream.destroy();
  }
}
