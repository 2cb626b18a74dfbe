import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createOutput, type Output } from '../host/cli/output.js';
import { signalled } from '../host/cli/signalled.js';
import { startServices, type Services } from '../host/dev-servers/index.js';
import type { Bed, Left, Question, Row } from './contract.js';
import { guard } from './guard/guard.js';
import { type BenchOptions, DEFAULT_LOAD_MS, readOptions, USAGE } from './options.js';
import { describeCommit, describeMachine, describeVersions } from './report/environment.js';
import { selfTimes } from './report/self-time.js';
import { toTable } from './report/table.js';

export interface BenchRun {
  readonly args: readonly string[];
  readonly projectRoot: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

interface Stage {
  readonly options: BenchOptions;
  readonly out: Output;
  readonly workplace: string;
  readonly signal: AbortSignal;
}

/** What is missing when a question failed or took too long. */
const WHOLE = 'its answer';

/** `npm run bench`: asks the questions one after the other. Targets that are not met do not fail it; `guard` does. */
export async function main({ args, projectRoot, cwd, env }: BenchRun): Promise<number> {
  const out = createOutput({ stdout: process.stdout, stderr: process.stderr, env });
  const options = args[0] === 'guard' ? undefined : readOptions(args);
  if (typeof options === 'string') {
    out.note(`beds bench: ${options}\n\n${USAGE}`);
    return 1;
  }
  const stop = signalled();
  const workplace = mkdtempSync(join(tmpdir(), 'beds-bench-'));
  const { signal } = stop;
  try {
    if (options === undefined) return await guard({ args: args.slice(1), projectRoot, out, workplace, signal });
    const file = resolve(cwd, options.output ?? join(projectRoot, 'bench', 'results', options.fileName));
    return await answer({ options, out, workplace, signal }, { projectRoot, file });
  } catch (error) {
    out.note(`beds bench: ${signal.aborted ? 'called off' : describe(error)}`);
    return stop.exitCode() ?? 1;
  } finally {
    stop.release();
    rmSync(workplace, { recursive: true, force: true });
  }
}

/** Asks, prints, and writes the file. */
async function answer(
  stage: Stage,
  { projectRoot, file }: { readonly projectRoot: string; readonly file: string },
): Promise<number> {
  const { options, out, workplace } = stage;
  const { rows, left, versions } = await measure(stage);
  out.table(toTable(rows));
  for (const { question, what, why } of left) out.note(`beds bench: ${question}: without ${what}: ${why}`);
  if (options.profile) for (const table of selfTimes(profilesOf(workplace))) out.table(table);
  if (!options.profile) {
    mkdirSync(dirname(file), { recursive: true });
    const result = { machine: describeMachine(), versions, commit: await describeCommit(projectRoot), left, rows };
    writeFileSync(file, `${JSON.stringify(result, undefined, 2)}\n`);
    out.note(`beds bench: written to ${file}`);
  }
  return left.some(({ what }) => what === WHOLE) ? 1 : 0;
}

interface Measured {
  readonly rows: readonly Row[];
  readonly left: readonly Left[];
  readonly versions: Readonly<Record<string, string>>;
}

async function measure(stage: Stage): Promise<Measured> {
  const { options, out, workplace, signal } = stage;
  const need = [...new Set(options.questions.flatMap((question) => question.need))];
  // Only what this command started itself is measured, whatever the environment names.
  const services = await startServices({
    directory: options.services ?? join(workplace, 'services'),
    ...{ need, signal, environment: {} },
    onProgress: ({ words }) => out.note(`beds bench: ${words}`),
  });
  try {
    const answers: Answer[] = [];
    for (const question of options.questions) answers.push(await ask(question, services, stage));
    return {
      rows: answers.flatMap(({ rows }) => rows),
      left: answers.flatMap(({ left }) => left),
      versions: describeVersions(services),
    };
  } finally {
    await services.close();
  }
}

interface Answer {
  readonly rows: readonly Row[];
  readonly left: readonly Left[];
}

/** One question within its bound. What goes wrong there is told, and does not keep the others from being asked. */
async function ask(question: Question, services: Services, stage: Stage): Promise<Answer> {
  const { options, out, workplace, signal } = stage;
  const left: Left[] = [];
  const undone: (() => Promise<unknown>)[] = [];
  const folder = join(workplace, question.name);
  mkdirSync(folder);
  const boundMs = Math.ceil(question.longestMs * Math.max(1, (options.rounds * options.sliceMs) / DEFAULT_LOAD_MS));
  const startedAtMs = performance.now();
  const used = (): string => `${seconds(performance.now() - startedAtMs)} of at most ${seconds(boundMs)} s`;
  out.note(`beds bench: ${question.name}: ${question.words}`);
  const bound = AbortSignal.timeout(boundMs);
  const bed: Bed = {
    ...{ services, folder, effort: options, install: options.install },
    signal: AbortSignal.any([signal, bound]),
    profiles: options.profile ? profilesOf(workplace) : undefined,
    say: (words) => out.note(`beds bench:   [${used()}] ${words}`),
    leave: (what, why) => left.push({ question: question.name, what, why }),
    atEnd: (undo) => undone.push(undo),
  };
  try {
    return { rows: await question.run(bed), left };
  } catch (error) {
    signal.throwIfAborted();
    bed.leave(WHOLE, bound.aborted ? `it was called off after ${seconds(boundMs)} s` : describe(error));
    return { rows: [], left };
  } finally {
    for (const undo of undone.toReversed()) {
      await undo().catch((error: unknown) => out.note(`beds bench: ${describe(error)}`));
    }
  }
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(0);
}

function profilesOf(workplace: string): string {
  const folder = join(workplace, 'profiles');
  mkdirSync(folder, { recursive: true });
  return folder;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
