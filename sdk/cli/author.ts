import type * as generator from '../generate/index.js';
import type * as language from '../spec/index.js';
import type { CheckedSpecification } from '../spec/index.js';
import type { Manifest } from '../template/manifest.js';
import type { CommandContext } from './command.js';
import type { Environment } from './output.js';

/** What an author's command is given. */
export interface AuthorContext extends CommandContext {
  /** Relative directories of the configuration start here: the nearest folder upwards with a config/beds.toml, else with a package.json; or the checkout. */
  readonly projectRoot: string;
  /** How `beds` is written on the command line here: `npx beds`. */
  readonly beds: string;
  /** What knows databases and hosts; loaded when it is asked for. */
  readonly tools: () => Promise<AuthorTools>;
  /** Runs a host in this process, where the program is one. */
  readonly startHost?: (options: StartHostOptions) => Promise<DevHost>;
}

export interface StartHostOptions {
  readonly domains: readonly { readonly name: string; readonly folder: string }[];
  /** Opens the debugger's door, and leaves threads that stand at a breakpoint alone. */
  readonly inspect: boolean;
  readonly onLine: (line: HostLine) => void;
}

/** A line of a host's log, or a fault that it tells of. */
export interface HostLine {
  readonly level: 'info' | 'warn' | 'error';
  readonly text: string;
  /** A stack, with the author's lines. */
  readonly detail?: string;
}

/** A host that takes bundles. */
export interface DevHost {
  /** Resolves when the bundle serves everywhere, or never will. */
  deploy(bundlePath: string): Promise<{ readonly isLive: boolean; readonly findings: readonly Finding[] }>;
  close(): Promise<void>;
}

/** One thing that is wrong, and what to do about it. */
export interface Finding {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

export type StoreKind = 'mysql' | 'mongodb';

/** What the configuration says to an author: the same files and variables as the host's. */
export interface AuthorSettings {
  /** `plugins.directory`, absolute: where a host looks for bundles, and every command for domains by their names. */
  readonly plugins: string;
  /** Whether a file or a variable says so, rather than the default. */
  readonly isPluginsSaid: boolean;
  readonly stores: Readonly<Record<string, StoreKind>>;
  /** Who answers prompts: `assistant.provider`. */
  readonly provider: 'files' | 'openai' | 'anthropic';
}

/** A prompt for the model of the configuration. */
export interface ModelRequest {
  readonly prompt: string;
  /** JSON Schema of the answer, for endpoints that hold a model to one. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** What was used for the same work before. */
  readonly spent: TokenUse;
  /** With every request that was answered, also in part: all that is used now. */
  readonly onSpent: (spent: TokenUse) => void;
}

/** What work with a model has used. Tokens that nobody counted are estimated. */
export interface TokenUse {
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** 0 where the configuration has no prices. */
  readonly usd: number;
}

export interface ModelAnswer {
  readonly text: string;
  /** `declined`: the text says why the model does not answer. */
  readonly end: 'whole' | 'cut-off' | 'declined';
}

export interface ApplyRequest {
  /** Holds the folders of the domains. */
  readonly folder: string;
  /** Names of folders in it; all that have a `db/` where it is empty. */
  readonly domains: readonly string[];
  readonly force: boolean;
  readonly change?: Pick<ChangeRequest, 'allowLoss' | 'acceptDrift'>;
  /** An account of the database that gets the objects, in place of one that is made for this project. */
  readonly account?: string | undefined;
}

export interface ChangeRequest {
  /** Holds the folders of the domains. */
  readonly folder: string;
  readonly domains: readonly string[];
  readonly allowLoss: boolean;
  readonly acceptDrift: boolean;
}

/** What a plan comes to. */
export type PlanState =
  /** Nothing of the domain is there. */
  | 'new'
  /** The database is made from this document. */
  | 'current'
  /** There is something to be done. */
  | 'change'
  /** A change was begun and not finished. */
  | 'unfinished'
  /** Expanded: both revisions work. */
  | 'expanded'
  | 'refused';

export type ChangePhase = 'live' | 'expanding' | 'expanded' | 'contracting' | 'undoing';

/** What a change of a database comes to. */
export interface ChangePlan {
  readonly domain: string;
  readonly store: string;
  readonly state: PlanState;
  readonly from: number | undefined;
  readonly to: number;
  readonly phase: ChangePhase | undefined;
  readonly expand: readonly PlannedStep[];
  readonly contract: readonly PlannedStep[];
  /** Rows that lose something: `--allow-loss`. */
  readonly losses: readonly CountedRows[];
  /** Rows that must be put right by hand before the contract. */
  readonly blocks: readonly CountedRows[];
  /** What cannot be done. */
  readonly refused: readonly string[];
  /** Where the database is not as it was made. */
  readonly drift: readonly string[];
  readonly notices: readonly string[];
  /** Objects of the revision before, which the contract drops. */
  readonly retired: readonly string[];
}

/** With who uses what the contract drops: undefined where no host was asked. */
export interface DatabasePlan extends ChangePlan {
  readonly users: readonly ObjectUser[] | undefined;
}

export interface PlannedStep {
  readonly words: string;
  /** For how long whom it holds up. */
  readonly lock: string;
  /** What the database is told: statements, or commands of MongoDB. */
  readonly sql: readonly string[];
}

export interface CountedRows {
  readonly rows: number;
  readonly words: string;
}

/** A version that uses objects of a database. */
export interface ObjectUser {
  readonly node: string;
  readonly domain: string;
  readonly version: string;
  /** `candidate`: it is on its way. `kept`: a rollback would bring it back. */
  readonly state: 'live' | 'candidate' | 'kept';
  readonly objects: readonly string[];
}

export interface DatabaseStatus {
  readonly domain: string;
  readonly store: string;
  readonly revision: number;
  readonly phase: ChangePhase;
  readonly nextRevision: number | undefined;
  readonly steps: readonly { readonly words: string; readonly state: string; readonly rows: number }[];
  readonly drift: readonly string[];
}

export interface ProveRequest {
  readonly specification: CheckedSpecification;
  /** The domain's own, with `template.ts` and `db/`. */
  readonly folder: string;
  readonly onStep: (step: ProofStep) => void;
}

/** A part of a proof. */
export interface ProofStep {
  readonly name: 'files' | 'template' | 'privileges' | 'examples' | 'races' | 'random calls' | 'plans';
  readonly tried: number;
  readonly failures: readonly string[];
}

/** What came of trying a domain on a database. */
export interface Proof {
  readonly ok: boolean;
  /** Version of the server. */
  readonly server: string;
  readonly steps: readonly ProofStep[];
  /** What holds, and could be better. */
  readonly notices: readonly string[];
  /** What this server cannot show, because it lacks something. */
  readonly notProved: readonly string[];
  /** SHA-256 of the files that were tried. */
  readonly of: string;
}

/** What a database or a host said of a version, or why it was not asked. */
export interface Opinion {
  readonly findings: readonly Finding[];
  /** What could be better, and keeps no version from serving. */
  readonly notices?: readonly Finding[];
  /** Why nobody was asked; absent: the findings are all there is. */
  readonly skipped?: string;
}

/** A value as a database describes it. */
export interface DescribedValue {
  readonly name: string;
  readonly type: string;
  /** The database's own name of the type. */
  readonly nativeType?: string;
  readonly optional?: boolean;
  readonly nullable?: boolean;
  readonly maxLength?: number;
  readonly min?: number;
  readonly max?: number;
}

/** A named object as its database describes it. */
export interface StoreObject {
  readonly kind: 'view' | 'procedure' | 'function';
  readonly name: string;
  readonly columns?: readonly DescribedValue[];
  readonly args?: readonly DescribedValue[];
  /** One value of a function, the columns of a row; absent where the database does not say. */
  readonly returns?: DescribedValue | readonly DescribedValue[];
  /** OUT and INOUT parameters of a procedure, which come back as a row after its result sets. */
  readonly gives?: readonly DescribedValue[];
  /** Why BEDS cannot serve it as it is. */
  readonly problem?: string;
}

export interface CollectionsRequest {
  readonly wanted: readonly string[];
  /** Most documents that are read of each. */
  readonly sample: number;
}

/** Databases and hosts, as an author reaches them: the code of the host itself, so that both say the same. */
export interface AuthorTools {
  /** Throws BEDS_CONFIG_INVALID. */
  settings(): AuthorSettings;
  /** Where to reach the hosts, as far as the configuration, a variable or a private server says. Throws BEDS_CONFIG_INVALID. */
  broker(): { readonly url: string; readonly prefix: string } | undefined;
  /** Puts the files of `db/` folders into their databases. Throws BEDS_DBA_*. */
  applyObjects(request: ApplyRequest): Promise<{ readonly applied: number; readonly unchanged: number }>;
  /** What applying would do to the databases of the domains that are made from a specification. Throws BEDS_DBA_*. */
  planObjects(request: ChangeRequest): Promise<readonly DatabasePlan[]>;
  /** Takes away what only the revisions before needed: as many steps. Throws BEDS_DBA_*. */
  contractObjects(request: ChangeRequest & { readonly isRetired: boolean }): Promise<number>;
  /** Takes the last expansion back: as many steps. Throws BEDS_DBA_*. */
  undoObjects(request: ChangeRequest): Promise<number>;
  /** What the databases were made from, of all domains or of those named. */
  databaseStatus(domains: readonly string[]): Promise<readonly DatabaseStatus[]>;
  /** What the database of a store says of some tables, as its administrator sees them. Writes nothing. Throws BEDS_DBA_*. */
  readTables(store: string, tables: readonly string[]): Promise<generator.MysqlTables>;
  /** What a sample of some collections holds: types and how often, and no value. Writes nothing. Throws BEDS_DBA_*. */
  readCollections(store: string, request: CollectionsRequest): Promise<generator.MongodbCollections>;
  /** Tries a generated domain on a database that exists for that alone, on the server of its store. Throws BEDS_DBA_*. */
  prove(request: ProveRequest): Promise<Proof>;
  /** What admission would say of the objects that a version uses. */
  checkObjects(manifest: Manifest): Promise<Opinion>;
  /** Every named object that the account of a store may see. Throws BEDS_CLI_ARGUMENT_INVALID without a url, BEDS_STORE_*. */
  describeStore(store: string): Promise<readonly StoreObject[]>;
  /** What a running host would say of a bundle: all of admission, and the contract of the version that serves. */
  checkWithHost(bundlePath: string): Promise<Opinion>;
  /** Asks the model of the configuration, within its bounds. Throws BEDS_CLI_MODEL_*. */
  askModel(request: ModelRequest): Promise<ModelAnswer>;
  /** The language of specifications; loaded when it is asked for. */
  language(): Promise<Language>;
  /** What makes files of specifications; loaded when it is asked for. */
  generator(): Promise<Generator>;
  /** The hosts on the RabbitMQ of the configuration; undefined where none answers. `onLine` hears of faults of these domains. */
  findHost(domains: readonly string[], onLine: (line: HostLine) => void): Promise<DevHost | undefined>;
}

/** What checks and explains specifications. */
export type Language = typeof language;

/** What makes the files of a domain from its specification. */
export type Generator = typeof generator;

/** Where tools work, and for whom. */
export interface ToolsPlace {
  readonly projectRoot: string;
  readonly env: Environment;
  readonly signal: AbortSignal;
  /** Takes a line about what goes on. */
  readonly note: (text: string) => void;
}
