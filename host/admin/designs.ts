import { type ChildProcess, fork } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { isBedsError } from '@beds/sdk';
import { BedsError } from '#sdk/template';
import { z } from 'zod';
import { readConfig } from '../config/load.js';
import type { Config } from '../config/schema.js';
import { adminErrors } from '../errors/admin.js';
import { identify, isSameProcessAlive, type ProcessIdentity } from '../process-identity.js';
import type { Definition } from './protocol.js';
import type {
  DesignDbaStep,
  DesignPart,
  DesignPlan,
  DesignsPart,
  DesignStage,
  DesignStep,
  DesignView,
} from './shown.js';

/**
 * Domains that are designed in the control room. Each step is a run of `beds` as a child of this process, with the configuration and the environment of the
 * host: what it asks, writes and applies is what the command line would, with the same account, and it goes on where it stopped. Here is only kept who works on what,
 * and what came of it: control.json, beside what `beds design` keeps.
 */

const NAME = /^[a-z][a-z0-9-]{0,29}$/;
const MOST_CHARACTERS = { brief: 20_000, answer: 400_000 } as const;
/** n.b. no controls: a text is an argument of a program. */
const TEXT = /^(?:[\t\n\r]|\P{Cc})*$/u;

const domain = z
  .string()
  .regex(NAME, 'must begin with a small letter and have small letters, digits and - only, 30 at most');
const seen = z.string().max(40).exactOptional();

/** What a page asks of the admin node that serves it. It goes to no other: files are here. */
export const DESIGN_QUERIES = {
  design: { summary: 'Show a design.', fields: { domain } },
} as const satisfies Readonly<Record<string, Definition>>;

/** Orders for designs, which the page of this node alone gives. */
export const DESIGN_ORDERS = {
  designStep: {
    summary: 'Go a step on with a design.',
    fields: {
      ...{ domain, seen },
      step: z.enum(['begin', 'answer', 'change', 'go-on', 'prove', 'plan', 'stop', 'drop-change', 'set-aside']),
      text: z
        .string()
        .max(MOST_CHARACTERS.answer)
        .regex(TEXT, 'has characters that are none of a text')
        .exactOptional(),
      store: z.string().max(100).exactOptional(),
    },
    role: 'operator',
  },
  designDatabase: {
    summary: 'Change the database of a design.',
    fields: {
      ...{ domain, seen },
      step: z.enum(['apply', 'contract', 'undo']),
      allowLoss: z.boolean().exactOptional(),
      acceptDrift: z.boolean().exactOptional(),
    },
    role: 'dba',
  },
} as const satisfies Readonly<Record<string, Definition>>;

/** An order that was checked by its definition. */
export interface DesignOrder {
  readonly domain: string;
  readonly step: DesignStep;
  /** `mark` of the design as the person saw it. */
  readonly seen?: string;
  /** A brief, an answer, or what is to be different. */
  readonly text?: string;
  readonly store?: string;
  readonly allowLoss?: boolean;
  readonly acceptDrift?: boolean;
}

/** What came of a step, for the audit. */
export interface DesignOutcome {
  readonly outcome: string;
  readonly words: string;
}

export interface DesignsOptions {
  /** `dashboard.designs`, absolute: a folder for each domain. */
  readonly directory: string;
  /** Domains that are served from here already: none of these is begun. */
  readonly plugins: string;
  readonly projectRoot: string;
  /** Something is another than before. */
  readonly onChange: () => void;
  /** What a command printed that ended without a word of its own. */
  readonly onFault: (words: string) => void;
}

interface Problem {
  readonly path: string;
  readonly message: string;
  readonly severity?: string;
}

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** Who works on a design now. */
interface Work {
  readonly step: DesignStep;
  readonly by: string;
  readonly since: number;
  /** Of the child. */
  readonly process?: ProcessIdentity | undefined;
}

/** control.json. */
interface Control {
  readonly mark: string;
  readonly stage: DesignStage;
  readonly store: string;
  readonly change?: string;
  /** The specification was taken: its files are made and tried. */
  readonly isTaken: boolean;
  readonly working?: Work;
  /** Files of the round that waits for an answer. */
  readonly waiting?: { readonly prompt: string; readonly answer: string };
  readonly problems: readonly Problem[];
  readonly failure?: Failure;
  /** Of one that was refused. */
  readonly why?: string;
  readonly words: string;
  readonly proof?: NonNullable<DesignView['proof']>;
  /** SHA-256 of the files that were proved, and of those that were planned. */
  readonly proved?: string;
  readonly planned?: string;
  readonly plan?: DesignPlan;
  /** Something of it is, or was, in a database. */
  readonly isApplied?: boolean;
  /** How it was before the change that is under way. */
  readonly former?: Control;
}

/** A step that is under way. */
interface Job {
  readonly work: Work;
  readonly lines: string[];
  child: ChildProcess | undefined;
  stoppedBy: string | undefined;
}

/** What `beds` printed as JSON. */
interface Ran {
  readonly code: number | null;
  readonly value: unknown;
}

const DBA_STEPS: ReadonlySet<DesignStep> = new Set<DesignDbaStep>(['apply', 'contract', 'undo']);
const MOST_AT_ONCE = 2;
const MOST_DESIGNS = 200;
const MOST_LINES = 200;
const MOST_SHOWN_LINES = 12;
const MOST_LINE_CHARACTERS = 400;
const MOST_PRINTED_BYTES = 8_000_000;
const MOST_FILE_BYTES = 300_000;
const MOST_FILES_BYTES = 3_000_000;
const MOST_STEP_MS = 3_600_000;
const KILL_MS = 10_000;
const CLOSE_MS = 5_000;
const TELL_MS = 300;
const HEAP_MB = 1_024;
const CHILD = new URL('../cli/child.js', import.meta.url);

export class Designs {
  readonly #options: DesignsOptions;
  readonly #jobs = new Map<string, Job>();
  readonly #ends = new Set<Promise<unknown>>();
  /** control.json of each design, as it was read or written last. */
  readonly #controls = new Map<string, Control>();
  /** n.b. as `beds` finds them: an admin node opens none of those that applications use. */
  readonly stores: DesignsPart['stores'];
  readonly provider: DesignsPart['provider'];
  #telling: NodeJS.Timeout | undefined;
  #isClosing = false;

  constructor(options: DesignsOptions) {
    this.#options = options;
    const config = this.#configured();
    this.stores = Object.entries(config?.stores ?? {}).map(([name, { kind }]) => ({ name, kind }));
    this.provider = config?.assistant.provider ?? 'files';
    for (const name of namesIn(this.#kept()).slice(0, MOST_DESIGNS)) {
      const control = this.#read(name);
      if (control !== undefined) this.#controls.set(name, control);
    }
  }

  /** All of them, by name. */
  get parts(): readonly DesignPart[] {
    return [...this.#controls.keys()].toSorted().map((name) => this.#partOf(name));
  }

  /** Throws BEDS_ADMIN_DESIGN_UNKNOWN. */
  view(name: string): DesignView {
    const control = this.#control(name);
    const { brief, document } = this.#texts(name);
    const { store, change, problems, failure, words, proof, plan, waiting, why, stage, proved } = control;
    const folder = stage === 'review' ? this.#preview(name) : this.#folder(name);
    return {
      ...this.#partOf(name),
      ...{ store, brief, problems, words, document },
      ...(change === undefined ? {} : { change }),
      ...(failure === undefined ? {} : { failure }),
      ...(proof === undefined ? {} : { proof }),
      ...(plan === undefined ? {} : { plan }),
      ...(waiting === undefined ? {} : { prompt: textOf(waiting.prompt) }),
      ...(why === undefined ? {} : { why }),
      mayDrop: control.former !== undefined,
      isApplied: control.isApplied === true,
      files: filesIn(folder),
      isChanged: stage === 'proved' && proved !== this.#hashOf(name),
    };
  }

  /**
   * Begins with a step. Throws BEDS_ADMIN_DESIGN_* or BEDS_ADMIN_INVALID where that cannot be; what comes of it is said by the promise, which
   * never rejects.
   */
  begin(order: DesignOrder, by: string): { readonly ended: Promise<DesignOutcome> } {
    const { domain: name, step } = order;
    if (step === 'stop') return this.#stop(order, by);
    const before = step === 'begin' ? this.#new(order) : this.#requireSeen(order);
    this.#requireFree(name);
    this.#requireStep(order, before);
    if (step === 'set-aside') return { ended: Promise.resolve(this.#setAside(name)) };
    const work: Work = { step, by, since: Date.now() };
    const job: Job = { work, lines: [], child: undefined, stoppedBy: undefined };
    // n.b. before it is tried: `beds design` goes on with a change that was begun, and takes no other.
    const { failure: _, ...rest } = step === 'change' ? changing(before, order.text ?? '') : before;
    this.#jobs.set(name, job);
    try {
      if (step === 'begin') this.#writeBrief(name, order.text ?? '');
      if (step === 'answer') writeWhole(before.waiting?.answer ?? '', order.text ?? '');
      this.#keep(name, { ...rest, working: work });
    } catch (error) {
      this.#jobs.delete(name);
      throw error;
    }
    const ended = this.#carryOut(order, job).finally(() => {
      this.#jobs.delete(name);
      this.#ends.delete(ended);
      this.#tell();
    });
    this.#ends.add(ended);
    return { ended };
  }

  /** Ends what is under way: it goes on when somebody says so. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const job of this.#jobs.values()) end(job, 'the host, which ends');
    const gone = Promise.all(this.#ends);
    await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())]);
    for (const { child } of this.#jobs.values()) child?.kill('SIGKILL');
    await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())]);
    clearTimeout(this.#telling);
  }

  /* What may be done now. */

  #new({ domain: name, text, store = 'main' }: DesignOrder): Control {
    const stores = this.stores.map((each) => each.name);
    // n.b. what was written of a brief that was never begun with is no design.
    const places = [join(this.#work(name), 'brief.md'), this.#folder(name), join(this.#options.plugins, name)];
    if (this.#controls.has(name) || places.some((path) => existsSync(path)))
      throw adminErrors.make('BEDS_ADMIN_DESIGN_EXISTS', `There is a domain ${name} already, or a design of it.`);
    if (this.#controls.size >= MOST_DESIGNS)
      throw adminErrors.make('BEDS_ADMIN_DESIGN_BUSY', `There are ${String(MOST_DESIGNS)} designs: set some aside.`);
    if (!stores.includes(store))
      throw adminErrors.make('BEDS_ADMIN_INVALID', `There is no store ${store}. Known are ${stores.join(', ')}.`);
    requireText(text, MOST_CHARACTERS.brief);
    return { mark: '', stage: 'begun', store, isTaken: false, problems: [], words: '' };
  }

  /** n.b. two people at once: the second one decides again. Another host may work in the same project. */
  #requireSeen({ domain: name, seen: mark }: DesignOrder): Control {
    const known = this.#control(name);
    const control = this.#read(name) ?? known;
    if (control.mark !== known.mark) {
      this.#controls.set(name, control);
      this.#tell();
    }
    if (mark !== control.mark) throw adminErrors.make('BEDS_ADMIN_DESIGN_OVERTAKEN');
    return control;
  }

  #requireFree(name: string): void {
    if (this.#isClosing) throw adminErrors.make('BEDS_ADMIN_DESIGN_BUSY', 'The host ends.');
    const work = this.#jobs.get(name)?.work;
    if (work !== undefined)
      throw adminErrors.make('BEDS_ADMIN_DESIGN_BUSY', `${work.by} works on ${name}: ${work.step}.`);
    // n.b. a host that was killed may have left one that is about to end.
    const left = this.#controls.get(name)?.working?.process;
    if (left !== undefined && isSameProcessAlive(left))
      throw adminErrors.make('BEDS_ADMIN_DESIGN_BUSY', `What was begun before this host was started still ends.`);
    if (this.#jobs.size >= MOST_AT_ONCE)
      throw adminErrors.make('BEDS_ADMIN_DESIGN_BUSY', `${String(MOST_AT_ONCE)} designs are being worked on.`);
  }

  #requireStep({ domain: name, step, text }: DesignOrder, control: Control): void {
    const { stage, waiting } = control;
    const isRead = existsSync(join(this.#folder(name), 'domain.json')) && stage !== 'begun' && stage !== 'waiting';
    const asks: Partial<Record<DesignStep, () => string | undefined>> = {
      answer: () => {
        requireText(text, MOST_CHARACTERS.answer);
        if (waiting === undefined) return `${name} waits for no answer.`;
        return existsSync(waiting.answer) ? 'This answer is there already.' : undefined;
      },
      change: () => {
        requireText(text, MOST_CHARACTERS.brief);
        return isRead ? undefined : `${name} has no specification yet that could be changed.`;
      },
      prove: () => (isRead && stage !== 'refused' ? undefined : `${name} is not made yet.`),
      plan: () => (stage === 'proved' ? undefined : `${name} is not proved yet.`),
      'drop-change': () => (control.former === undefined ? `No change of ${name} is under way.` : undefined),
      'set-aside': () =>
        control.isApplied === true ? `${name} is in a database: \`beds db\` says what of it.` : undefined,
    };
    const words = DBA_STEPS.has(step) ? this.#whyNotChanged(name, step, control) : asks[step]?.();
    if (words !== undefined) throw adminErrors.make('BEDS_ADMIN_DESIGN_STEP', words);
    if (step === 'plan' || DBA_STEPS.has(step)) this.#requireAdministrator(control.store);
  }

  /** n.b. only what was proved and planned, as it was then. */
  #whyNotChanged(name: string, step: DesignStep, { stage, plan, proved, planned }: Control): string | undefined {
    const is = this.#hashOf(name);
    if (stage !== 'proved' || proved !== is) return `The files of ${name} are not those that were proved.`;
    if (plan === undefined || planned !== is) return `${name} is not planned yet.`;
    if (step === 'contract' && plan.state !== 'expanded' && plan.state !== 'unfinished')
      return `The database of ${name} has no two versions.`;
    if (step === 'apply' && plan.state === 'refused') return `The plan of ${name} is refused.`;
    return step === 'apply' && plan.state === 'current' ? `The database of ${name} is made.` : undefined;
  }

  #stop({ domain: name }: DesignOrder, by: string): { readonly ended: Promise<DesignOutcome> } {
    const job = this.#jobs.get(name);
    if (job === undefined) throw adminErrors.make('BEDS_ADMIN_DESIGN_STEP', `Nothing goes on with ${name}.`);
    end(job, by);
    return { ended: Promise.resolve({ outcome: 'ok', words: `${job.work.step} is stopped` }) };
  }

  /** n.b. without the account `beds db` would work on a private server, and somebody would take that for the database of the store. */
  #requireAdministrator(store: string): void {
    const settings = this.#configured()?.stores[store];
    if (settings === undefined || settings.url === '') return;
    const variable = settings.kind === 'mysql' ? 'BEDS_MARIADB_ADMIN_URL' : 'BEDS_MONGODB_URL';
    if ((process.env[variable] ?? '') !== '') return;
    throw adminErrors.make(
      'BEDS_ADMIN_DESIGN_STEP',
      `This host has no account of the administrator of the store ${store}: ${variable} is not set.`,
      { hint: 'Run `beds db plan` and `beds db apply` where the DBA works, with the files of the design.' },
    );
  }

  #configured(): Config | undefined {
    const { projectRoot, directory } = this.#options;
    return readConfig({ projectRoot, env: environment(directory) }).config;
  }

  /** Who may not change a database does not stop a change of one either. */
  isChangingDatabase(name: string): boolean {
    const step = this.#jobs.get(name)?.work.step;
    return step !== undefined && DBA_STEPS.has(step);
  }

  /** Moved, never deleted: a person can bring it back. */
  #setAside(name: string): DesignOutcome {
    const place = this.#asidePlace(name);
    mkdirSync(place, { recursive: true });
    for (const [from, to] of [
      [this.#folder(name), 'domain'],
      [this.#work(name), 'design'],
    ] as const) {
      if (existsSync(from)) renameSync(from, join(place, to));
    }
    this.#controls.delete(name);
    this.#options.onChange();
    return { outcome: 'ok', words: `moved to ${place}` };
  }

  /* Steps. */

  async #carryOut(order: DesignOrder, job: Job): Promise<DesignOutcome> {
    const { domain: name } = order;
    const { working: _, ...before } = this.#control(name);
    let after: Control;
    try {
      after = await this.#step(order, before, job);
    } catch (error) {
      if (!isBedsError(error)) this.#options.onFault(error instanceof Error ? (error.stack ?? '') : String(error));
      const known = isBedsError(error)
        ? error
        : adminErrors.make('BEDS_ADMIN_DESIGN_FAILED', undefined, { cause: error });
      after = { ...before, failure: failureOf(known) };
    }
    if (job.stoppedBy !== undefined && after.failure !== undefined) {
      const stopped = adminErrors.make('BEDS_ADMIN_DESIGN_STOPPED', `The step was stopped by ${job.stoppedBy}.`);
      after = { ...after, failure: failureOf(stopped) };
    }
    // n.b. where the disk takes nothing, the step is told as failed and the next start sees it as interrupted.
    try {
      this.#keep(name, after);
    } catch (error) {
      this.#options.onFault(error instanceof Error ? (error.stack ?? '') : String(error));
    }
    const { failure } = after;
    return failure === undefined
      ? { outcome: 'ok', words: wordsOf(after, job) }
      : { outcome: failure.code, words: failure.message };
  }

  async #step(order: DesignOrder, before: Control, job: Job): Promise<Control> {
    const { domain: name, step } = order;
    switch (step) {
      case 'begin':
      case 'answer':
      case 'change':
      case 'go-on':
        return this.#design(name, before, job);
      case 'drop-change':
        return this.#dropChange(name, before, job);
      case 'prove':
        return this.#design(name, { ...before, isTaken: true }, job);
      case 'plan':
        return this.#plan(name, before, job);
      default:
        return this.#changeDatabase(order, before, job);
    }
  }

  async #design(name: string, control: Control, job: Job): Promise<Control> {
    const { change, store, isTaken } = control;
    const about =
      change === undefined ? [`--store=${store}`, `--file=${this.#briefPath(name)}`] : [`--change=${change}`];
    const { value } = await this.#run(['design', name, ...about, ...(isTaken ? ['--yes'] : [])], job);
    const outcome = read(outcomeShape, value);
    const { waiting: _waiting, why: _why, ...rest } = control;
    const problems = outcome.state === 'proved' ? [] : outcome.problems;
    const made: Control = { ...rest, problems };
    switch (outcome.state) {
      case 'waiting': {
        const { prompt, answer } = outcome;
        return { ...made, stage: 'waiting', waiting: { prompt, answer } };
      }
      case 'refused':
        return { ...made, stage: 'refused', why: outcome.why };
      case 'done':
        return this.#previewed(name, { ...made, stage: 'review', words: outcome.text }, job);
      case 'proved': {
        const explained = await this.#run(['spec', 'explain', name], job);
        const { text: words } = read(z.looseObject({ text: z.string() }), explained.value);
        const { plan: _plan, planned: _planned, former: _former, ...proven } = made;
        const { ok, server, steps, notices } = outcome.proof;
        const proof = { ok, server, steps, notices };
        return { ...proven, stage: 'proved', words, proof, proved: this.#hashOf(name) };
      }
    }
  }

  /** Its files, as they would be: in a folder of their own, because nobody has taken them yet. */
  async #previewed(name: string, control: Control, job: Job): Promise<Control> {
    const folder = this.#preview(name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'domain.json'), readFileSync(join(this.#folder(name), 'domain.json')));
    try {
      await this.#run(['generate', join(folder, 'domain.json')], job);
      return control;
    } catch (error) {
      if (!isBedsError(error)) throw error;
      return { ...control, failure: failureOf(error) };
    }
  }

  /** The document and the files are again what they were; what was asked and answered is moved away. */
  async #dropChange(name: string, control: Control, job: Job): Promise<Control> {
    const { former, change = '' } = control;
    if (former === undefined) return control;
    const folders = readdirSync(this.#work(name)).filter((each) => /^change-\d+$/.test(each));
    const ours = folders
      .toSorted((a, b) => Number(b.slice('change-'.length)) - Number(a.slice('change-'.length)))
      .map((each) => join(this.#work(name), each))
      .find((folder) => textOf(join(folder, 'brief.md')).trim() === change.replaceAll('\r\n', '\n').trim());
    if (ours !== undefined) {
      const document = textOf(join(ours, 'before.json'));
      if (document !== '') writeWhole(join(this.#folder(name), 'domain.json'), document);
      if (control.isTaken) await this.#run(['generate', name], job);
      renameSync(ours, this.#asidePlace(`${name}-${basename(ours)}`));
    }
    const { isApplied } = control;
    const before = { ...former, ...(isApplied === undefined ? {} : { isApplied }) };
    return before.stage === 'review' ? this.#previewed(name, before, job) : before;
  }

  #asidePlace(what: string): string {
    // n.b. no domain has such a name.
    const folder = join(this.#kept(), '_set-aside');
    mkdirSync(folder, { recursive: true });
    return join(folder, `${what}-${new Date().toISOString().replaceAll(/\W/g, '')}`);
  }

  async #plan(name: string, control: Control, job: Job): Promise<Control> {
    const is = this.#hashOf(name);
    const { value } = await this.#run(['db', 'plan', name], job);
    const [plan] = read(z.array(planShape).min(1), value);
    return { ...control, plan: plan as unknown as DesignPlan, planned: is };
  }

  async #changeDatabase(
    { domain: name, step, allowLoss, acceptDrift }: DesignOrder,
    control: Control,
    job: Job,
  ): Promise<Control> {
    const options = [
      ...(step === 'contract' ? ['--contract'] : []),
      ...(allowLoss === true ? ['--allow-loss'] : []),
      ...(acceptDrift === true ? ['--accept-drift'] : []),
    ];
    // n.b. before it begins: also one that is killed in the middle has left something.
    const applied: Control = { ...control, isApplied: true };
    this.#keep(name, { ...applied, working: { ...job.work } });
    let failure: Failure | undefined;
    try {
      await this.#run(['db', step === 'undo' ? 'undo' : 'apply', name, ...options], job);
    } catch (error) {
      if (!isBedsError(error)) throw error;
      failure = failureOf(error);
    }
    const { plan: _plan, planned: _planned, ...bare } = applied;
    const after = job.stoppedBy === undefined ? await this.#plan(name, bare, job).catch(() => bare) : bare;
    return failure === undefined ? after : { ...after, failure };
  }

  /** Runs `beds`. Throws what it says has gone wrong, or BEDS_ADMIN_DESIGN_FAILED. */
  async #run(args: readonly string[], job: Job): Promise<Ran> {
    if (job.stoppedBy !== undefined) throw adminErrors.make('BEDS_ADMIN_DESIGN_STOPPED');
    const { projectRoot, directory } = this.#options;
    mkdirSync(directory, { recursive: true });
    const child = fork(CHILD, [projectRoot, ...args, '--json'], {
      cwd: directory,
      env: environment(directory),
      execArgv: [`--max-old-space-size=${String(HEAP_MB)}`],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    job.child = child;
    // n.b. a change of a large table takes as long as it takes.
    const late = DBA_STEPS.has(job.work.step)
      ? undefined
      : setTimeout(() => end(job, `the host, after ${String(MOST_STEP_MS / 60_000)} minutes`), MOST_STEP_MS);
    try {
      this.#noteProcess(job, child);
      const { stdout, stderr } = child;
      if (stdout === null || stderr === null) throw new TypeError('it was started with pipes');
      createInterface({ input: stderr }).on('line', (line) => this.#hear(job, line));
      const printed = collect(stdout);
      const [code] = (await once(child, 'close')) as [number | null];
      return { code, value: this.#valueOf(code, await printed, job) };
    } finally {
      clearTimeout(late);
      job.child = undefined;
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    }
  }

  #valueOf(code: number | null, text: string, { lines, stoppedBy }: Job): unknown {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      if (stoppedBy !== undefined) throw adminErrors.make('BEDS_ADMIN_DESIGN_STOPPED');
      this.#options.onFault(`exit code ${String(code)}; ${[...lines.slice(-5), text.slice(0, 500)].join('\n')}`);
      const last = lines.at(-1);
      throw adminErrors.make(
        'BEDS_ADMIN_DESIGN_FAILED',
        last === undefined ? undefined : `The command of this step ended. It said last: ${last}`,
      );
    }
    const failed = failureShape.safeParse(value);
    if (!failed.success) return value;
    const { code: known, message, hint: action = '' } = failed.data.error;
    throw new BedsError(known, { message, status: 'fault', action });
  }

  /** The step and who has it stay with the design: whoever starts after a killed host knows which process is meant. */
  #noteProcess(job: Job, child: ChildProcess): void {
    const entry = [...this.#jobs].find(([, each]) => each === job);
    if (entry === undefined || child.pid === undefined) return;
    const [name] = entry;
    const { working: _, ...control } = this.#control(name);
    writeWhole(
      this.#controlPath(name),
      JSON.stringify({ ...control, working: { ...job.work, process: identify(child.pid) } }),
    );
  }

  #hear(job: Job, line: string): void {
    const words = line.slice(0, MOST_LINE_CHARACTERS).toWellFormed();
    if (words.trim() === '') return;
    job.lines.push(words);
    if (job.lines.length > MOST_LINES) job.lines.shift();
    this.#tell();
  }

  /** n.b. a model writes many lines: browsers are told a few times a second at most. */
  #tell(): void {
    if (this.#isClosing) return;
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      this.#options.onChange();
    }, TELL_MS);
  }

  /* Files. */

  #kept(): string {
    return join(this.#options.projectRoot, '.beds', 'design');
  }

  #work(name: string): string {
    return join(this.#kept(), name);
  }

  #folder(name: string): string {
    return join(this.#options.directory, name);
  }

  #preview(name: string): string {
    return join(this.#work(name), 'preview', name);
  }

  #controlPath(name: string): string {
    return join(this.#work(name), 'control.json');
  }

  /** As it came from the page; `beds design` keeps it as brief.md. */
  #briefPath(name: string): string {
    return join(this.#work(name), 'brief.txt');
  }

  #writeBrief(name: string, text: string): void {
    mkdirSync(this.#work(name), { recursive: true });
    writeWhole(this.#briefPath(name), text);
  }

  #control(name: string): Control {
    const control = this.#controls.get(name);
    if (control === undefined) throw adminErrors.make('BEDS_ADMIN_DESIGN_UNKNOWN', `There is no design ${name} here.`);
    return control;
  }

  #read(name: string): Control | undefined {
    if (!existsSync(this.#controlPath(name))) return undefined;
    try {
      return JSON.parse(readFileSync(this.#controlPath(name), 'utf8')) as Control;
    } catch {
      return undefined;
    }
  }

  #keep(name: string, control: Control): void {
    const marked = { ...control, mark: randomUUID() };
    writeWhole(this.#controlPath(name), JSON.stringify(marked));
    this.#controls.set(name, marked);
    this.#options.onChange();
  }

  #texts(name: string): { readonly brief: string; readonly document: string } {
    return { brief: textOf(this.#briefPath(name)), document: textOf(join(this.#folder(name), 'domain.json')) };
  }

  /** Of everything that is proved and applied. */
  #hashOf(name: string): string {
    const hash = createHash('sha256');
    for (const { name: file, text } of filesIn(this.#folder(name), Infinity)) hash.update(`${file}\0${text}\0`);
    return hash.digest('hex');
  }

  #partOf(name: string): DesignPart {
    const { mark, stage, plan, working, failure } = this.#control(name);
    const job = this.#jobs.get(name);
    return {
      ...{ domain: name, stage, mark, hasFailed: failure !== undefined },
      ...(plan === undefined ? {} : { planned: plan.state }),
      ...(job === undefined ? {} : { working: { ...job.work, lines: job.lines.slice(-MOST_SHOWN_LINES) } }),
      ...(job === undefined && working !== undefined ? { interrupted: working.step } : {}),
    };
  }
}

function changing(control: Control, change: string): Control {
  const { store, isApplied, words } = control;
  const is = { mark: '', stage: 'begun', isTaken: false, problems: [] } as const;
  return { ...is, store, change, words, former: control, ...(isApplied === undefined ? {} : { isApplied }) };
}

const problemShape = z.looseObject({ path: z.string(), message: z.string(), severity: z.string().exactOptional() });
const proofShape = z.looseObject({
  ok: z.boolean(),
  server: z.string(),
  steps: z.array(z.looseObject({ name: z.string(), tried: z.number(), failures: z.array(z.string()) })),
  notices: z.array(z.string()),
});

/** What `beds design --json` prints. */
const outcomeShape = z.discriminatedUnion('state', [
  z.looseObject({
    ...{ state: z.literal('waiting'), prompt: z.string(), answer: z.string(), problems: z.array(problemShape) },
  }),
  z.looseObject({ state: z.literal('done'), text: z.string(), problems: z.array(problemShape) }),
  z.looseObject({ state: z.literal('refused'), why: z.string(), problems: z.array(problemShape) }),
  z.looseObject({ state: z.literal('proved'), proof: proofShape }),
]);
const planShape = z.looseObject({ store: z.string(), state: z.string(), to: z.number() });
const failureShape = z.looseObject({
  ok: z.literal(false),
  error: z.looseObject({ code: z.string(), message: z.string(), hint: z.string().exactOptional() }),
});

function read<T extends z.ZodType>(shape: T, value: unknown): z.output<T> {
  const checked = shape.safeParse(value);
  if (checked.success) return checked.data;
  throw adminErrors.make(
    'BEDS_ADMIN_DESIGN_FAILED',
    'The command of this step answered something else than was asked.',
  );
}

function requireText(text: string | undefined, most: number): void {
  if (text === undefined || text.trim() === '') throw adminErrors.make('BEDS_ADMIN_INVALID', 'The text is empty.');
  if (text.length > most)
    throw adminErrors.make('BEDS_ADMIN_INVALID', `The text has more than ${most.toLocaleString('en')} characters.`);
}

/** In the order in which a command is ended by whoever is at a terminal. */
function end(job: Job, by: string): void {
  job.stoppedBy ??= by;
  const { child } = job;
  child?.kill('SIGTERM');
  if (child !== undefined) setTimeout(() => child.kill('SIGKILL'), KILL_MS).unref();
}

/** That of the host: what it may, the command may. Bundles are looked for elsewhere. */
function environment(directory: string): NodeJS.ProcessEnv {
  return { ...process.env, BEDS_PLUGINS_DIRECTORY: directory, NO_COLOR: '1', NODE_TEST_CONTEXT: undefined };
}

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    const part = chunk as Buffer;
    bytes += part.length;
    if (bytes <= MOST_PRINTED_BYTES) chunks.push(part);
  }
  return bytes <= MOST_PRINTED_BYTES ? Buffer.concat(chunks).toString('utf8') : '';
}

function failureOf({ code, message, hint }: Omit<Failure, 'hint'> & { readonly hint?: string | undefined }): Failure {
  return { code, message, ...(hint === undefined || hint === '' ? {} : { hint }) };
}

function wordsOf({ stage, plan, why }: Control, { work: { step }, lines }: Job): string {
  if (step === 'plan') return `plan: ${plan?.state ?? 'none'}`;
  if (step === 'apply' || step === 'contract' || step === 'undo') return lines.slice(-3).join('; ');
  return why === undefined ? stage : `${stage}: ${why}`;
}

/** Whole or not at all, for its owner alone. */
function writeWhole(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.part`, text, { mode: 0o600 });
  renameSync(`${path}.part`, path);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(0, MOST_FILE_BYTES);
  } catch {
    return '';
  }
}

function namesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => NAME.test(name));
}

/** The files of a domain by their paths. n.b. no links: they lead elsewhere. */
function filesIn(folder: string, most = MOST_FILES_BYTES): readonly { readonly name: string; readonly text: string }[] {
  const found: { readonly name: string; readonly text: string }[] = [];
  let left = most;
  for (const inner of ['', 'db']) {
    const at = join(folder, inner);
    if (!existsSync(at)) continue;
    const entries = readdirSync(at, { withFileTypes: true }).filter((entry) => entry.isFile());
    for (const { name } of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const text = readFileSync(join(at, name), 'utf8');
      const shown = most === Infinity ? text : text.slice(0, Math.min(MOST_FILE_BYTES, left));
      left -= shown.length;
      found.push({ name: inner === '' ? name : `${inner}/${name}`, text: shown });
    }
  }
  return found;
}
