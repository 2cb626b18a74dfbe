import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { servicesErrors } from '../errors/dev-servers.js';
import type {
  InstalledServer,
  LaunchPlan,
  ServerDefinition,
  ServerState,
  Service,
  ServiceContext,
} from './contract.js';
import { launchGuarded, type GuardedProcess } from './guarded-process.js';
import { acceptsConnections, LOOPBACK } from './ports.js';
import { runCommand } from './provision/programs.js';
import { forgetPorts, logTail, makePrivateFolder, recallServer, removeState, writeState } from './server-folder.js';

/** MySQL takes a second of processor time to begin, and a busy machine has none. */
const READY_TIMEOUT_MS = 180_000;
const PROBE_INTERVAL_MS = 50;
const PORT_ATTEMPTS = 3;
const CONTROL_TIMEOUT_MS = 60_000;
const PORT_TAKEN = /eaddrinuse|address (is )?already in use|do you already have another/i;

/** A server that somebody else runs: configured by URL, or started by another command of this checkout. */
export class ForeignServer implements Service {
  readonly owned: boolean = false;
  protected state: ServerState;

  constructor(state: ServerState) {
    this.state = state;
  }

  get name(): Service['name'] {
    return this.state.name;
  }
  get url(): string {
    return this.state.url;
  }
  get host(): string {
    return this.state.host;
  }
  get port(): number {
    return this.state.port;
  }
  get version(): string {
    return this.state.serverVersion;
  }
  get kind(): Service['kind'] {
    return this.state.kind;
  }
  get source(): Service['source'] {
    return this.state.source;
  }
  get pid(): number | undefined {
    return this.state.process?.pid;
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

  async control(args: readonly string[]): Promise<string> {
    const { control, name } = this.state;
    if (control !== undefined) {
      return runCommand(control.command, { args, env: control.env, timeoutMs: CONTROL_TIMEOUT_MS });
    }
    throw servicesErrors.make('BEDS_SERVICES_COMMAND_FAILED', `There is no administration program for ${name} here.`);
  }

  #refuse(): Promise<void> {
    const words = `${this.name} at ${this.host}:${String(this.port)} was not started by this command.`;
    return Promise.reject(servicesErrors.make('BEDS_SERVICES_NOT_OWNED', words));
  }
}

/** One server cannot read the data of another. */
function dataFolder({ folder, newer }: ServiceContext): string {
  return newer === undefined ? folder : makePrivateFolder(join(folder, newer.packageName));
}

interface PrivateServerParts {
  readonly directory: string;
  readonly definition: ServerDefinition;
  readonly installed: InstalledServer;
  readonly context: ServiceContext;
}

/** A server that this command started, and stops. */
export class PrivateServer extends ForeignServer {
  override readonly owned = true;
  readonly title: string;
  readonly #parts: PrivateServerParts;
  readonly #logFile: string;
  #plan: LaunchPlan | undefined;
  #process: GuardedProcess | undefined;
  /** Starts and stops run one after the other, in the order of the calls. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: PrivateServerParts) {
    const { definition, installed, context } = parts;
    super({
      version: 1,
      name: definition.name,
      url: '',
      host: LOOPBACK,
      port: 0,
      serverVersion: 'unknown',
      kind: installed.kind,
      source: installed.source,
      processes: [],
    });
    this.title = installed.title ?? definition.title;
    this.#parts = parts;
    this.#logFile = join(makePrivateFolder(join(context.folder, 'log')), 'server.log');
  }

  override start(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#process !== undefined) return;
      // After a first start the address is known to others, so it stays.
      const attempts = this.#plan === undefined ? PORT_ATTEMPTS : 1;
      for (let attempt = 1; ; attempt += 1) {
        const problem = await this.#attempt();
        if (problem === undefined) return;
        if (attempt >= attempts || !PORT_TAKEN.test(problem.message)) throw problem;
      }
    });
  }

  override stop(): Promise<void> {
    return this.#inTurn(() => this.#end((running) => running.stop()));
  }

  override kill(): Promise<void> {
    return this.#inTurn(() => this.#end((running) => running.kill()));
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async #attempt(): Promise<Error | undefined> {
    const { definition, installed, context, directory } = this.#parts;
    const { password, ports } = await recallServer(context.folder, definition.portCount);
    const plan = this.#plan ?? (await installed.plan({ folder: dataFolder(context), password, ports }));
    const running = await launchGuarded(plan.commands, this.#logFile);
    try {
      this.state = this.#stateOf(plan, running, await this.#untilReady(plan, running));
    } catch (error) {
      await running.stop();
      if (this.#plan === undefined) forgetPorts(context.folder, password);
      return error as Error;
    }
    this.#plan = plan;
    this.#process = running;
    void running.ended.then(() => this.#forget(running));
    writeState(directory, this.state);
    running.hold(false);
    return undefined;
  }

  async #untilReady(plan: LaunchPlan, running: GuardedProcess): Promise<string> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    let ended: string | undefined;
    void running.ended.then((how) => (ended = how));
    for (;;) {
      const accepts = await acceptsConnections(plan.port);
      const version = accepts ? await plan.probe().catch(() => undefined) : undefined;
      if (ended !== undefined) throw this.#failed(ended);
      if (version !== undefined) return version;
      if (this.#parts.context.signal.aborted) {
        throw servicesErrors.make('BEDS_SERVICES_ABORTED', `The start of ${this.title} was called off.`);
      }
      if (Date.now() > deadline) throw this.#failed(`it was not ready after ${String(READY_TIMEOUT_MS / 1000)} s`);
      await delay(PROBE_INTERVAL_MS);
    }
  }

  #failed(how: string): Error {
    return servicesErrors.make(
      'BEDS_SERVICES_START_FAILED',
      `${this.title} did not start: ${how}. Last lines of ${this.#logFile}:\n${logTail(this.#logFile)}`,
    );
  }

  async #end(how: (running: GuardedProcess) => Promise<void>): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    await how(running);
    this.#forget(running);
  }

  #forget(running: GuardedProcess): void {
    if (this.#process !== running) return;
    this.#process = undefined;
    const { process: _ended, guard: _guard, ...rest } = this.state;
    this.state = { ...rest, processes: [] };
    removeState(this.#parts.directory, this.name);
  }

  #stateOf({ url, port, control }: LaunchPlan, { processes, guard }: GuardedProcess, version: string): ServerState {
    const server = processes.at(-1);
    return {
      ...this.state,
      url,
      port,
      serverVersion: version,
      processes,
      guard,
      ...(server === undefined ? {} : { process: server }),
      ...(control === undefined ? {} : { control }),
    };
  }
}
