import { setTimeout as wait } from 'node:timers/promises';
import type { ClientSession, MongoClient } from 'mongodb';
import { MongoError, WriteConcern } from 'mongodb';
import type { BedsError } from '@beds/sdk';
import { settlesWithin } from '#sdk/time';
import { storeErrors } from '../../errors/store.js';
import type { AdapterScope } from '../contract.js';
import type { Deadline } from '../deadlines.js';
import { serverMs } from './client.js';
import { toStoreError } from './store-error.js';

/** n.b. a transaction that cannot be rolled back in time is ended by the server, transactionLifetimeLimitSeconds later. */
const ROLLBACK_TIMEOUT_MS = 2_000;
const COMMIT_AGAIN_MS = 50;
/** Inside a transaction nothing is kept before the commit: a lost connection leaves no doubt. */
const UNCOMMITTED = { write: false, many: false };
/** n.b. of a commit that too few servers have confirmed the driver does not say that its outcome is unknown where asking again is no help. */
const COMMITTING = { write: true, many: false };

export interface TransactionOptions<T> {
  readonly client: MongoClient;
  readonly deadline: Deadline;
  /** Makes the operations of the scope run in the session. */
  readonly scopeOf: (session: ClientSession) => AdapterScope;
  readonly work: (scope: AdapterScope) => Promise<T>;
  /** Told just before the commit: from then on a failure leaves the outcome open. */
  readonly onCommit: () => void;
}

/**
 * Commits what `work` did through the scope, or nothing of it.
 * https://www.mongodb.com/docs/manual/core/transactions-in-applications/
 */
export async function runTransaction<T>(options: TransactionOptions<T>): Promise<T> {
  const { client, deadline, scopeOf, work, onCommit } = options;
  const session = client.startSession();
  try {
    session.startTransaction({
      readConcern: { level: 'snapshot' },
      writeConcern: client.writeConcern ?? new WriteConcern('majority'),
      readPreference: 'primary',
      maxCommitTimeMS: serverMs(deadline),
    });
    const queue = new ScopeQueue(scopeOf(session));
    try {
      const result = await deadline.race(work(queue));
      await deadline.race(queue.finish());
      deadline.remainingMs();
      onCommit();
      await commit(session, deadline);
      return result;
    } finally {
      await rollBack(session, queue);
    }
  } finally {
    // n.b. this too ends a transaction that is still open.
    await settlesWithin(session.endSession(), ROLLBACK_TIMEOUT_MS);
  }
}

/** A session takes one operation at a time, and any failed one spoils the transaction. */
class ScopeQueue implements AdapterScope {
  readonly #scope: AdapterScope;
  #tail: Promise<unknown> = Promise.resolve();
  #failure: BedsError | undefined;
  #over = false;

  constructor(scope: AdapterScope) {
    this.#scope = scope;
  }

  readonly call: AdapterScope['call'] = (object, args) => this.#next(() => this.#scope.call(object, args));

  readonly view: AdapterScope['view'] = (object, query) => this.#next(() => this.#scope.view(object, query));

  /** Refuses further operations and waits for those that run. Rejects if one failed, even if the work ignored it. */
  async finish(): Promise<void> {
    this.#over = true;
    await this.#tail;
    if (this.#failure !== undefined) throw this.#failure;
  }

  #next<R>(operation: () => Promise<R>): Promise<R> {
    const run = async (): Promise<R> => {
      if (this.#failure !== undefined) throw this.#failure;
      return operation();
    };
    if (this.#over) return Promise.reject(storeErrors.make('BEDS_STORE_CLOSED', 'The transaction is over.'));
    const result = this.#tail.then(run);
    this.#tail = result.catch((error: unknown) => {
      this.#failure ??= toStoreError(error, UNCOMMITTED);
    });
    return result;
  }
}

async function commit(session: ClientSession, deadline: Deadline): Promise<void> {
  for (let isRepeated = false; ; isRepeated = true) {
    try {
      await deadline.race(session.commitTransaction());
      return;
    } catch (error) {
      const says = (label: string): boolean => error instanceof MongoError && error.hasErrorLabel(label);
      if (deadline.reason !== undefined) throw storeErrors.make('BEDS_STORE_INDETERMINATE');
      // Committing twice is safe: the server knows the transaction by its number.
      if (!says('UnknownTransactionCommitResult')) {
        // n.b. of the commit before it such an answer says nothing, but where the server knows of no transaction any more.
        const isOpen = isRepeated && !says('TransientTransactionError');
        throw isOpen ? storeErrors.make('BEDS_STORE_INDETERMINATE') : toStoreError(error, COMMITTING);
      }
      await wait(COMMIT_AGAIN_MS);
    }
  }
}

async function rollBack(session: ClientSession, queue: ScopeQueue): Promise<void> {
  if (!session.inTransaction()) return;
  await settlesWithin(queue.finish(), ROLLBACK_TIMEOUT_MS);
  await settlesWithin(session.abortTransaction(), ROLLBACK_TIMEOUT_MS);
}
