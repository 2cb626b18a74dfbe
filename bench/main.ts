import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createOutput, type Output } from '../host/cli/output.js';
import { signalled } from '../host/cli/signalled.js';
import { startServices, type Services } from '../host/services/index.js';
import type { Bed, Question, Row } from './contract.js';
import { type BenchOptions, readOptions, USAGE } from './options.js';
import { describeCommit, describeMachine, describeVersions } from './report/environment.js';
import { selfTimes } from './report/self-time.js';
import { toTable } from './report/table.js';

export interface BenchRun {
  readonly args: readonly string[];
  readonly projectRoot: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The whole run: every step has its own bound, and no step begins after this. */
const LONGEST_MS = 400_000;

interface Stage {
  readonly options: BenchOptions;
  readonly out: Output;
  readonly workplace: string;
  readonly signal: AbortSignal;
}

/** `npm run bench`: asks the questions one after the other. Targets that are not met do not fail it. */
export async function main({ args, projectRoot, cwd, env }: BenchRun): Promise<number> {
  const out = createOutput({ stdout: process.stdout, stderr: process.stderr, env });
  const options = readOptions(args);
  if (typeof options === 'string') {
    out.note(`beds bench: ${options}\n\n${USAGE}`);
    return 1;
  }
  const stop = signalled();
  const workplace = mkdtempSync(join(tmpdir(), 'beds-bench-'));
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(LONGEST_MS)]);
  try {
    const { rows, versions } = await measure({ options, out, workplace, signal });
    out.table(toTable(rows));
    if (options.profile) for (const table of selfTimes(profilesOf(workplace))) out.table(table);
    const file = resolve(cwd, options.output ?? join(projectRoot, 'bench', 'results', options.fileName));
    if (!options.profile) {
      mkdirSync(dirname(file), { recursive: true });
      const result = { machine: describeMachine(), versions, commit: await describeCommit(projectRoot), rows };
      writeFileSync(file, `${JSON.stringify(result, undefined, 2)}\n`);
      out.note(`beds bench: written to ${file}`);
    }
    return 0;
  } catch (error) {
    out.note(`beds bench: ${signal.aborted ? 'called off' : describe(error)}`);
    return stop.exitCode() ?? 1;
  } finally {
    stop.release();
    rmSync(workplace, { recursive: true, force: true });
  }
}

interface Measured {
  readonly rows: readonly Row[];
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
    const rows: Row[] = [];
    for (const question of options.questions) rows.push(...(await ask(question, services, stage)));
    return { rows, versions: describeVersions(services) };
  } finally {
    await services.close();
  }
}

async function ask(question: Question, services: Services, stage: Stage): Promise<readonly Row[]> {
  const { options, out, workplace, signal } = stage;
  const undone: (() => Promise<unknown>)[] = [];
  const folder = join(workplace, question.name);
  mkdirSync(folder);
  out.note(`beds bench: ${question.name}: ${question.words}`);
  const bed: Bed = {
    ...{ services, folder, signal, effort: options },
    profiles: options.profile ? profilesOf(workplace) : undefined,
    say: (words) => out.note(`beds bench:   ${words}`),
    atEnd: (undo) => undone.push(undo),
  };
  try {
    return await question.run(bed);
  } finally {
    for (const undo of undone.toReversed()) {
      await undo().catch((error: unknown) => out.note(`beds bench: ${describe(error)}`));
    }
  }
}

function profilesOf(workplace: string): string {
  const folder = join(workplace, 'profiles');
  mkdirSync(folder, { recursive: true });
  return folder;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
