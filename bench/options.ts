import { parseArgs } from 'node:util';
import type { Effort, Scenario } from './contract.js';
import { GUARD_USAGE } from './guard/guard.js';
import { SCENARIOS } from './scenarios/index.js';

export interface BenchOptions extends Effort {
  readonly scenarios: readonly Scenario[];
  /** Write CPU profiles of the hosts, and print where their broker threads spent the time. Nothing is recorded then. */
  readonly profile: boolean;
  /** Whether the peers may be installed into bench/peers. */
  readonly install: boolean;
  /** The file that is written; undefined: `fileName` in bench/results. */
  readonly output: string | undefined;
  readonly fileName: string;
  /** Where servers run already; undefined: new ones. */
  readonly services: string | undefined;
}

const DEFAULT_ROUNDS = '5';
const DEFAULT_SLICE_MS = '700';
const DEFAULT_BACKLOG = '200000';
const SMOKE = { rounds: '1', sliceMs: '50', backlog: '400' } as const;
/** The load that the time limits of the scenarios allow for. */
export const DEFAULT_LOAD_MS = Number(DEFAULT_ROUNDS) * Number(DEFAULT_SLICE_MS);

export const USAGE = [
  'npm run bench [-- scenario…] [--rounds 5] [--slice-ms 700] [--backlog 200000] [--no-install] [--profile]',
  '              [--smoke] [--output file] [--services directory]',
  GUARD_USAGE,
  '',
  ...SCENARIOS.map(({ name, description }) => `  ${name.padEnd(10)} ${description}`),
].join('\n');

/** What the command line asks for, or what is wrong with it. */
export function readOptions(args: readonly string[]): BenchOptions | string {
  const read = parse(args);
  if (typeof read === 'string') return read;
  const { values, positionals } = read;
  if (values.help === true) return 'ratios of two contenders, measured side by side';
  const unknown = positionals.find((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (unknown !== undefined) return `there is no scenario named ${unknown}`;
  const isSmoke = values.smoke === true;
  const rounds = Number(values.rounds ?? (isSmoke ? SMOKE.rounds : DEFAULT_ROUNDS));
  const sliceMs = Number(values['slice-ms'] ?? (isSmoke ? SMOKE.sliceMs : DEFAULT_SLICE_MS));
  if (!isWithin(rounds, 1, 100) || !isWithin(sliceMs, 10, 10_000)) {
    return '--rounds must be a number from 1 to 100, --slice-ms from 10 to 10000';
  }
  const backlog = Number(values.backlog ?? (isSmoke ? SMOKE.backlog : DEFAULT_BACKLOG));
  if (!isWithin(backlog, 100, 10_000_000)) return '--backlog must be a number from 100 to 10000000';
  return {
    rounds,
    sliceMs,
    backlog,
    isSmoke,
    install: values['no-install'] !== true,
    scenarios: SCENARIOS.filter(({ name }) => positionals.length === 0 || positionals.includes(name)),
    profile: values.profile === true,
    output: values.output,
    // A part does not take the place of the whole.
    fileName: isSmoke
      ? 'smoke.json'
      : positionals.length === 0
        ? 'latest.json'
        : `${[...new Set(positionals)].sort().join('-')}.json`,
    services: values.services,
  };
}

type Parsed = ReturnType<typeof parseLine>;

function parse(args: readonly string[]): Parsed | string {
  try {
    return parseLine(args);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function parseLine(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      'slice-ms': { type: 'string' },
      backlog: { type: 'string' },
      'no-install': { type: 'boolean' },
      profile: { type: 'boolean' },
      smoke: { type: 'boolean' },
      output: { type: 'string' },
      services: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}
