import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { OwnDesk } from '../admin/admin-node.js';
import { readOwnerToken } from '../admin/orders.js';
import type { DesignPart, DesignsPart } from '../admin/shown.js';
import { isLoopback } from '../config/cross-checks.js';
import { directoriesOf } from '../config/load.js';
import type { Config } from '../config/schema.js';
import { dashboardErrors } from '../errors/dashboard.js';
import type { Log } from '../observe/log.js';
import { essentialEnvironment } from '../threads/handle.js';

/** What the process is told first. n.b. secrets: they are in no argument and no variable. */
export interface DashboardData {
  readonly amqp: { readonly url: string; readonly prefix: string };
  readonly host: string;
  readonly port: number;
  /** Whether the next free port is as good. */
  readonly mayMove: boolean;
  readonly names: readonly string[];
  /** Paths of PEM files; empty: without TLS. */
  readonly certificate: string;
  readonly key: string;
  readonly maxBundleBytes: number;
  /** Whoever has it is let in. Undefined: only accounts are. */
  readonly hostKey: string | undefined;
  /** What orders of those whom the key let in carry: they can read the secret of the admin node as well. */
  readonly ownerToken: string | undefined;
}

/** What the process tells. */
export type DashboardMessage =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  | { readonly kind: 'fault'; readonly message: string }
  | { readonly kind: 'ask'; readonly id: number; readonly message: Readonly<Record<string, unknown>> };

/** What it is told later. */
export type DashboardNews =
  | { readonly kind: 'answer'; readonly id: number; readonly answer: object }
  | { readonly kind: 'designs'; readonly designs: DesignNews };

/** What is known of designs: it has no other way to them. */
export interface DesignNews {
  readonly about: DesignsPart;
  readonly designs: readonly DesignPart[];
}

export interface DashboardOptions {
  readonly config: Config;
  readonly projectRoot: string;
  readonly log: Log;
  /** Of this node; undefined: it is no admin node. */
  readonly desk: OwnDesk | undefined;
}

export interface Dashboard {
  /** Where a browser finds it. */
  readonly url: string;
  /** The same with the key of the host, which lets a browser in: a secret. */
  readonly urlWithKey: string;
  close(): Promise<void>;
}

/**
 * Starts the dashboard in a process of its own: whatever a browser asks of it, neither requests nor rollouts wait for that. Rejects
 * with BEDS_DASHBOARD_* where it cannot listen.
 */
export async function startDashboard({ config, projectRoot, log, desk }: DashboardOptions): Promise<Dashboard> {
  const { dashboard, amqp, plugins } = config;
  const path = (name: string): string => (name === '' ? '' : resolve(projectRoot, name));
  const isLocal = isLoopback(dashboard.host);
  const { state: directory } = directoriesOf(projectRoot, config);
  const hostKey = isLocal ? randomBytes(32).toString('base64url') : undefined;
  const kept = new KeptProcess(
    {
      amqp: { url: amqp.url, prefix: amqp.prefix },
      ...{ host: dashboard.host, port: dashboard.port, mayMove: isLocal, names: dashboard.names },
      ...{ certificate: path(dashboard.certificate), key: path(dashboard.key) },
      ...{
        maxBundleBytes: plugins.maxBundleBytes,
        hostKey,
        ownerToken: isLocal ? readOwnerToken(config, directory) : undefined,
      },
    },
    { log, desk },
  );
  const port = await kept.start();
  const scheme = dashboard.certificate === '' ? 'http' : 'https';
  const name = dashboard.names[0] ?? (isIP(dashboard.host) === 6 ? `[${dashboard.host}]` : dashboard.host);
  const url = `${scheme}://${name}:${String(port)}/`;
  const urlWithKey = hostKey === undefined ? url : `${url}#key=${hostKey}`;
  writeAddress(directory, urlWithKey);
  log.info({ url }, 'dashboard');
  return { url, urlWithKey, close: () => kept.close() };
}

const HEAP_MB = 256;
const CLOSE_MS = 3_000;
const RESTART_MS = [1_000, 5_000, 30_000] as const;

/** A process that is started again when it ends. */
class KeptProcess {
  #data: DashboardData;
  readonly #log: Log;
  readonly #desk: OwnDesk | undefined;
  readonly #news: () => DesignNews;
  #child: ChildProcess | undefined;
  #isClosing = false;

  constructor(data: DashboardData, { log, desk }: Pick<DashboardOptions, 'log' | 'desk'>) {
    this.#data = data;
    this.#log = log;
    this.#desk = desk;
    this.#news = () => designNews(desk);
    desk?.watch(() => this.#tell({ kind: 'designs', designs: this.#news() }));
  }

  /** Resolves to the port. */
  async start(): Promise<number> {
    const port = await this.#begin();
    // Browsers look for it where it was.
    this.#data = { ...this.#data, port, mayMove: false };
    void this.#keepUp();
    return port;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    const child = this.#child;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    // n.b. it ends when this channel does, also when the host is killed.
    if (child.connected) child.disconnect();
    const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS);
    await exited;
    clearTimeout(timer);
  }

  /** n.b. the one that asked may have been replaced: ids of the next one are its own. */
  async #answer(id: number, message: Readonly<Record<string, unknown>>): Promise<void> {
    const asking = this.#child;
    const answer = (await this.#desk?.ask(message)) ?? { ok: false };
    if (asking === this.#child) this.#tell({ kind: 'answer', id, answer });
  }

  #tell(news: DashboardNews): void {
    if (this.#child?.connected === true) this.#child.send(news, () => undefined);
  }

  async #keepUp(): Promise<void> {
    for (let tries = 0; ;) {
      const child = this.#child;
      if (child?.exitCode === null && child.signalCode === null) await once(child, 'exit');
      if (this.#isClosing) return;
      this.#log.error('the process of the dashboard ended; it is replaced');
      await delay(RESTART_MS[Math.min(tries, RESTART_MS.length - 1)], undefined, { ref: false });
      if (this.#isClosing) return;
      tries = await this.#begin().then(
        () => 0,
        (err: unknown) => {
          this.#log.error({ err }, 'the dashboard could not be started again');
          return tries + 1;
        },
      );
    }
  }

  #begin(): Promise<number> {
    // n.b. no thread: the web server makes functions of text, which V8 forbids in the process that runs templates.
    const child = fork(new URL('./process.js', import.meta.url), [], {
      serialization: 'advanced',
      env: essentialEnvironment(),
      execArgv: [`--max-old-space-size=${String(HEAP_MB)}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#child = child;
    child.send(this.#data, () => undefined);
    this.#tell({ kind: 'designs', designs: this.#news() });
    return new Promise((resolvePort, reject) => {
      child.on('error', (error) => {
        // n.b. one that could not be started never exits.
        if (child.pid === undefined) this.#child = undefined;
        reject(error);
      });
      child.once('exit', () => reject(dashboardErrors.make('BEDS_DASHBOARD_UNREACHABLE')));
      child.on('message', (message: DashboardMessage) => {
        if (message.kind === 'listening') resolvePort(message.port);
        else if (message.kind === 'fault') this.#log.error({ fault: message.message }, 'fault in the dashboard');
        else if (message.kind === 'ask') void this.#answer(message.id, message.message);
        else {
          const code = message.code as keyof typeof dashboardErrors.specs;
          reject(dashboardErrors.make(code in dashboardErrors.specs ? code : 'BEDS_DASHBOARD_FAULT', message.message));
        }
      });
    });
  }
}

const ADDRESS_FILE = 'dashboard-address';

/** n.b. whoever may read it may do what the host does: so it is the owner's alone, from its first byte on. */
function writeAddress(directory: string, address: string): void {
  const path = join(directory, ADDRESS_FILE);
  mkdirSync(directory, { recursive: true });
  rmSync(path, { force: true });
  writeFileSync(path, `${address}\n`, { mode: 0o600, flag: 'wx' });
}

/** The address that the host of a state directory wrote last, with its key. Undefined: it has written none. */
export function readAddress(directory: string): string | undefined {
  try {
    return readFileSync(join(directory, ADDRESS_FILE), 'utf8').trim();
  } catch {
    return undefined;
  }
}

function designNews(desk: OwnDesk | undefined): DesignNews {
  const designs = desk?.designs;
  const about: DesignsPart = {
    state: desk === undefined ? 'no-admin-node' : designs === undefined ? 'off' : 'on',
    provider: designs?.provider ?? 'files',
    stores: designs?.stores ?? [],
  };
  return { about, designs: designs?.parts ?? [] };
}
