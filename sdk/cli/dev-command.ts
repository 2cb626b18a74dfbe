import { type FSWatcher, mkdtempSync, watch } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { AuthorContext, DevHost, HostLine } from './author.js';
import { AuthorSources, loadTypeScript, type PlacedFinding } from './author-sources.js';
import { printPlaced } from './check-command.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import { type DomainFolder, entryOf, findDomains } from './domains.js';
import { placed, tryBuild, withoutTwins } from './judge.js';
import { printable } from './print.js';

/** An editor writes a file in several steps. */
const SETTLE_MS = 20;
const IGNORED = /(^|[\\/])(node_modules|dist|\.beds|\.git)([\\/]|$)/;
const WATCHED = /\.(ts|js|mjs|json)$/;

export const devCommand: Command<AuthorContext> = {
  name: 'dev',
  summary: 'Deploy a domain at every save, and show its log.',
  usage: 'dev [domain…] [--inspect]',
  options: {
    inspect: {
      type: 'boolean',
      description: 'Run a host here that stops at breakpoints in the .ts (127.0.0.1:9229). Only in a checkout of BEDS.',
    },
  },
  details:
    'Checks types, builds, and sends the bundle to the host that answers on the RabbitMQ of the configuration (BEDS_AMQP_URL): ' +
    'your own or that of your team. It needs no access to the directories of the host. Problems are shown with their line, and the ' +
    'version before goes on serving. Changes that break the contract are allowed. If no host answers, in a checkout of BEDS, the command ' +
    'starts one with private servers, applies the files of db/ and shows the log of the domain. Ctrl-C ends everything.',
  run: async (context) => {
    const { out, signal, tools } = context;
    const folders = await findDomains(context, 'template');
    const domains = await Promise.all(folders.map((folder) => DevDomain.open(folder, context)));
    const isInspected = context.options['inspect'] === true;
    const onLine = (line: HostLine): void => printLine(line, context);
    const names = folders.map(({ name }) => name);
    const found = isInspected ? undefined : await (await tools()).findHost(names, onLine);
    const host = found ?? (await startHost(context, folders, onLine));
    try {
      // n.b. watched first: what is saved while the first version is on its way counts as well.
      const watchers = domains.map((domain) => domain.watch(host));
      for (const domain of domains) await domain.idle();
      out.note(`Watching ${names.join(', ')}; Ctrl-C ends.`);
      await aborted(signal);
      for (const watcher of watchers) watcher.close();
      await Promise.all(domains.map((domain) => domain.idle()));
      return EXIT.ok;
    } finally {
      await host.close();
    }
  },
};

async function startHost(
  { startHost: start, options }: AuthorContext,
  domains: readonly DomainFolder[],
  onLine: (line: HostLine) => void,
): Promise<DevHost> {
  if (start !== undefined) return start({ domains, inspect: options['inspect'] === true, onLine });
  const message =
    options['inspect'] === true
      ? '--inspect needs a host of its own, which only a checkout of BEDS can start.'
      : 'No host answers, and this project cannot start one.';
  const hint =
    'Set BEDS_AMQP_URL to the RabbitMQ of a running host, or start one: in a checkout of BEDS, `npm run beds -- dev <this folder>`.';
  throw commandErrors.make('BEDS_CLI_NO_HOST', message, { hint });
}

/** One domain that is watched: saves that come while one is on its way are taken together, after it. */
class DevDomain {
  readonly #name: string;
  readonly #folder: string;
  readonly #entry: string;
  readonly #sources: AuthorSources;
  readonly #context: AuthorContext;
  readonly #outside = new Map<string, FSWatcher>();
  #running: Promise<void> = Promise.resolve();
  #savedAt: number | undefined;
  #hash: string | undefined;

  private constructor({ name, folder }: DomainFolder, sources: AuthorSources, context: AuthorContext) {
    this.#name = name;
    this.#folder = folder;
    this.#entry = entryOf(folder) ?? join(folder, 'template.ts');
    this.#sources = sources;
    this.#context = context;
  }

  static async open(folder: DomainFolder, context: AuthorContext): Promise<DevDomain> {
    const entry = entryOf(folder.folder) ?? join(folder.folder, 'template.ts');
    return new DevDomain(folder, new AuthorSources(await loadTypeScript(folder.folder), entry), context);
  }

  /** Brings it live, and again at every save. */
  watch(host: DevHost): { close(): void } {
    const own = watch(this.#folder, { recursive: true }, (_, name) => {
      if (name !== null && !IGNORED.test(name) && WATCHED.test(name)) this.#saved(host);
    });
    this.#saved(host);
    return {
      close: () => {
        own.close();
        for (const watcher of this.#outside.values()) watcher.close();
      },
    };
  }

  /** What the domain imports of other folders. n.b. folders, as editors put a new file in the place of the old one. */
  #watchOutside(host: DevHost): void {
    const outside = this.#sources.files().filter((file) => relative(this.#folder, file).startsWith('..'));
    for (const folder of new Set(outside.map((file) => dirname(file)))) {
      if (this.#outside.has(folder)) continue;
      const watcher = watch(folder, (_, name) => {
        const isImported = this.#sources.files().some((file) => dirname(file) === folder && basename(file) === name);
        if (isImported) this.#saved(host);
      });
      this.#outside.set(folder, watcher);
    }
  }

  #saved(host: DevHost): void {
    const isFirst = this.#savedAt === undefined;
    this.#savedAt ??= performance.now();
    if (isFirst) this.#running = this.#running.then(() => this.#afterSave(host));
  }

  /** Resolves when nothing is on its way. */
  idle(): Promise<void> {
    return this.#running;
  }

  async #afterSave(host: DevHost): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const savedAt = this.#savedAt;
    this.#savedAt = undefined;
    if (this.#context.signal.aborted) return;
    await this.renew(host, savedAt).catch((error: unknown) =>
      this.#say(error instanceof Error ? error.message : String(error)),
    );
  }

  /** Makes of the sources what serves; says why where it cannot. */
  async renew(host: DevHost, since = performance.now()): Promise<void> {
    const outDir = mkdtempSync(join(tmpdir(), 'beds-dev-'));
    try {
      // n.b. esbuild works in a process of its own, while this one checks types.
      const building = tryBuild({ entry: this.#entry, outDir }, this.#sources);
      const types = this.#sources.check();
      // n.b. before anything is said: who reads that a version is live may save the next one at once.
      if (!this.#context.signal.aborted) this.#watchOutside(host);
      const built = await building;
      const wrong = built.ok ? types : withoutTwins(types, built.findings);
      if (!built.ok || wrong.length > 0) {
        this.#refused(wrong);
        return;
      }
      const { manifest, path } = built.bundle;
      const hash = JSON.stringify(manifest.files);
      if (hash === this.#hash) return;
      const outcome = await host.deploy(path);
      if (outcome.isLive) {
        this.#hash = hash;
        this.#say(`${manifest.domain} ${manifest.version} is live after ${Math.round(performance.now() - since)} ms`);
        return;
      }
      const names = Object.values(manifest.objects).map(({ name }) => name);
      this.#refused(outcome.findings.map((finding) => placed(finding, names, this.#sources)));
    } finally {
      await rm(outDir, { recursive: true, force: true });
    }
  }

  #refused(findings: readonly PlacedFinding[]): void {
    const { out, cwd } = this.#context;
    for (const finding of findings) {
      const { file } = finding;
      printPlaced(file === undefined ? finding : { ...finding, file: relative(cwd, join(this.#folder, file)) }, out);
    }
    this.#say(`${this.#name} is not live: ${findings.length === 1 ? '1 problem' : `${findings.length} problems`}`);
  }

  #say(text: string): void {
    const { out, json } = this.#context;
    if (json) out.value({ at: new Date().toISOString(), domain: this.#name, text });
    else out.line(`${out.paint('dim', new Date().toLocaleTimeString('sv'))} ${out.paint('bold', text)}`);
  }
}

function printLine({ level, text, detail }: HostLine, { out, json }: AuthorContext): void {
  if (json) {
    out.value({ at: new Date().toISOString(), level, text, detail });
    return;
  }
  const style = level === 'error' ? 'red' : level === 'warn' ? 'yellow' : 'dim';
  out.line(`${out.paint('dim', new Date().toLocaleTimeString('sv'))} ${out.paint(style, level)} ${printable(text)}`);
  for (const line of detail?.split('\n') ?? []) out.line(`  ${printable(line)}`);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
