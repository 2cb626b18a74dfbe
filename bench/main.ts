import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createOutput, type Output } from '../host/cli/output.js';
import { signalled } from '#sdk/cli';
import { type Services, startServices } from '../host/dev-servers/index.js';
import type { BenchContext, Skipped, Scenario, Row } from './contract.js';
import { guard } from './guard/guard.js';
import { type BenchOptions, DEFAULT_LOAD_MS, readOptions, USAGE } from './options.js';
import { describeCommit, describeMachine, describeVersions, selfTimes, toTable } from './report.js';

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

/** What is skipped when a scenario failed or took too long. */
const WHOLE = 'its result';

/** `npm run bench`: runs the scenarios one after the other. A target that is not met does not fail it; a regression that `guard` finds does. */
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
    return await runScenarios({ options, out, workplace, signal }, { projectRoot, file });
  } catch (error) {
    out.note(`beds bench: ${signal.aborted ? 'called off' : describe(error)}`);
    return stop.exitCode() ?? 1;
  } finally {
    stop.release();
    rmSync(workplace, { recursive: true, force: true });
  }
}

/** Runs the scenarios, prints the table and writes the file. */
async function runScenarios(
  stage: Stage,
  { projectRoot, file }: { readonly projectRoot: string; readonly file: string },
): Promise<number> {
  const { options, out, workplace } = stage;
  const { rows, skipped, versions } = await measure(stage);
  out.table(toTable(rows));
  for (const { scenario, what, why } of skipped) out.note(`beds bench: ${scenario}: without ${what}: ${why}`);
  if (options.profile) for (const table of selfTimes(profilesOf(workplace))) out.table(table);
  if (!options.profile) {
    mkdirSync(dirname(file), { recursive: true });
    const result = { machine: describeMachine(), versions, commit: await describeCommit(projectRoot), skipped, rows };
    writeFileSync(file, `${JSON.stringify(result, undefined, 2)}\n`);
    out.note(`beds bench: written to ${file}`);
  }
  return skipped.some(({ what }) => what === WHOLE) ? 1 : 0;
}

interface ScenarioResult {
  readonly rows: readonly Row[];
  readonly skipped: readonly Skipped[];
}

interface Measured extends ScenarioResult {
  readonly versions: Readonly<Record<string, string>>;
}

async function measure(stage: Stage): Promise<Measured> {
  const { options, out, workplace, signal } = stage;
  const need = [...new Set(options.scenarios.flatMap((scenario) => scenario.need))];
  // Only servers that this command started are measured, whatever the environment names.
  const services = await startServices({
    directory: options.services ?? join(workplace, 'services'),
    need,
    signal,
    environment: {},
    onProgress: ({ words }) => out.note(`beds bench: ${words}`),
  });
  try {
    const results: ScenarioResult[] = [];
    for (const scenario of options.scenarios) results.push(await runOne(scenario, services, stage));
    return {
      rows: results.flatMap(({ rows }) => rows),
      skipped: results.flatMap(({ skipped }) => skipped),
      versions: describeVersions(services),
    };
  } finally {
    await services.close();
  }
}

/** One scenario within its time limit. A failure is reported and does not stop the others. */
async function runOne(scenario: Scenario, services: Services, stage: Stage): Promise<ScenarioResult> {
  const { options, out, workplace, signal } = stage;
  const skipped: Skipped[] = [];
  const undone: (() => Promise<unknown>)[] = [];
  const folder = join(workplace, scenario.name);
  mkdirSync(folder);
  const timeLimitMs = Math.ceil(
    scenario.timeLimitMs * Math.max(1, (options.rounds * options.sliceMs) / DEFAULT_LOAD_MS),
  );
  const startedAtMs = performance.now();
  const used = (): string => `${seconds(performance.now() - startedAtMs)} of at most ${seconds(timeLimitMs)} s`;
  out.note(`beds bench: ${scenario.name}: ${scenario.description}`);
  const timeLimit = AbortSignal.timeout(timeLimitMs);
  const context: BenchContext = {
    services,
    folder,
    effort: options,
    install: options.install,
    signal: AbortSignal.any([signal, timeLimit]),
    profiles: options.profile ? profilesOf(workplace) : undefined,
    say: (words) => out.note(`beds bench:   [${used()}] ${words}`),
    skip: (what, why) => skipped.push({ scenario: scenario.name, what, why }),
    atEnd: (undo) => undone.push(undo),
  };
  try {
    return { rows: await scenario.run(context), skipped };
  } catch (error) {
    signal.throwIfAborted();
    context.skip(WHOLE, timeLimit.aborted ? `it was called off after ${seconds(timeLimitMs)} s` : describe(error));
    return { rows: [], skipped };
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
