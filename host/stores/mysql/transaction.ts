import { isBedsError } from '@beds/sdk';
import type { CallResult, JsonObject, Page } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { AdapterScope, KeyedQuery, NamedObject } from '../contract.js';
import type { Deadline } from '../deadline.js';
import type { Session } from './session.js';
import { toStoreError } from './store-error.js';
import { callWork, sendInside, viewWork } from './work.js';
import type { Progress, Work } from './work.js';

/**
 * The calls of one transaction. They take turns on its connection. After the server has failed one of them nothing more
 * is done and the transaction cannot commit, even if the work goes on: a lock wait that timed out, for one, has undone
 * its own statement only.
 */
class TransactionCalls implements AdapterScope {
  readonly #session: Session;
  readonly #deadline: Deadline;
  readonly #running = new Set<Promise<unknown>>();
  #failure: Error | undefined;
  #over = false;

  constructor(session: Session, deadline: Deadline) {
    this.#session = session;
    this.#deadline = deadline;
  }

  call(object: NamedObject, args: JsonObject): Promise<CallResult> {
    return this.#run(() => callWork(object, args));
  }

  view(object: NamedObject, query: KeyedQuery): Promise<Page> {
    return this.#run(() => viewWork(object, query));
  }

  /** Waits for calls that the work did not wait for; throws the first failure. */
  async finish(): Promise<void> {
    this.#over = true;
    await Promise.allSettled(this.#running);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #run<T>(make: () => Work<T>): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#over) throw storeErrors.make('BEDS_STORE_NOT_SUPPORTED', 'The transaction is over.');
    this.#deadline.remainingMs();
    const work = make();
    const running = work.run(this.#session, sendInside);
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      this.#failure ??= isBedsError(error) ? error : toStoreError(error, work.args);
      throw this.#failure;
    } finally {
      this.#running.delete(running);
    }
  }
}

/** Commits when `work` resolves; otherwise leaves the session dirty, so that it is rolled back before anyone is told. */
export async function runTransaction<T>(
  session: Session,
  work: (scope: AdapterScope) => Promise<T>,
  { progress, deadline }: { readonly progress: Progress; readonly deadline: Deadline },
): Promise<T> {
  const calls = new TransactionCalls(session, deadline);
  await session.begin();
  deadline.remainingMs();
  try {
    const result = await work(calls);
    await calls.finish();
    deadline.remainingMs();
    progress.mayHaveCommitted = true;
    await session.commit();
    return result;
  } catch (error) {
    session.markDirty();
    await calls.finish().catch(() => undefined);
    throw error;
  }
}
