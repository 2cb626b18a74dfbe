import type {
  RoutineRows,
  JsonObject,
  ObjectManifest,
  Page,
  ValueDescription,
  ValueType,
  ViewQuery,
  Where,
} from '@beds/sdk';
import type { StoreConfig } from '../config/schema.js';
import type { ResultHolder } from './result-budget.js';

/**
 * What an adapter knows of one named object, read from the database's own catalogue. Immutable and plain data: it is
 * sent to other threads and kept by the generation that was checked against it.
 */
export type NamedObject =
  | {
      readonly kind: 'procedure' | 'function';
      readonly name: string;
      /** In the order the database wants them. */
      readonly args: readonly NamedValue[];
      /** Of a procedure: its OUT and INOUT parameters, which come back as a row after its result sets. Absent: it has none. */
      readonly gives?: readonly GivenParameter[];
      /** Whether a call that fails may have kept a part of its work. Default false. */
      readonly inParts?: true;
      /** Whether calls that come at once may be one transaction, as the template says. Default false. */
      readonly together?: true;
      /** Of a function: the type that the template says it returns, where the database knows it. */
      readonly declared?: ValueType;
      /** What only this adapter understands. Of every store: `notSupported` says why it cannot be served, `uncarried` of which type columns are that are left out. */
      readonly native: JsonObject;
    }
  | {
      readonly kind: 'view';
      readonly name: string;
      readonly columns: readonly NamedValue[];
      readonly native: JsonObject;
    };

export interface NamedValue extends ValueDescription {
  readonly name: string;
  /** The database's own name of the type, for messages. */
  readonly nativeType: string;
  /** Whether the database takes or gives null here; it still has to be named unless it is `optional`. */
  readonly nullable?: boolean;
  /** Types that a template may declare it as instead, where the database's own type does not tell. */
  readonly alternatives?: readonly ValueType[];
  /** What the database compares text by, where its adapter has to name it. */
  readonly collation?: string;
  /** Of a text: the database compares it by its bytes, and does not sort it so by itself. */
  readonly byBytes?: true;
  /** Its collation sorts in another order than it compares: what comes first is decided by the codes of its characters. */
  readonly byCodes?: true;
}

export interface GivenParameter extends NamedValue {
  /** Among all parameters, from 0. */
  readonly place: number;
  /** INOUT: it is one of `args`, too. */
  readonly isArgument: boolean;
}

/** Why a template's use of an object does not fit the database. */
export interface ObjectFinding {
  readonly code:
    | 'BEDS_PREFLIGHT_OBJECT_MISSING'
    | 'BEDS_PREFLIGHT_KIND_MISMATCH'
    | 'BEDS_PREFLIGHT_ARGUMENT_UNKNOWN'
    | 'BEDS_PREFLIGHT_ARGUMENT_MISSING'
    | 'BEDS_PREFLIGHT_TYPE_MISMATCH'
    | 'BEDS_PREFLIGHT_COLUMN_MISSING'
    | 'BEDS_PREFLIGHT_GRANT_MISSING'
    | 'BEDS_PREFLIGHT_NOT_SUPPORTED';
  readonly object: string;
  readonly message: string;
  readonly hint: string;
}

/** Columns of a view that no index serves: what compares with them, or sorts by them, reads every row. */
export interface Unindexed {
  readonly filters: readonly string[];
  readonly orders: readonly string[];
}

/** What the server behind a store can do, found by trying, once, when the adapter opens. */
export interface StoreCapabilities {
  readonly transactions: boolean;
  readonly readOnlyReads: boolean;
  readonly statementDeadline: boolean;
  readonly nativeViews: boolean;
  readonly accessControl: boolean;
}

export interface CallOptions {
  /** Milliseconds the work may take, inclusive of waiting for a connection. The server stops working when it is over. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Whoever keeps the result while it works with it. Absent: nobody does after the call. */
  readonly holder?: ResultHolder;
  /** Whether the operation may change data. Reads run in READ ONLY transactions where the server has them. */
  readonly mode: 'read' | 'write';
}

export interface UnindexedOptions {
  /** The column that ends every order. */
  readonly key: string;
  readonly timeoutMs: number;
}

export interface StoreStatus {
  readonly store: string;
  readonly kind: string;
  readonly server: string;
  readonly up: boolean;
  readonly capabilities: StoreCapabilities;
  readonly connections: {
    readonly inUse: number;
    readonly idle: number;
    readonly waiting: number;
    /** `poolSize`: connections, and calls at once, that there may be. */
    readonly most: number;
  };
  /** Code of the last failure to reach the server, if it is down. */
  readonly lastError?: string;
  /** The same in words, for operators: `nothing listens there (ECONNREFUSED)`. */
  readonly why?: string;
}

/**
 * One configured database, seen from one thread. Errors are `BEDS_STORE_*`; none carries data of the request.
 * Implementations: mysql/, mongodb/. All pass test/support/adapter-conformance.ts.
 */
export interface StoreAdapter {
  readonly store: string;
  /** Connects far enough to know the capabilities. Rejects with BEDS_STORE_UNAVAILABLE after `connectTimeoutMs`. */
  open(): Promise<void>;
  /** Reads the catalogue afresh. Names that do not exist (or are not granted, which looks the same) are absent from the result. */
  describe(names: readonly string[]): Promise<ReadonlyMap<string, NamedObject>>;
  /** Every named object that the account may see, in the order of the names. */
  names(): Promise<readonly string[]>;
  /** Compares what a template needs with what the catalogue says; pure. */
  readonly check: (use: ObjectManifest, found: NamedObject | undefined) => readonly ObjectFinding[];
  /** What `unindexed` of the configuration says of such columns. */
  readonly unindexed: StoreConfig['unindexed'];
  /** Asks the server about every column; undefined where it does not tell. */
  findUnindexed(view: NamedObject, options: UnindexedOptions): Promise<Unindexed | undefined>;
  call(object: NamedObject, args: JsonObject, options: CallOptions): Promise<RoutineRows>;
  view(object: NamedObject, query: KeyedQuery, options: CallOptions): Promise<Page>;
  /** BEDS_STORE_NOT_SUPPORTED where `capabilities.transactions` is false. Any error rolls back. */
  transaction<T>(work: (scope: AdapterScope) => Promise<T>, options: CallOptions): Promise<T>;
  status(): StoreStatus;
  /** Waits for running work, at most `timeoutMs`, then ends connections. */
  close(timeoutMs: number): Promise<void>;
}

/** A view query as the host asks it; its `view` has been followed. */
export interface KeyedQuery extends ViewQuery {
  /** The column that makes its order total, so that a cursor never skips or repeats a row. */
  readonly key: string;
  /** Most rows in one page. Default 100,000. */
  readonly maxRows?: number;
  /** What every row must have beside what the query asks, whatever that says: the rows of who is signed in. */
  readonly rows?: Where | undefined;
}

export interface AdapterScope {
  call(object: NamedObject, args: JsonObject): Promise<RoutineRows>;
  view(object: NamedObject, query: KeyedQuery): Promise<Page>;
}
