import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { servicesErrors } from '../errors/services.js';
import type {
  InstalledServer,
  LaunchPlan,
  ServerDefinition,
  ServerState,
  Service,
  ServiceContext,
} from './contract.js';
import { LOOPBACK } from './free-port.js';
import { launchGuarded } from './guarded-process.js';
import type { GuardedProcess } from './guarded-process.js';
import { makePrivateFolder } from './private-file.js';
import { runChecked } from './provision/run-command.js';
import { forgetPorts, recallServer } from './server-memory.js';
import { logTail, removeState, writeState } from './server-state.js';

const READY_TIMEOUT_MS = 60_000;
const PROBE_INTERVAL_MS = 50;
const PORT_ATTEMPTS = 3;
const CONTROL_TIMEOUT_MS = 60_000;
const PORT_TAKEN = /eaddrinuse|address (is )?already in use|do you already have another/i;

interface PrivateServerParts {
  readonly directory: string;
  readonly definition: ServerDefinition;
  readonly installed: InstalledServer;
  readonly context: ServiceContext;
}

/** A server that this command started, and stops. */
export class PrivateServer implements Service {
  readonly owned = true;
  readonly #parts: PrivateServerParts;
  readonly #logFile: string;
  #plan: LaunchPlan | undefined;
  #process: GuardedProcess | undefined;
  #version = 'unknown';
  /** Starting and stopping happen one after the other, in the order in which they were asked for. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: PrivateServerParts) {
    this.#parts = parts;
    this.#logFile = join(makePrivateFolder(join(parts.context.folder, 'log')), 'server.log');
  }

  get name(): Service['name'] {
    return this.#parts.definition.name;
  }
  get kind(): Service['kind'] {
    return this.#parts.installed.kind;
  }
  get source(): Service['source'] {
    return this.#parts.installed.source;
  }
  get host(): string {
    return LOOPBACK;
  }
  get url(): string {
    return this.#plan?.url ?? '';
  }
  get adminUrl(): string {
    return this.url;
  }
  get port(): number {
    return this.#plan?.port ?? 0;
  }
  get version(): string {
    return this.#version;
  }
  get pid(): number | undefined {
    return this.#process?.processes.at(-1)?.pid;
  }

  start(): Promise<void> {
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

  stop(): Promise<void> {
    return this.#inTurn(() => this.#end((running) => running.stop()));
  }

  kill(): Promise<void> {
    return this.#inTurn(() => this.#end((running) => running.kill()));
  }

  control(args: readonly string[]): Promise<string> {
    return runControl(this.#plan?.control, args, this.name);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async #attempt(): Promise<Error | undefined> {
    const { definition, installed, context } = this.#parts;
    const memory = await recallServer(context.folder, definition.portCount);
    const place = { folder: context.folder, password: memory.password, ports: memory.ports };
    const plan = this.#plan ?? (await installed.plan(place));
    const running = await launchGuarded(plan.commands, this.#logFile);
    try {
      this.#version = await this.#untilReady(plan, running);
    } catch (error) {
      await running.stop();
      if (this.#plan === undefined) forgetPorts(context.folder, memory);
      return error as Error;
    }
    this.#plan = plan;
    this.#process = running;
    void running.ended.then(() => this.#forget(running));
    writeState(this.#parts.directory, this.#state(plan, running));
    running.hold(false);
    return undefined;
  }

  async #untilReady(plan: LaunchPlan, running: GuardedProcess): Promise<string> {
    const { definition, context } = this.#parts;
    const deadline = Date.now() + READY_TIMEOUT_MS;
    let ended: string | undefined;
    void running.ended.then((how) => (ended = how));
    for (;;) {
      const version = await plan.probe();
      if (ended !== undefined) throw this.#failed(ended);
      if (version !== undefined) return version;
      if (context.signal.aborted) {
        throw servicesErrors.make('BEDS_SERVICES_ABORTED', `The start of ${definition.title} was called off.`);
      }
      if (Date.now() > deadline) throw this.#failed(`it was not ready after ${String(READY_TIMEOUT_MS / 1000)} s`);
      await delay(PROBE_INTERVAL_MS);
    }
  }

  #failed(how: string): Error {
    const { title } = this.#parts.definition;
    const said = logTail(this.#logFile);
    return servicesErrors.make(
      'BEDS_SERVICES_START_FAILED',
      `${title} did not start: ${how}. Last lines of ${this.#logFile}:\n${said}`,
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
    removeState(this.#parts.directory, this.name);
  }

  #state(plan: LaunchPlan, running: GuardedProcess): ServerState {
    const server = running.processes.at(-1);
    return {
      version: 1,
      name: this.name,
      url: plan.url,
      host: LOOPBACK,
      port: plan.port,
      serverVersion: this.#version,
      kind: this.kind,
      source: this.source,
      processes: running.processes,
      guard: running.guard,
      ...(server === undefined ? {} : { process: server }),
      ...(plan.control === undefined ? {} : { control: plan.control }),
    };
  }
}

/** Runs a server's administration program. */
export function runControl(control: ServerState['control'], args: readonly string[], name: string): Promise<string> {
  if (control === undefined) {
    const words = `There is no administration program for ${name} here.`;
    return Promise.reject(servicesErrors.make('BEDS_SERVICES_COMMAND_FAILED', words));
  }
  return runChecked(control.command, { args, env: control.env, timeoutMs: CONTROL_TIMEOUT_MS });
}
