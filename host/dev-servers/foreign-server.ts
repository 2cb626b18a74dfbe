import { servicesErrors } from '../errors/services.js';
import type { ServerDefinition, ServerState, Service } from './contract.js';
import { runControl } from './private-server.js';

/** A server that somebody else runs: configured by URL, or started by another command of this checkout. */
export class ForeignServer implements Service {
  readonly owned = false;
  readonly #state: ServerState;

  constructor(state: ServerState) {
    this.#state = state;
  }

  get name(): Service['name'] {
    return this.#state.name;
  }
  get url(): string {
    return this.#state.url;
  }
  get adminUrl(): string {
    return this.#state.url;
  }
  get host(): string {
    return this.#state.host;
  }
  get port(): number {
    return this.#state.port;
  }
  get version(): string {
    return this.#state.serverVersion;
  }
  get kind(): Service['kind'] {
    return this.#state.kind;
  }
  get source(): Service['source'] {
    return this.#state.source;
  }
  get pid(): number | undefined {
    return this.#state.process?.pid;
  }

  start(): Promise<void> {
    return this.#refuse();
  }
  stop(): Promise<void> {
    return this.#refuse();
  }
  kill(): Promise<void> {
    return this.#refuse();
  }

  control(args: readonly string[]): Promise<string> {
    return runControl(this.#state.control, args, this.name);
  }

  #refuse(): Promise<void> {
    const words = `${this.name} at ${this.host}:${String(this.port)} was not started by this command.`;
    return Promise.reject(servicesErrors.make('BEDS_SERVICES_NOT_OWNED', words));
  }
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  'amqp:': 5672,
  'amqps:': 5671,
  'mysql:': 3306,
  'mariadb:': 3306,
  'mongodb:': 27_017,
  'mongodb+srv:': 27_017,
};

/** A server from its URL variable. It is not contacted: whoever uses it says whether it answers. */
export function configuredServer(definition: ServerDefinition, url: string): ForeignServer {
  const address = parseAddress(url);
  if (address === undefined) {
    const words = `${definition.urlVariable} is not a URL that ${definition.title} understands.`;
    throw servicesErrors.make('BEDS_SERVICES_URL_INVALID', words);
  }
  const common = { version: 1, name: definition.name, url, serverVersion: 'unknown', processes: [] } as const;
  return new ForeignServer({ ...common, ...address, kind: 'unknown', source: 'configured' });
}

// n.b. a MongoDB URL may list several hosts, which the URL parser refuses.
function parseAddress(url: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^([a-z+]+:)\/\/(?:[^@/]*@)?(\[[^\]]+\]|[^:/?,]+)(?::(\d+))?/.exec(url);
  const defaultPort = DEFAULT_PORTS[match?.[1] ?? ''];
  if (match?.[2] === undefined || defaultPort === undefined) return undefined;
  return { host: match[2], port: Number(match[3] ?? defaultPort) };
}
