import type { ProcessIdentity } from '../process-identity.js';

export const serviceNames = ['rabbitmq', 'mariadb', 'mongodb'] as const;

export type ServiceName = (typeof serviceNames)[number];

/** Where a server's programs came from. `configured`: a URL of the user; nothing was started. */
export type ServiceSource =
  'configured' | 'path' | 'distribution-packages' | 'mongodb-memory-server' | 'mongo-java-server';

export type ServiceKind = 'rabbitmq' | 'mariadb' | 'mysql' | 'mongod' | 'mongo-java-server' | 'unknown';

/** What happens while services start. */
export interface ServiceProgress {
  readonly type:
    'configured' | 'downloading' | 'fallback' | 'ready' | 'reused' | 'starting' | 'stopped' | 'unpacking' | 'waiting';
  readonly service: ServiceName;
  /** The same for a person. */
  readonly words: string;
}

/** How to run an administration program (rabbitmqctl) against a running server. */
export interface ControlCommand {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
}

/** What is known of a running server; this is what its state file holds. */
export interface ServerState {
  readonly version: 1;
  readonly name: ServiceName;
  /** With the credentials of an administrator: a secret. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly serverVersion: string;
  readonly kind: ServiceKind;
  readonly source: ServiceSource;
  /** The server's own process; undefined for a configured one. */
  readonly process?: ProcessIdentity;
  /** Every process of the server, helpers (epmd) included. */
  readonly processes: readonly ProcessIdentity[];
  readonly guard?: ProcessIdentity;
  readonly control?: ControlCommand;
}

export type ServicesState = Readonly<Partial<Record<ServiceName, ServerState>>>;

/** One server in use. */
export interface Service {
  readonly name: ServiceName;
  /** AMQP, MySQL or MongoDB URL with the credentials of an administrator: a secret, never print it. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly version: string;
  readonly kind: ServiceKind;
  readonly source: ServiceSource;
  /** Process id of the server; undefined when it was configured or is stopped. */
  readonly pid: number | undefined;
  /** Whether this command started it (and will stop it). */
  readonly owned: boolean;
  /** Starts it again after `stop` or `kill`: same port, same data. Throws BEDS_SERVICES_NOT_OWNED, BEDS_SERVICES_START_FAILED. */
  start(): Promise<void>;
  /** Ends it in order; idempotent. Throws BEDS_SERVICES_NOT_OWNED. */
  stop(): Promise<void>;
  /** SIGKILL, as a crash would; idempotent. Throws BEDS_SERVICES_NOT_OWNED. */
  kill(): Promise<void>;
  /**
   * Runs the administration program (`rabbitmqctl`) and resolves to what it printed.
   * Throws BEDS_SERVICES_COMMAND_FAILED, also when the server has no such program.
   */
  control(args: readonly string[]): Promise<string>;
}

export interface Services extends Readonly<Partial<Record<ServiceName, Service>>> {
  /** Stops what this call started, all at once, bounded; a second call joins the first. */
  close(): Promise<void>;
}

export interface ProvisionOptions {
  /** Directories searched for programs. Default: PATH and the usual system directories. */
  readonly searchPath?: readonly string[];
  /** Whether packages may be downloaded. Default true. */
  readonly downloads?: boolean;
  /** Where unpacked packages are kept. Default: `$XDG_CACHE_HOME/beds`, `~/.cache/beds`. */
  readonly cacheDirectory?: string;
  /** Which servers, of `newerServers`, instead of those on the PATH or of the system's packages. Default: BEDS_SERVERS. */
  readonly servers?: string | undefined;
}

/** A server that is newer than the system's: the package of Debian unstable that it comes from, and what its version must be. */
export interface NewerServer {
  readonly title: string;
  readonly packageName: string;
  readonly version: RegExp;
}

export interface StartOptions {
  /** Data, logs and state of the servers, one folder each. Made when absent. */
  readonly directory: string;
  readonly need: readonly ServiceName[];
  readonly onProgress?: (event: ServiceProgress) => void;
  readonly signal?: AbortSignal;
  /** Default `process.env`; BEDS_RABBITMQ_URL, BEDS_MARIADB_ADMIN_URL and BEDS_MONGODB_URL are read from it. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly provision?: ProvisionOptions;
}

/** What an installer and a planner may use. */
export interface ServiceContext extends Pick<ServerDefinition, 'name' | 'title'> {
  /** What is wanted in the place of the system's own server. */
  readonly newer: NewerServer | undefined;
  /** The server's own folder: `<directory>/<name>`. */
  readonly folder: string;
  readonly provision: ProvisionOptions;
  readonly progress: (type: ServiceProgress['type'], words: string) => void;
  readonly signal: AbortSignal;
}

/** One program to run. The last of a plan is the server; those before it are helpers that end with it. */
export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

export interface LaunchPlan {
  readonly commands: readonly ServerCommand[];
  readonly url: string;
  readonly port: number;
  readonly control?: ControlCommand;
  /** Resolves to the version of the server that takes our credentials; rejects while none does. */
  readonly probe: () => Promise<string>;
}

/** A server whose programs are present. */
export interface InstalledServer {
  readonly source: ServiceSource;
  readonly kind: ServiceKind;
  /** Its own name where that is not the title of its definition: MySQL in the place of MariaDB. */
  readonly title?: string;
  /** Writes configuration and first data, and says what to run. `ports` are remembered between runs. */
  plan(place: ServerPlace): Promise<LaunchPlan>;
}

export interface ServerPlace {
  readonly folder: string;
  readonly password: string;
  /** As many as `ServerDefinition.portCount`; the first is the server's. */
  readonly ports: readonly number[];
}

/** Package names of one server, by package manager. */
export interface PackageNames {
  readonly apt: string;
  readonly dnf: string;
  readonly apk: string;
  readonly pacman: string;
  readonly brew: string;
}

/** One of the servers: the only thing that knows its programs. */
export interface ServerDefinition {
  readonly name: ServiceName;
  readonly title: string;
  readonly urlVariable: string;
  readonly portCount: number;
  /** What a person installs where nothing can be provided. */
  readonly packages: PackageNames;
  /** Finds or downloads its programs; undefined where that cannot be done here. */
  install(context: ServiceContext): Promise<InstalledServer | undefined>;
}
