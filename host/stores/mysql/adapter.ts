import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError } from '@beds/sdk';
import type { CallResult, JsonObject, ObjectManifest, Page } from '@beds/sdk';
import type { StoreConfig } from '../../config/schema.js';
import { checkUse } from '../check-use.js';
import type {
  AdapterScope,
  CallOptions,
  KeyedQuery,
  NamedObject,
  ObjectFinding,
  StoreAdapter,
  StoreCapabilities,
  StoreStatus,
} from '../contract.js';
import { Deadline } from '../deadline.js';
import { readCatalogue } from './catalogue.js';
import { Connector } from './connector.js';
import { readEndpoint } from './driver.js';
import type { DriverRow, Endpoint } from './driver.js';
import { Killer } from './killer.js';
import { Pool } from './pool.js';
import type { Session } from './session.js';
import { SessionRunner } from './session-runner.js';
import type { SessionWork } from './session-runner.js';
import { runTransaction } from './transaction.js';
import { callWork, sendAlone, viewWork } from './work.js';
import type { Progress, Work } from './work.js';

const MAX_ATTEMPTS = 4;
const RETRY_PAUSE_MS = 20;
const DESCRIBE_TIMEOUT_MS = 10_000;
const UNKNOWN: StoreCapabilities = {
  transactions: false,
  readOnlyReads: false,
  statementDeadline: false,
  nativeViews: false,
  accessControl: false,
};

type TimeLimits = Pick<CallOptions, 'timeoutMs' | 'signal'>;

/** Serves a store on MySQL or MariaDB. Throws BEDS_STORE_URL_INVALID. */
export function createMysqlAdapter(options: { readonly store: string; readonly config: StoreConfig }): StoreAdapter {
  return new MysqlAdapter(options.store, options.config, readEndpoint(options.store, options.config));
}

class MysqlAdapter implements StoreAdapter {
  readonly store: string;
  readonly #config: StoreConfig;
  readonly #database: string;
  readonly #connector: Connector;
  readonly #pool: Pool;
  readonly #killer: Killer;
  readonly #sessions: SessionRunner;

  constructor(store: string, config: StoreConfig, { database, connect }: Endpoint) {
    this.store = store;
    this.#config = config;
    this.#database = database;
    this.#connector = new Connector(connect, config);
    this.#killer = new Killer(connect);
    this.#pool = new Pool({
      connector: this.#connector,
      poolSize: config.poolSize,
      queueLimit: config.queueLimit,
      acquireTimeoutMs: config.acquireTimeoutMs,
    });
    this.#sessions = new SessionRunner(this.#pool, this.#killer);
  }

  async open(): Promise<void> {
    await this.#pool.open();
  }

  describe(names: readonly string[]): Promise<ReadonlyMap<string, NamedObject>> {
    const work: SessionWork<ReadonlyMap<string, NamedObject>> = {
      mode: 'read',
      progress: { mayHaveCommitted: false },
      run: (session) =>
        readCatalogue(
          async (sql, values) => (await session.execute(sql, values)).result as DriverRow[],
          this.#database,
          names,
        ),
    };
    return this.#within({ timeoutMs: DESCRIBE_TIMEOUT_MS }, (deadline) => this.#sessions.use(deadline, work));
  }

  check(use: ObjectManifest, found: NamedObject | undefined): readonly ObjectFinding[] {
    const notSupported = found?.native['notSupported'];
    return typeof notSupported === 'string' ? [unserved(use.name, notSupported)] : checkCarried(use, found);
  }

  call(object: NamedObject, args: JsonObject, options: CallOptions): Promise<CallResult> {
    return this.#attempt(() => callWork(object, args), options);
  }

  view(object: NamedObject, query: KeyedQuery, options: CallOptions): Promise<Page> {
    return this.#attempt(() => viewWork(object, query), options);
  }

  /** Not tried again after a deadlock: the work may have done what no database undoes. It is told BEDS_STORE_DEADLOCK. */
  transaction<T>(work: (scope: AdapterScope) => Promise<T>, options: CallOptions): Promise<T> {
    const progress: Progress = { mayHaveCommitted: false };
    const { mode, holder } = options;
    return this.#within(options, (deadline) => {
      const run = (session: Session): Promise<T> => runTransaction(session, work, { progress, deadline });
      return this.#sessions.use(deadline, { mode, progress, holder, run });
    });
  }

  status(): StoreStatus {
    const { profile, lastError } = this.#connector;
    return {
      store: this.store,
      kind: this.#config.kind,
      server: profile?.version ?? 'unknown',
      up: profile !== undefined && lastError === undefined,
      capabilities: profile?.capabilities ?? UNKNOWN,
      connections: this.#pool.counts,
      ...(lastError === undefined ? {} : { lastError }),
    };
  }

  async close(timeoutMs: number): Promise<void> {
    await this.#pool.close(timeoutMs);
    this.#killer.close();
  }

  async #within<T>(options: TimeLimits, work: (deadline: Deadline) => Promise<T>): Promise<T> {
    const deadline = new Deadline(options);
    try {
      return await work(deadline);
    } finally {
      deadline.end();
    }
  }

  async #attempt<T>(make: () => Work<T>, options: CallOptions): Promise<T> {
    const work = make();
    return this.#within(options, (deadline) => this.#repeat(work, options, deadline));
  }

  /** Runs a single call, again after a deadlock; a read also once more on another connection if its own was dead. */
  async #repeat<T>(work: Work<T>, options: CallOptions, deadline: Deadline): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(work, options, deadline);
      } catch (error) {
        const code = isBedsError(error) ? error.code : '';
        const lostRead = code === 'BEDS_STORE_UNAVAILABLE' && options.mode === 'read' && attempt === 1;
        const gaveWay = code === 'BEDS_STORE_DEADLOCK' && attempt < MAX_ATTEMPTS;
        if (!lostRead && !gaveWay) throw error;
        if (gaveWay) await delay(Math.min(Math.random() * RETRY_PAUSE_MS * 2 ** attempt, deadline.remainingMs()));
      }
    }
  }

  #once<T>(work: Work<T>, { mode, holder }: CallOptions, deadline: Deadline): Promise<T> {
    const progress: Progress = { mayHaveCommitted: false };
    const send = sendAlone({ kind: work.kind, mode, progress, deadline });
    const run = (session: Session): Promise<T> => work.run(session, send);
    return this.#sessions.use(deadline, { mode, progress, args: work.args, holder, run });
  }
}

/** A column that is there and cannot be carried is not a column that is missing, for which a version would wait. */
function checkCarried(use: ObjectManifest, found: NamedObject | undefined): readonly ObjectFinding[] {
  const uncarried = found?.native['uncarried'];
  if (use.kind !== 'view' || typeof uncarried !== 'object' || uncarried === null) return checkUse(use, found);
  const types = new Map(Object.entries(uncarried));
  const columns = Object.entries(use.columns);
  const reasons = columns.flatMap(([name]) => {
    const type = types.get(name);
    return typeof type === 'string'
      ? [unserved(use.name, `its column ${name} is ${type}, which BEDS cannot carry`)]
      : [];
  });
  const carried = Object.fromEntries(columns.filter(([name]) => !types.has(name)));
  return [...reasons, ...checkUse({ ...use, columns: carried }, found)];
}

function unserved(object: string, reason: string): ObjectFinding {
  return {
    code: 'BEDS_PREFLIGHT_NOT_SUPPORTED',
    object,
    message: `${object} cannot be served: ${reason}.`,
    hint: 'Ask the DBA to change the object.',
  };
}
