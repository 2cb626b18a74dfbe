import { setTimeout as delay } from 'node:timers/promises';
import { settlesWithin } from '#sdk/time';
import { type BedsError, type RoutineRows, isBedsError, type JsonObject, type Page } from '@beds/sdk';
import type { StoreConfig } from '../../config/schema.js';
import { storeErrors } from '../../errors/store.js';
import { checkUse } from '../check-use.js';
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
import { CallGroups, Deadline, timerWheel, type Together } from '../deadlines.js';
import {
  type Dialect,
  type KeyForm,
  type KeyRead,
  keysOf,
  pagesByKey,
  planQuery,
  type QueryPlan,
} from '../query-plan.js';
import { type ReadCatalogue, readCatalogue, readNames } from './catalogue.js';
import {
  type DriverField,
  type DriverRow,
  type Endpoint,
  isConnectionLoss,
  isNotHere,
  isRefusedToRead,
  isSavepointLost,
  isTableThere,
  readEndpoint,
  sayImpossibleColumn,
  toStoreError,
  toViewError,
} from './driver.js';
import { Connector, Killer, Pool } from './pool.js';
import { type Counted, type Executed, isDriverError, type Session, type SessionMode, TIDY } from './session.js';
import {
  callResult,
  callsEnded,
  callStatement,
  condition,
  functionResult,
  type Giving,
  groupStatement,
  keyReadOf,
  keysStatement,
  pageOf,
  pagesOfUnion,
  resultsOfGroup,
  type Routine,
  rowsOfKeys,
  type Statement,
  unionStatement,
  unites,
  viewStatements,
} from './statements.js';
import { resultBudget } from '../result-budget.js';

const MAX_ATTEMPTS = 4;
const RETRY_PAUSE_MS = 20;
/** Calls of a group at first, and at most. */
const [FIRST_KEYS, MOST_KEYS] = [16, 128];
const [FIRST_PAGES, MOST_PAGES] = [4, 32];
const [FIRST_WRITES, MOST_WRITES] = [4, 32];
/** Of pages that go together: what there is to gain is the way of small ones. */
const MOST_GROUP_ROWS = 3_200;
const MOST_GROUP_VALUES = 4_096;
/** Kinds of reads of one view that may go together. */
const MOST_SHAPES = 64;
const DESCRIBE_TIMEOUT_MS = 10_000;
const UNKNOWN: StoreCapabilities = {
  transactions: false,
  readOnlyReads: false,
  statementDeadline: false,
  nativeViews: false,
  accessControl: false,
};

/** Serves a store on MySQL or MariaDB. Throws BEDS_STORE_URL_INVALID. */
export function createMysqlAdapter(options: { readonly store: string; readonly config: StoreConfig }): StoreAdapter {
  return new MysqlAdapter(options.store, options.config, readEndpoint(options.store, options.config));
}

type View = Extract<NamedObject, { kind: 'view' }>;

interface ViewGroups {
  readonly keys: Partial<Record<KeyForm, CallGroups<KeyRead, Page>>>;
  /** By the shape of their statement. */
  readonly pages: Map<string, CallGroups<ViewWork, Page>>;
}

class MysqlAdapter implements StoreAdapter {
  readonly check = checkUse;
  readonly store: string;
  readonly #config: StoreConfig;
  readonly #database: string;
  readonly #connector: Connector;
  readonly #pool: Pool;
  readonly #killer: Killer;
  readonly #habits = new Habits();
  readonly #writes = new WeakMap<NamedObject, CallGroups<CallWork, RoutineRows>>();
  /** Routines that make temporary tables, and otherwise only read. */
  readonly #scribbling = new WeakSet<NamedObject>();
  /** Reads of each view that may go together. */
  readonly #groups = new WeakMap<View, ViewGroups>();

  constructor(store: string, config: StoreConfig, endpoint: Endpoint) {
    this.store = store;
    this.#config = config;
    this.#database = endpoint.database;
    this.#connector = new Connector(endpoint.connect, config);
    this.#killer = new Killer(endpoint);
    this.#pool = new Pool({
      connector: this.#connector,
      stop: (threadId) => this.#killer.stop(threadId),
      poolSize: config.poolSize,
      queueLimit: config.queueLimit,
      acquireTimeoutMs: config.acquireTimeoutMs,
    });
  }

  async open(): Promise<void> {
    await this.#pool.open();
  }

  describe(names: readonly string[]): Promise<ReadonlyMap<string, NamedObject>> {
    return this.#readCatalogue((read) => readCatalogue(read, this.#database, names));
  }

  names(): Promise<readonly string[]> {
    return this.#readCatalogue((read) => readNames(read, this.#database));
  }

  #readCatalogue<T>(work: (read: ReadCatalogue) => Promise<T>): Promise<T> {
    return this.#lend(
      { mode: 'read', timeoutMs: DESCRIBE_TIMEOUT_MS },
      {
        progress: { mayHaveCommitted: false },
        run: (session) => work(async (sql, values) => (await session.execute(sql, values)).result as DriverRow[]),
      },
    );
  }

  get unindexed(): StoreConfig['unindexed'] {
    return this.#config.unindexed;
  }

  /** n.b. a server explains a view to those only who may read what is behind it: a procedure of the DBA's asks for us. */
  async findUnindexed({ name }: NamedObject, { timeoutMs }: UnindexedOptions): Promise<Unindexed | undefined> {
    try {
      const sql = `CALL \`${this.#database.replaceAll('`', '``')}\`.beds_explain(?)`;
      const run = (session: Session): Promise<Executed> => session.execute(sql, [name]);
      const explained = await this.#lend({ mode: 'read', timeoutMs }, { progress: { mayHaveCommitted: false }, run });
      return unindexedIn(callResult(explained));
    } catch (error) {
      // It was not made, or not granted.
      if (isBedsError(error) && NOT_THERE.has(error.code)) return undefined;
      throw error;
    }
  }

  call(object: NamedObject, args: JsonObject, options: CallOptions): Promise<RoutineRows> {
    if (object.kind !== 'procedure' || object.together !== true || !this.#mayJoin(object, options))
      return this.#attempt(() => callWork(object, args, this.#habits), options);
    let work: CallWork;
    try {
      work = callWork(object, args, this.#habits);
    } catch (error) {
      return this.#attempt<RoutineRows>(() => {
        throw error;
      }, options);
    }
    return (this.#writes.get(object) ?? this.#groupWrites(object)).ask(work, options);
  }

  /** A READ ONLY transaction takes no temporary table: what its DBA says only reads is done in another, which is rolled back. */
  #undone<T>(work: Work<T>, options: CallOptions): Promise<T> {
    return this.#lend(
      { ...options, mode: 'write' },
      { progress: { mayHaveCommitted: false }, args: work.args, run: (session) => runUndone(session, work) },
    );
  }

  /** n.b. calls that can be given up by themselves go alone, and so do those that give parameters back. */
  #mayJoin(object: Routine, { mode, signal }: CallOptions): boolean {
    const { profile } = this.#connector;
    if (mode !== 'write' || signal !== undefined || object.gives !== undefined) return false;
    return profile?.blocks === true && profile.tracksState && !this.#habits.single.has(object);
  }

  #groupWrites(object: Routine): CallGroups<CallWork, RoutineRows> {
    const made = new CallGroups<CallWork, RoutineRows>({
      ...{ firstCalls: FIRST_WRITES, mostCalls: MOST_WRITES, isPadded: false, isOrdered: true },
      turnOf: ({ statement }) => statement.values[0] ?? undefined,
      alone: (work, options) => this.#attempt(() => work, options),
      together: (works, options) => this.#callTogether(object, works, options),
    });
    this.#writes.set(object, made);
    return made;
  }

  /** undefined: nothing of it was kept, and each is to be called by itself. */
  async #callTogether(
    object: Routine,
    works: readonly CallWork[],
    options: CallOptions,
  ): Promise<Together<RoutineRows>> {
    const { sql, values } = groupStatement(works.map(({ statement }) => statement));
    const progress: Progress = { mayHaveCommitted: false };
    let isSent = false;
    let partly: Together<RoutineRows>;
    const run = async (session: Session, deadline: Deadline): Promise<Together<RoutineRows>> => {
      isSent = true;
      progress.mayHaveCommitted = !this.#habits.proven.has(object);
      const executed = await session.executeOpening(sql, values).catch(async (error: unknown) => {
        if (!isSavepointLost(error) && !(await committedItself(session))) throw error;
        this.#habits.single.add(object);
        // n.b. the first call that finds the transaction ended is the last one that is made.
        const ended = session.result === undefined ? works.length : callsEnded(session.result);
        partly = works.map((_, at) =>
          at <= ended ? storeErrors.make('BEDS_STORE_INDETERMINATE', COMMITS_ITSELF) : undefined,
        );
        throw error;
      });
      // n.b. before the COMMIT: one may have been given what another has left in the session, as rows of a temporary table.
      if (session.isDirty || (this.#habits.isWatched(object) && (await session.tidy()).isLeft)) {
        this.#habits.single.add(object);
        this.#habits.leaving.add(object);
        throw storeErrors.make('BEDS_STORE_NOT_SUPPORTED');
      }
      this.#habits.proven.add(object);
      deadline.remainingMs();
      progress.mayHaveCommitted = true;
      await session.commit();
      return resultsOfGroup(executed, works[0]?.args ?? []);
    };
    try {
      return await this.#lend(options, { progress, run, sessionMode: 'together' });
    } catch (error) {
      if (partly !== undefined) return partly;
      const isKnown = isBedsError(error) && error.code !== 'BEDS_STORE_INDETERMINATE';
      if (isKnown && (isSent || isNotHere(error))) return undefined;
      throw error;
    }
  }

  /** n.b. reads that can be given up by themselves go alone. */
  view(object: NamedObject, query: KeyedQuery, options: CallOptions): Promise<Page> {
    if (options.mode !== 'read' || object.kind !== 'view' || options.signal !== undefined)
      return this.#attempt(() => viewWork(object, query), options);
    const groups = this.#groups.get(object) ?? this.#groupsOf(object);
    if (query.where?.[query.key] !== undefined) {
      const byKey = keyReadOf(object, query);
      if (byKey !== undefined)
        return (groups.keys[byKey.form] ??= this.#keyReads(object, byKey.form)).ask(byKey.read, options);
    }
    let work: ViewWork;
    try {
      work = viewWork(object, query);
    } catch (error) {
      return this.#attempt<Page>(() => {
        throw error;
      }, options);
    }
    const { shape } = work;
    const pages = shape === undefined ? undefined : (groups.pages.get(shape) ?? this.#pageReads(object, work));
    return pages === undefined ? this.#attempt(() => work, options) : pages.ask(work, options);
  }

  #groupsOf(view: View): ViewGroups {
    const made: ViewGroups = { keys: {}, pages: new Map() };
    this.#groups.set(view, made);
    return made;
  }

  #keyReads(view: View, form: KeyForm): CallGroups<KeyRead, Page> {
    return new CallGroups<KeyRead, Page>({
      ...{ firstCalls: FIRST_KEYS, mostCalls: MOST_KEYS, isPadded: true, isOrdered: false },
      alone: (read, options) => this.#attempt(() => viewWork(view, read), options),
      together: (reads, options) => this.#readKeys(view, { form, reads }, options),
    });
  }

  /** undefined: there are as many kinds of reads of the view under way as may go together. */
  #pageReads(view: View, { shape, plan, read }: ViewWork): CallGroups<ViewWork, Page> | undefined {
    const pages = this.#groups.get(view)?.pages;
    if (pages === undefined || shape === undefined || read === undefined) return undefined;
    if (pages.size >= MOST_SHAPES) for (const [other, { isIdle }] of pages) if (isIdle) pages.delete(other);
    if (pages.size >= MOST_SHAPES) return undefined;
    const most = Math.min(MOST_PAGES, MOST_GROUP_ROWS / plan.limit, MOST_GROUP_VALUES / read.values.length);
    if (most < 2) return undefined;
    const made = new CallGroups<ViewWork, Page>({
      ...{ firstCalls: FIRST_PAGES, mostCalls: 2 ** Math.floor(Math.log2(most)), isPadded: false, isOrdered: false },
      alone: (work, options) => this.#attempt(() => work, options),
      together: (works, options) => this.#readPages(view, works, options),
    });
    pages.set(shape, made);
    return made;
  }

  #readPages(view: View, works: readonly ViewWork[], options: CallOptions): Promise<Together<Page>> {
    const { sql, values } = unionStatement(works.map(({ read }) => read as Statement));
    return this.#readTogether(options, async (session) =>
      pagesOfUnion(
        view,
        works.map(({ plan }) => plan),
        await session.execute(sql, values),
      ),
    );
  }

  #readKeys(
    view: View,
    { form, reads }: { readonly form: KeyForm; readonly reads: readonly KeyRead[] },
    options: CallOptions,
  ): Promise<Together<Page>> {
    const keys = keysOf(reads, form);
    const { sql, values } = keysStatement(view, reads[0]?.key ?? '', { form, keys });
    return this.#readTogether(options, async (session) =>
      pagesByKey(rowsOfKeys(view, await session.execute(sql, values)), {
        ...{ reads, keys },
        isLarge: session.meter.heldBytes > 0,
      }),
    );
  }

  async #readTogether(
    options: CallOptions,
    read: (session: Session) => Promise<Together<Page>>,
  ): Promise<Together<Page>> {
    let isSent = false;
    const run = (session: Session): Promise<Together<Page>> => {
      isSent = true;
      return read(session);
    };
    try {
      return await this.#lend(options, { progress: { mayHaveCommitted: false }, run });
    } catch (error) {
      // Each will learn what is wrong with its own, and tries once more where a connection was dead.
      if (isSent || (isBedsError(error) && error.code === 'BEDS_STORE_UNAVAILABLE')) return undefined;
      throw error;
    }
  }

  /** Not tried again after a deadlock: the work may have done what no database undoes. It fails with BEDS_STORE_DEADLOCK. */
  transaction<T>(work: (scope: AdapterScope) => Promise<T>, options: CallOptions): Promise<T> {
    const progress: Progress = { mayHaveCommitted: false };
    const run = (session: Session, deadline: Deadline): Promise<T> =>
      runTransaction(session, work, { mode: options.mode, progress, deadline, habits: this.#habits });
    return this.#lend(options, { progress, run });
  }

  status(): StoreStatus {
    const { profile, lastError } = this.#connector;
    return {
      store: this.store,
      kind: this.#config.kind,
      server: profile?.version ?? 'unknown',
      up: profile !== undefined && lastError === undefined,
      capabilities: this.#capabilities,
      connections: this.#pool.counts,
      ...lastError,
    };
  }

  get #capabilities(): StoreCapabilities {
    const known = this.#connector.profile?.capabilities ?? UNKNOWN;
    return this.#killer.stopsRoutines ? { ...known, statementDeadline: true } : known;
  }

  async close(timeoutMs: number): Promise<void> {
    await this.#pool.close(timeoutMs);
    this.#killer.close();
  }

  /** Runs a single call, again after a deadlock; a read also once more on another connection if its own was dead. */
  async #attempt<T>(prepare: () => Work<T>, options: CallOptions): Promise<T> {
    const work = prepare();
    const { mode } = options;
    const { routine } = work;
    if (mode === 'read' && routine !== undefined && this.#scribbling.has(routine)) return this.#undone(work, options);
    const endsAtMs = performance.now() + options.timeoutMs;
    let bounded = options;
    for (let attempt = 1; ; attempt += 1) {
      const progress: Progress = { mayHaveCommitted: false };
      try {
        return await this.#lend(bounded, {
          progress,
          args: work.args,
          run: (session, deadline) => work.run(session, sendAlone({ kind: work.kind, mode, progress, deadline })),
        });
      } catch (error) {
        if (routine !== undefined && isTableThere(error)) this.#habits.leaving.add(routine);
        if (mode === 'read' && routine?.native['onlyReads'] === true && isRefusedToRead(error)) {
          this.#scribbling.add(routine);
          return await this.#undone(work, { ...options, timeoutMs: endsAtMs - performance.now() });
        }
        const code = isBedsError(error) ? error.code : '';
        const lostRead = code === 'BEDS_STORE_UNAVAILABLE' && mode === 'read';
        const isElsewhere = attempt === 1 && (lostRead || isNotHere(error));
        const gaveWay = code === 'BEDS_STORE_DEADLOCK' && attempt < MAX_ATTEMPTS;
        if (!isElsewhere && !gaveWay) throw error;
        if (gaveWay) await delay(Math.min(Math.random() * RETRY_PAUSE_MS * 2 ** attempt, endsAtMs - performance.now()));
        bounded = { ...options, timeoutMs: endsAtMs - performance.now() };
      }
    }
  }

  /** Lends a session to a piece of work: bounded, rolled back if it fails, and clean when it goes back. */
  async #lend<T>(options: CallOptions, work: SessionWork<T>): Promise<T> {
    const { timeoutMs } = options;
    const mode = work.sessionMode ?? options.mode;
    const deadline = new Deadline(options);
    let session: Session | undefined;
    let remainingMs = timeoutMs;
    try {
      if (timeoutMs > 0) session = this.#pool.take(mode);
      if (session === undefined) {
        session = await this.#pool.wait(deadline);
        remainingMs = deadline.remainingMs();
      }
    } catch (error) {
      deadline.end();
      // Nothing was sent: there is nothing to clean.
      if (session !== undefined) this.#pool.release(session);
      throw error;
    }
    return this.#use(session, { options, work, deadline, remainingMs });
  }

  async #use<T>(session: Session, { options, work, deadline, remainingMs }: Lent<T>): Promise<T> {
    const { mode, holder } = options;
    const { progress, args, sessionMode = mode } = work;
    let failure: unknown;
    try {
      const running = isPrepared(session, sessionMode, remainingMs)
        ? work.run(session, deadline)
        : session.prepare(sessionMode, remainingMs).then(() => {
            deadline.remainingMs();
            return work.run(session, deadline);
          });
      try {
        return await deadline.race(running);
      } catch (error) {
        return await stopLate({ session, killer: this.#killer, deadline, mode, progress, work: running }, error);
      }
    } catch (error) {
      failure = toFailure(error, progress, args);
      if (isNotHere(failure)) this.#pool.renew();
      if (session.refusal !== undefined)
        failure = await this.#giveUp(session, failure, sessionMode === 'write' && progress.mayHaveCommitted);
      if (isBedsError(failure) && failure.code === 'BEDS_STORE_DEADLOCK' && (await committedItself(session)))
        failure = storeErrors.make('BEDS_STORE_INDETERMINATE', KEPT_A_PART);
      // A failed write is rolled back before its caller learns of it: its locks are gone when the caller tries again.
      if (mode === 'write' && session.isAlive && session.abandoned === undefined)
        await this.#pool.clean(session).catch(() => session.destroy());
      throw failure;
    } finally {
      deadline.end();
      if (session.meter.heldBytes > 0) {
        const heldBytes = session.meter.handOver();
        if (holder !== undefined && failure === undefined) holder.hold(heldBytes);
        else resultBudget.giveBack(heldBytes);
      }
      if (!session.isUntidy || session.isDirty || !session.isAlive) this.#pool.release(session);
      else void this.#habits.tidyUp(session).finally(() => this.#pool.release(session));
    }
  }

  /** Stops in the server what gave a result that is too large; of a write that may have been kept, says whether it was. */
  async #giveUp(session: Session, failure: unknown, mayBeKept: boolean): Promise<unknown> {
    void this.#killer.stop(session.connection.threadId);
    const end = mayBeKept ? await session.howItEnded(STOP_GRACE_MS) : 'undone';
    session.destroy();
    if (end === undefined) return storeErrors.make('BEDS_STORE_INDETERMINATE');
    if (end === 'undone') return failure;
    const message = 'The database gave more for one call than the host takes; what the call wrote was kept.';
    return storeErrors.make('BEDS_STORE_RESULT_TOO_LARGE', message);
  }
}

/** So many calls of a routine are looked after, one by one, and of those that follow one in so many. */
const [FIRST_WATCHED, ONE_WATCHED_IN] = [4, 256];
const TIDY_TIMEOUT_MS = 1_000;

/** What calls of a store's routines have shown of them. */
class Habits {
  /** Procedures that were found to commit by themselves, or to leave something behind in the session, and so cannot go together. */
  readonly single = new WeakSet<NamedObject>();
  /** Procedures that have been called without that. */
  readonly proven = new WeakSet<NamedObject>();
  /** Routines that leave in their session what no server tells of: it is cleaned after each of their calls. */
  readonly leaving = new WeakSet<Routine>();
  /** Calls of each routine. */
  readonly #called = new WeakMap<Routine, number>();
  /** Routines whose calls are looked after when their sessions come back. */
  readonly #watched = new WeakMap<Session, Set<Routine>>();

  /** Counts a call, and says whether it is looked after. */
  isWatched(routine: Routine): boolean {
    const calls = (this.#called.get(routine) ?? 0) + 1;
    this.#called.set(routine, calls);
    return calls <= FIRST_WATCHED || calls % ONE_WATCHED_IN === 0;
  }

  noteCall(session: Session, routine: Routine): void {
    if (this.leaving.has(routine)) session.isDirty = true;
    if (this.isWatched(routine)) {
      const others = session.isUntidy ? this.#watched.get(session) : undefined;
      this.#watched.set(session, (others ?? new Set()).add(routine));
      session.isUntidy = true;
    } else if (!session.profile.blocks && session.mode !== 'read') session.isUntidy = true;
  }

  /** n.b. nobody waits for it but the next one to be given the session. */
  async tidyUp(session: Session): Promise<void> {
    session.isUntidy = false;
    const patience = timerWheel.watch(performance.now() + TIDY_TIMEOUT_MS, () => session.destroy());
    try {
      await this.#tidyAfter(session, this.#watched.get(session));
    } catch {
      // It is dirty, and is cleaned.
    } finally {
      timerWheel.remove(patience);
      this.#watched.delete(session);
    }
  }

  async #tidyAfter(session: Session, routines: ReadonlySet<Routine> | undefined): Promise<void> {
    if (routines === undefined) {
      await session.text(TIDY);
      return;
    }
    const { isLeft, hasCommitted } = await session.tidy();
    for (const routine of routines) {
      if (isLeft) this.leaving.add(routine);
      if (hasCommitted === false) this.proven.add(routine);
      // n.b. of several it is not known which.
      if (hasCommitted === true && routines.size === 1) this.single.add(routine);
    }
  }
}

const NOT_THERE = new Set(['BEDS_STORE_OBJECT_CHANGED', 'BEDS_STORE_DENIED']);

/** Reads what `beds_explain` gives: for each column its name, the plan of a filter and the plan of an order. */
function unindexedIn({ sets }: RoutineRows): Unindexed {
  const filters: string[] = [];
  const orders: string[] = [];
  sets.forEach(([first], at) => {
    const column = first?.['beds_column'];
    if (typeof column !== 'string') return;
    // n.b. a small table may be read whole although it has an index: which ones there are does not depend on its size.
    const readsAll = sets[at + 1]?.some(
      ({ type, possible_keys: keys }) => keys === null && READS_ALL.has(type as string),
    );
    if (readsAll === true) filters.push(column);
    if (sets[at + 2]?.some(({ Extra: extra }) => /filesort/i.test(extra as string)) === true) orders.push(column);
  });
  return { filters, orders };
}

const READS_ALL = new Set(['ALL', 'index']);

/** How a CALL or SELECT is sent: alone, or as a transaction of its own. */
type Send = (session: Session, statement: Statement) => Promise<Executed>;

/** A checked piece of work, to be run on a session; making it throws what is wrong with the request. */
interface Work<T> {
  readonly kind: NamedObject['kind'];
  /** Names that an error may point at; undefined: it gives no values. */
  readonly args: readonly string[] | undefined;
  readonly routine?: Routine;
  readonly run: (session: Session, send: Send) => Promise<T>;
}

interface CallWork extends Work<RoutineRows> {
  readonly statement: Statement;
}

const COMMITS_ITSELF =
  'The procedure ends transactions by itself, so calls of it cannot go together. The change may or may not be saved.';

function callWork(object: NamedObject, args: JsonObject, habits: Habits): CallWork {
  if (object.kind === 'view') throw storeErrors.make('BEDS_STORE_NOT_SUPPORTED', `${object.name} is a view: read it.`);
  const routine: Routine = object;
  const statement = callStatement(routine, args);
  return {
    kind: routine.kind,
    args: routine.args.map(({ name }) => name),
    routine,
    statement,
    run: async (session, send) => {
      habits.noteCall(session, routine);
      const executed = await send(session, statement);
      if (routine.kind === 'procedure') return callResult(executed, routine.gives);
      return functionResult(executed, routine, session.profile);
    },
  };
}

interface ViewWork extends Work<Page> {
  readonly plan: QueryPlan;
  readonly read: Statement | undefined;
  /** The same for all reads that may go together; undefined: it goes alone. */
  readonly shape: string | undefined;
}

function viewWork(object: NamedObject, query: KeyedQuery): ViewWork {
  if (object.kind !== 'view') {
    throw storeErrors.make('BEDS_STORE_NOT_SUPPORTED', `${object.name} is a ${object.kind}: call it.`);
  }
  const plan = planQuery(object, query, DIALECT);
  const { read, count } = viewStatements(object, plan);
  return {
    kind: 'view',
    args: undefined,
    plan,
    read,
    shape:
      read === undefined || count !== undefined || !unites(object) ? undefined : `${String(plan.limit)} ${read.sql}`,
    run: async (session, send) => {
      const page = read === undefined ? NO_ROWS : pageOf(object, plan, await send(session, read));
      if (count === undefined) return page;
      // A first page that is the last one has been counted.
      if (read !== undefined && plan.start === undefined && page.cursor === undefined) {
        return { ...page, count: page.rows.length };
      }
      const { result } = await send(session, count);
      return { ...page, count: Number((result as DriverRow[])[0]?.['rows']) };
    },
  };
}

const DIALECT: Dialect = { positions: 'shown', write: condition };
const NO_ROWS: Page = { rows: [] };

/** How far a transaction has come. */
interface Progress {
  /** Whether a COMMIT may have reached the server: then a lost connection leaves the outcome open. */
  mayHaveCommitted: boolean;
}

interface Sending {
  readonly kind: NamedObject['kind'];
  readonly mode: SessionMode;
  readonly progress: Progress;
  readonly deadline: Deadline;
}

/** Sends a statement inside a transaction that is open already. */
function sendInside(session: Session, statement: Statement): Promise<Executed> {
  const { sql, values, inside, giving } = statement;
  if (inside === undefined) return session.execute(sql, values);
  if (session.profile.blocks) return session.execute(inside, values);
  if (giving !== undefined) return callInSteps(session, statement, giving);
  // n.b. nobody tells what a function has left behind.
  session.isDirty = true;
  return session.execute(sql, values);
}

/**
 * Nothing of it is kept: the session is dirty with it. n.b. what a routine writes may all go to the tables that it makes; one that makes
 * none has written to others.
 */
async function runUndone<T>(session: Session, { run, routine }: Work<T>): Promise<T> {
  session.isDirty = true;
  const before = session.uses === 0 ? NOTHING : await session.counted();
  await session.begin();
  const result = await run(session, sendInside);
  const after = await session.counted();
  if (after.writes === before.writes || after.tables > before.tables) return result;
  const name = routine?.name ?? 'The routine';
  throw storeErrors.make(
    'BEDS_STORE_DENIED',
    `${name} is declared as only reading, and writes: nothing of it was kept.`,
    {
      hint: `Have the DBA correct the declaration of ${name}, and call it as a write.`,
    },
  );
}

const NOTHING: Counted = { commits: 0, tables: 0, writes: 0 };

/** n.b. variables of a session are there until it is reset. */
async function callInSteps(
  session: Session,
  { sql, values }: Statement,
  { set, setCount, read }: Giving,
): Promise<Executed> {
  session.isDirty = true;
  if (set !== undefined) {
    const texts = values.slice(0, setCount).map((value) => (typeof value === 'boolean' ? Number(value) : value));
    await session.execute(
      set,
      texts.map((value) => (value === null ? null : String(value))),
    );
  }
  const called = await session.execute(sql, values.slice(setCount));
  const given = await session.execute(read, undefined);
  // n.b. without a result set of its own it answers with a header alone.
  const isList = Array.isArray(called.result);
  const parts = isList ? (called.result as DriverRow[][]) : [called.result];
  const fields = isList ? (called.fields as readonly DriverField[][]) : [undefined];
  return {
    result: [...parts, given.result as DriverRow[]],
    fields: [...fields, given.fields as readonly DriverField[]],
  };
}

/**
 * Makes the sender of one statement as a transaction of its own. A procedure needs one: under autocommit each of its
 * statements would be kept by itself, so one that fails in the middle would leave half of its work. In a block that
 * takes one round trip, as bare CALL does; elsewhere three. A view or a function is a single statement, which is a
 * transaction anyway, READ ONLY by its session for reads.
 */
function sendAlone({ kind, mode, progress, deadline }: Sending): Send {
  if (kind === 'view') return sendInside;
  return (session, statement) => {
    const { blocks } = session.profile;
    if (kind === 'procedure' && !blocks && mode === 'write')
      return sendInThree(session, statement, { progress, deadline });
    progress.mayHaveCommitted = mode === 'write';
    // n.b. of a write whose result is too large it shall be known whether it was kept.
    const isDrained = mode === 'write';
    if (blocks) return session.execute(statement.block ?? statement.sql, statement.values, isDrained);
    if (statement.giving !== undefined) return sendInside(session, statement);
    // Only a block's (or a CALL's) last answer tells whether the session was left changed.
    if (kind === 'function') session.isDirty = true;
    return session.execute(statement.sql, statement.values, isDrained);
  };
}

async function sendInThree(
  session: Session,
  statement: Statement,
  { progress, deadline }: Pick<Sending, 'progress' | 'deadline'>,
): Promise<Executed> {
  await session.begin();
  deadline.remainingMs();
  const executed = await sendInside(session, statement);
  deadline.remainingMs();
  progress.mayHaveCommitted = true;
  await session.commit();
  return executed;
}

/** How long a write may still answer after it was told to stop; then nobody knows whether it was committed. */
const STOP_GRACE_MS = 500;

/** What is done on a session. */
interface SessionWork<T> {
  readonly progress: Progress;
  /** Names that an error may point at. */
  readonly args?: readonly string[] | undefined;
  /** What the session has to be prepared for. Default: the mode of the call. */
  readonly sessionMode?: SessionMode;
  readonly run: (session: Session, deadline: Deadline) => Promise<T>;
}

interface Lent<T> {
  readonly options: CallOptions;
  readonly work: SessionWork<T>;
  readonly deadline: Deadline;
  readonly remainingMs: number;
}

/** How far the server's bound may lie behind the deadline before it costs a round trip to move it. */
const LIMIT_SLACK = {
  write: () => 400,
  together: () => 400,
  read: (timeoutMs: number) => Math.max(400, timeoutMs / 5),
} as const;

/** Whether `Session.prepare` has nothing to do. */
function isPrepared({ mode: last, limitMs = 0 }: Session, mode: SessionMode, timeoutMs: number): boolean {
  return last === mode && limitMs >= timeoutMs && limitMs <= timeoutMs + LIMIT_SLACK[mode](timeoutMs);
}

function told(error: unknown, args: readonly string[] | undefined): BedsError {
  return args === undefined ? toViewError(error) : toStoreError(error, args);
}

function toFailure(error: unknown, { mayHaveCommitted }: Progress, args?: readonly string[]): unknown {
  const known = isBedsError(error) ? error : undefined;
  const lost =
    known === undefined ? isDriverError(error) && isConnectionLoss(error) : known.code === 'BEDS_STORE_UNAVAILABLE';
  if (mayHaveCommitted && lost) {
    const impossible = sayImpossibleColumn(error);
    if (impossible === undefined) return storeErrors.make('BEDS_STORE_INDETERMINATE');
    return storeErrors.make('BEDS_STORE_INDETERMINATE', `${impossible} The change may or may not be saved.`);
  }
  return known === undefined && isDriverError(error) ? told(error, args) : error;
}

interface Bounded<T> {
  readonly session: Session;
  readonly killer: Killer;
  readonly deadline: Deadline;
  readonly mode: CallOptions['mode'];
  readonly progress: Progress;
  readonly work: Promise<T>;
}

/**
 * Stops work on a session in the server at the deadline, and gives the session up. A read fails at once with BEDS_STORE_TIMEOUT. A
 * write first waits for how it ended: done after all, stopped (BEDS_STORE_TIMEOUT), or not known (BEDS_STORE_INDETERMINATE).
 */
async function stopLate<T>(bounded: Bounded<T>, error: unknown): Promise<T> {
  const { reason } = bounded.deadline;
  if (reason === undefined || error !== reason) throw error;
  return settle(bounded, reason);
}

async function settle<T>({ session, killer, mode, progress, work }: Bounded<T>, reason: Error): Promise<T> {
  if (!session.isBusy) {
    // The server rolls back what is open.
    session.destroy();
    throw reason;
  }
  const told = killer.stop(session.connection.threadId);
  if (mode === 'read') {
    session.abandon(told);
    const stops = session.profile.capabilities.statementDeadline || killer.stopsRoutines;
    throw stops ? reason : storeErrors.make('BEDS_STORE_TIMEOUT', GOES_ON);
  }
  if (!(await settlesWithin(session.idle(), STOP_GRACE_MS))) {
    session.abandon(told);
    // n.b. nobody commits what a group has done.
    if (session.mode === 'together' && !progress.mayHaveCommitted)
      throw storeErrors.make('BEDS_STORE_TIMEOUT', GOES_ON);
    throw storeErrors.make('BEDS_STORE_INDETERMINATE', NOT_STOPPED);
  }
  session.abandon(told);
  if (progress.mayHaveCommitted) return work;
  throw reason;
}

/** n.b. a deadlock undoes what came after that, and running the whole again would do the rest twice. */
async function committedItself(session: Session): Promise<boolean> {
  return session.isAlive && !session.isBusy && (await session.hasCommittedItself().catch(() => false));
}

const KEPT_A_PART =
  'The routine gave way to another transaction after a COMMIT of its own: a part of its work is kept.';
const GOES_ON = 'The database did not finish in time. It may still be working on the statement.';
const NOT_STOPPED =
  'The database did not finish in time and could not be stopped yet. The change may or may not be saved.';

/**
 * The calls of one transaction. They take turns on its connection. After the server has failed one of them nothing more
 * is done and the transaction cannot commit, even if the work goes on: a lock wait that timed out, for one, has undone
 * its own statement only.
 */
class TransactionCalls implements AdapterScope {
  readonly #session: Session;
  readonly #deadline: Deadline;
  readonly #habits: Habits;
  readonly #running = new Set<Promise<unknown>>();
  #last: Promise<unknown> | undefined;
  #failure: Error | undefined;
  #over = false;

  constructor(session: Session, deadline: Deadline, habits: Habits) {
    this.#session = session;
    this.#deadline = deadline;
    this.#habits = habits;
  }

  call(object: NamedObject, args: JsonObject): Promise<RoutineRows> {
    return this.#run(() => callWork(object, args, this.#habits));
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

  /** n.b. the driver would send on what waits in its own line when the time is over. */
  async #inTurn<T>(work: Work<T>): Promise<T> {
    const last = this.#last;
    if (last !== undefined) {
      await last.catch(() => undefined);
      if (this.#failure !== undefined) throw this.#failure;
      this.#deadline.remainingMs();
    }
    return work.run(this.#session, sendInside);
  }

  async #run<T>(make: () => Work<T>): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#over) throw storeErrors.make('BEDS_STORE_NOT_SUPPORTED', 'The transaction is over.');
    this.#deadline.remainingMs();
    const work = make();
    const running = this.#inTurn(work);
    this.#last = running;
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      this.#failure ??= isBedsError(error) ? error : told(error, work.args);
      throw this.#failure;
    } finally {
      this.#running.delete(running);
    }
  }
}

const NOT_UNDONE = 'A table that knows no transactions keeps what was written into it. The rest is undone.';
const UNDOABLE =
  'Read the records before you send the change again. DBAs: give tables that are written in transactions ENGINE=InnoDB.';

/** Failures after which there is no transaction, or nobody to ask. */
const UNDONE_BY_SERVER = new Set([
  'BEDS_STORE_DEADLOCK',
  'BEDS_STORE_UNAVAILABLE',
  'BEDS_STORE_TIMEOUT',
  'BEDS_STORE_TRANSACTION_ENDED',
]);

/** Commits when `work` resolves; otherwise leaves the session dirty, so that it is rolled back before the outcome is reported. */
async function runTransaction<T>(
  session: Session,
  work: (scope: AdapterScope) => Promise<T>,
  { mode, progress, deadline, habits }: Pick<Sending, 'mode' | 'progress' | 'deadline'> & { readonly habits: Habits },
): Promise<T> {
  const calls = new TransactionCalls(session, deadline, habits);
  await session.begin(mode === 'write');
  deadline.remainingMs();
  try {
    const result = await work(calls);
    await calls.finish();
    deadline.remainingMs();
    progress.mayHaveCommitted = true;
    await session.commit();
    return result;
  } catch (error) {
    session.isDirty = true;
    await calls.finish().catch(() => undefined);
    const isUndone = isBedsError(error) && UNDONE_BY_SERVER.has(error.code);
    if (isUndone) throw error;
    if (!(await session.isIntact())) throw storeErrors.make('BEDS_STORE_TRANSACTION_ENDED');
    if (mode === 'write' && !(await session.rollBack()))
      throw storeErrors.make('BEDS_STORE_TRANSACTION_ENDED', NOT_UNDONE, { hint: UNDOABLE });
    throw error;
  }
}
