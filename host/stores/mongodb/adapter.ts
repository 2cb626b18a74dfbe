import { type BedsError, isBedsError, type RoutineRows, type JsonObject, type Page } from '@beds/sdk';
import { type ClientSession, MongoError } from 'mongodb';
import type { StoreConfig } from '../../config/schema.js';
import { storeErrors } from '../../errors/store.js';
import type {
  AdapterScope,
  CallOptions,
  KeyedQuery,
  NamedObject,
  StoreAdapter,
  StoreCapabilities,
  StoreStatus,
  Unindexed,
  UnindexedOptions,
} from '../contract.js';
import { CallGroups, Deadline, type Together } from '../deadlines.js';
import { type Dialect, type KeyForm, type KeyRead, planQuery } from '../query-plan.js';
import { operationOf } from './body.js';
import { bindBody, runBody, toResult } from './calls.js';
import { checkObject, describeObjects, listNames, listViews, type NativeObject, nativeOf } from './catalogue.js';
import { createClient, signalOf, Slots, type StoreClient } from './client.js';
import { prepareOperation } from './operations.js';
import { ResultMeter } from './result-meter.js';
import { isAllKnown, type KnownCapabilities, NO_CAPABILITIES, tryCapabilities } from './server-profile.js';
import { type Attempt, toStoreError } from './store-error.js';
import { runTransaction } from './transaction.js';
import { comparison, findUnindexed, keyReadOf, prepareKeys, prepareRead } from './views.js';
import { resultBudget } from '../result-budget.js';
import { whyUnreachable } from '../why-unreachable.js';

const READ: Attempt = { write: false, many: false };
const DESCRIBE_TIMEOUT_MS = 10_000;
/** Reads by key of a group at first, and at most. */
const [FIRST_KEYS, MOST_KEYS] = [16, 64];
const DIALECT: Dialect = { positions: 'stored', write: (condition, view) => comparison(condition, nativeOf(view)) };

/** An operation that is checked and bound, and lacks only where to run. */
interface Prepared<T> {
  readonly attempt: Attempt;
  run(deadline: Deadline, meter: ResultMeter, session?: ClientSession): Promise<T>;
  /** Whether it may throw errors that are the caller's own. */
  readonly runsForeignCode?: true;
}

type View = Extract<NamedObject, { kind: 'view' }>;
type KeyReads = CallGroups<KeyRead, Page>;

/** An adapter for one MongoDB database; not yet open. BEDS_STORE_URL_INVALID. */
export function createMongodbAdapter(options: { readonly store: string; readonly config: StoreConfig }): StoreAdapter {
  return new MongodbAdapter(options.store, options.config);
}

class MongodbAdapter implements StoreAdapter {
  readonly store: string;
  readonly check = checkObject;
  readonly #config: StoreConfig;
  readonly #connection: StoreClient;
  readonly #slots: Slots;
  #capabilities: StoreCapabilities = NO_CAPABILITIES;
  #known: KnownCapabilities = {};
  #server = 'MongoDB';
  #closing: Promise<void> | undefined;
  /** Reads of each view by its key, which may go together. */
  readonly #keyReads = new WeakMap<View, Partial<Record<KeyForm, KeyReads>>>();
  readonly #onEnded = (): void => this.#slots.release();

  constructor(store: string, config: StoreConfig) {
    this.store = store;
    this.#config = config;
    this.#connection = createClient(store, config);
    this.#slots = new Slots({ ...config, poolSize: this.#connection.poolSize });
  }

  async open(): Promise<void> {
    const { client, db } = this.#connection;
    const tried = await this.#run(
      { timeoutMs: this.#config.connectTimeoutMs },
      {
        attempt: READ,
        run: async (deadline) => {
          const build = await db.command({ buildInfo: 1 }, { signal: signalOf(deadline) });
          const views = await listViews(db, signalOf(deadline));
          const known = await tryCapabilities(client, db, {});
          return { server: `MongoDB ${String(build['version'])}`, nativeViews: views.size > 0, known };
        },
      },
    );
    this.#server = tried.server;
    // Of every operation it is known whether it writes before it is sent: no help of the server is needed.
    this.#capabilities = { ...this.#capabilities, readOnlyReads: true, nativeViews: tried.nativeViews };
    this.#know(tried.known);
  }

  /** n.b. a grant may come after the store was opened, and a server may be too busy to answer: what is not known is asked again. */
  async #learn(timeoutMs: number): Promise<void> {
    if (isAllKnown(this.#known)) return;
    const { client, db } = this.#connection;
    const run = (): Promise<KnownCapabilities> => tryCapabilities(client, db, this.#known);
    this.#know(await this.#run({ timeoutMs }, { attempt: READ, run }));
  }

  #know(known: KnownCapabilities): void {
    this.#known = known;
    this.#capabilities = { ...this.#capabilities, ...known };
  }

  async describe(names: readonly string[]): Promise<ReadonlyMap<string, NamedObject>> {
    const { db } = this.#connection;
    await this.#learn(DESCRIBE_TIMEOUT_MS);
    const { transactions } = this.#capabilities;
    const run = (deadline: Deadline): Promise<ReadonlyMap<string, NamedObject>> =>
      describeObjects(db, names, { deadline, transactions });
    const objects = await this.#run({ timeoutMs: DESCRIBE_TIMEOUT_MS }, { attempt: READ, run });
    // The DBA may have made the first view since the store was opened.
    if ([...objects.values()].some((object) => nativeOf(object).servedBy === 'view')) {
      this.#capabilities = { ...this.#capabilities, nativeViews: true };
    }
    return objects;
  }

  names(): Promise<readonly string[]> {
    const { db } = this.#connection;
    const run = (deadline: Deadline): Promise<readonly string[]> => listNames(db, deadline);
    return this.#run({ timeoutMs: DESCRIBE_TIMEOUT_MS }, { attempt: READ, run });
  }

  get unindexed(): StoreConfig['unindexed'] {
    return this.#config.unindexed;
  }

  findUnindexed(view: NamedObject, { key, timeoutMs }: UnindexedOptions): Promise<Unindexed | undefined> {
    const { db } = this.#connection;
    return this.#run({ timeoutMs }, { attempt: READ, run: (deadline) => findUnindexed(view, key, { db, deadline }) });
  }

  async call(object: NamedObject, args: JsonObject, options: CallOptions): Promise<RoutineRows> {
    return this.#run(options, this.#prepareCall(object, args, options.mode));
  }

  /** n.b. reads that can be given up by themselves go alone. */
  async view(object: NamedObject, query: KeyedQuery, options: CallOptions): Promise<Page> {
    const mayJoin = options.mode === 'read' && options.signal === undefined;
    if (mayJoin && object.kind === 'view' && query.where?.[query.key] !== undefined) {
      const byKey = keyReadOf(object, query);
      if (byKey !== undefined) return this.#groupOf(object, byKey.form).ask(byKey.read, options);
    }
    return this.#run(options, this.#prepareView(object, query));
  }

  #groupOf(view: View, form: KeyForm): KeyReads {
    const groups = this.#keyReads.get(view) ?? {};
    this.#keyReads.set(view, groups);
    return (groups[form] ??= new CallGroups<KeyRead, Page>({
      ...{ firstCalls: FIRST_KEYS, mostCalls: MOST_KEYS, isPadded: true, isOrdered: false },
      alone: async (read, options) => this.#run(options, this.#prepareView(view, read)),
      together: (reads, options) => this.#readKeys(prepareKeys(view, reads, form), options),
    }));
  }

  async #readKeys(read: ReturnType<typeof prepareKeys>, options: CallOptions): Promise<Together<Page>> {
    const { db } = this.#connection;
    let isSent = false;
    const run = (deadline: Deadline, meter: ResultMeter): Promise<Together<Page>> => {
      isSent = true;
      return read({ db, deadline, session: undefined, meter });
    };
    try {
      return await this.#run(options, { attempt: READ, run });
    } catch (error) {
      // Each will learn what is wrong with its own.
      if (isSent && !(isBedsError(error) && error.code === 'BEDS_STORE_UNAVAILABLE')) return undefined;
      throw error;
    }
  }

  async transaction<T>(work: (scope: AdapterScope) => Promise<T>, options: CallOptions): Promise<T> {
    if (this.#known.transactions === undefined) await this.#learn(options.timeoutMs);
    if (!this.#capabilities.transactions) throw storeErrors.make('BEDS_STORE_NOT_SUPPORTED');
    const { client } = this.#connection;
    const attempt = { write: false, many: false };
    const onCommit = (): void => {
      attempt.write = true;
    };
    const run = (deadline: Deadline, meter: ResultMeter): Promise<T> => {
      const scopeOf = (session: ClientSession): AdapterScope =>
        this.#scopeOf({ session, deadline, meter, mode: options.mode });
      return runTransaction({ client, deadline, work, scopeOf, onCommit });
    };
    return this.#run(options, { attempt, run, runsForeignCode: true });
  }

  status(): StoreStatus {
    // n.b. an account that is not let in finds a server all the same.
    const up = this.#connection.downSince() === undefined && this.#connection.isConnected();
    const why = up ? undefined : whyUnreachable(this.#connection.problem(), NOT_LET_IN);
    const counts = this.#slots.counts;
    return {
      store: this.store,
      kind: 'mongodb',
      server: this.#server,
      up,
      capabilities: this.#capabilities,
      connections: { ...counts, idle: Math.max(0, this.#connection.connections() - counts.inUse) },
      ...(up ? {} : { lastError: 'BEDS_STORE_UNAVAILABLE' }),
      ...(why === undefined ? {} : { why }),
    };
  }

  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#slots.idle(timeoutMs).then(() => this.#connection.client.close(true));
    return this.#closing;
  }

  #prepareCall(object: NamedObject, args: JsonObject, mode: 'read' | 'write'): Prepared<RoutineRows> {
    if (object.kind === 'view') throw storeErrors.make('BEDS_STORE_OBJECT_CHANGED');
    const native = nativeOf(object);
    const operation = operationOf(native.op);
    const write = operation.mode === 'write';
    if (write && mode === 'read') throw storeErrors.make('BEDS_STORE_DENIED');
    if (native.op === 'ask' || native.op === 'act') return this.#prepareOperation(object, native, args);
    const body = bindBody(object, native, args);
    return {
      attempt: { write, many: operation.many === true },
      run: async (deadline, meter, session) =>
        toResult(object, native, await runBody(native, body, { db: this.#connection.db, deadline, session, meter })),
    };
  }

  /** n.b. it may be kept once something is written, and not before. */
  #prepareOperation(object: Exclude<NamedObject, View>, native: NativeObject, args: JsonObject): Prepared<RoutineRows> {
    const carryOut = prepareOperation(object, native, args);
    const attempt = { write: false, many: false };
    const onWrite = (): void => {
      attempt.write = native.op === 'act';
    };
    const { client, db } = this.#connection;
    const hasTransactions = this.#capabilities.transactions;
    return {
      attempt,
      run: (deadline, meter, session) => carryOut({ client, db, deadline, meter, session, hasTransactions, onWrite }),
    };
  }

  #prepareView(object: NamedObject, query: KeyedQuery): Prepared<Page> {
    if (object.kind !== 'view') throw storeErrors.make('BEDS_STORE_OBJECT_CHANGED');
    const read = prepareRead(object, planQuery(object, query, DIALECT));
    const { db } = this.#connection;
    return { attempt: READ, run: (deadline, meter, session) => read({ db, deadline, session, meter }) };
  }

  #scopeOf({ session, deadline, meter, mode }: ScopeOptions): AdapterScope {
    // n.b. of a transaction nothing is kept before its commit, so no operation in it can be in doubt.
    const inSession = async <T>(prepare: () => Prepared<T>): Promise<T> => {
      try {
        const prepared = prepare();
        deadline.remainingMs();
        meter.begin();
        return await deadline.race(prepared.run(deadline, meter, session));
      } catch (error) {
        throw toStoreError(error, READ);
      }
    };
    return {
      call: (object, args) => inSession(() => this.#prepareCall(object, args, mode)),
      view: (object, query) => inSession(() => this.#prepareView(object, query)),
    };
  }

  async #run<T>(options: RunOptions, prepared: Prepared<T>): Promise<T> {
    if (this.#closing !== undefined) throw storeErrors.make('BEDS_STORE_CLOSED');
    const startedAt = performance.now();
    const deadline = new Deadline(options);
    const meter = new ResultMeter(this.#config);
    let sent = false;
    let isGiven = false;
    try {
      if (!this.#slots.take()) await this.#slots.wait(deadline);
      sent = deadline.mayStart();
      // What outlives its deadline still holds a connection: the slot stays taken until it ends.
      const result = await deadline.race(this.#send(prepared, deadline, meter), this.#onEnded);
      isGiven = true;
      return result;
    } catch (error) {
      if (error === deadline.reason) throw this.#expired(startedAt, sent && prepared.attempt.write);
      if (prepared.runsForeignCode === true && !(error instanceof MongoError)) throw error;
      const failure = toStoreError(error, prepared.attempt);
      throw this.#mayHaveBeenSent(failure, prepared.attempt, startedAt)
        ? storeErrors.make('BEDS_STORE_INDETERMINATE')
        : failure;
    } finally {
      deadline.end();
      const heldBytes = meter.handOver();
      if (heldBytes > 0) {
        if (isGiven && options.holder !== undefined) options.holder.hold(heldBytes);
        else resultBudget.giveBack(heldBytes);
      }
    }
  }

  async #send<T>(prepared: Prepared<T>, deadline: Deadline, meter: ResultMeter): Promise<T> {
    if (deadline.reason !== undefined) throw deadline.reason;
    if (!this.#connection.isConnected()) {
      await this.#connection.connect();
      deadline.remainingMs();
    }
    return prepared.run(deadline, meter);
  }

  /**
   * Where the server knows a repeated write, the driver sends one again whose answer was lost, and tells only what became of the
   * second attempt: that one may have met no server after the first one was carried out.
   */
  #mayHaveBeenSent({ code }: BedsError, { write }: Attempt, startedAt: number): boolean {
    const isRepeated = this.#capabilities.transactions && this.#connection.client.options.retryWrites;
    if (!write || code !== 'BEDS_STORE_UNAVAILABLE' || !isRepeated) return false;
    return !this.#wasDownSince(startedAt);
  }

  #wasDownSince(startedAt: number): boolean {
    const downSince = this.#connection.downSince();
    return downSince !== undefined && downSince <= startedAt;
  }

  /** Why the time ran out. What had no server from beginning to end was not done. */
  #expired(startedAt: number, mayBeKept: boolean): BedsError {
    if (this.#wasDownSince(startedAt)) return storeErrors.make('BEDS_STORE_UNAVAILABLE');
    return storeErrors.make(mayBeKept ? 'BEDS_STORE_INDETERMINATE' : 'BEDS_STORE_TIMEOUT');
  }
}

/** https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
const NOT_LET_IN: Readonly<Record<string, string>> = {
  11: 'there is no such account',
  18: 'the server refuses the account or its password',
  334: 'the server does not know the way by which the account signs in',
};

type RunOptions = Pick<CallOptions, 'timeoutMs' | 'signal' | 'holder'>;

interface ScopeOptions {
  readonly session: ClientSession;
  readonly deadline: Deadline;
  readonly meter: ResultMeter;
  readonly mode: 'read' | 'write';
}
