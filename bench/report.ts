import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, cpus, loadavg, platform, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TableData } from '../host/cli/table.js';
import type { Services } from '../host/dev-servers/index.js';
import { peerVersions } from './context/peers.js';
import type { Row, Target } from './contract.js';

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly platform: string;
  /** Of the last 1, 5 and 15 minutes when the run ended: what the machine did, the run itself included. */
  readonly loadAverage: readonly number[];
}

const PACKAGES = ['amqplib', 'mysql2', 'mongodb', 'tinybench'];

export function describeMachine(): Machine {
  const processors = cpus();
  return {
    processor: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${arch()}`,
    loadAverage: loadavg().map((load) => Number(load.toFixed(2))),
  };
}

/** Node, the servers that took part, and the libraries on both sides. */
export function describeVersions({ rabbitmq, mariadb, mongodb }: Services): Readonly<Record<string, string>> {
  const servers = [rabbitmq, mariadb, mongodb].flatMap((server): [string, string][] =>
    server === undefined ? [] : [[server.kind, server.version]],
  );
  return {
    node: process.versions.node,
    ...Object.fromEntries(servers),
    ...Object.fromEntries(PACKAGES.map((name): [string, string] => [name, versionOf(name)])),
    ...peerVersions(),
  };
}

/** The commit that was measured, with `+` where files differ from it; empty outside of a repository. */
export async function describeCommit(projectRoot: string): Promise<string> {
  const git = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)('git', [...args], { cwd: projectRoot, timeout: 5_000 })).stdout.trim();
  try {
    const changed = await git('status', '--porcelain', '--untracked-files=no');
    return `${await git('rev-parse', '--short=12', 'HEAD')}${changed === '' ? '' : '+'}`;
  } catch {
    return '';
  }
}

/** n.b. a package may not export its package.json, so it is looked for where packages lie. */
function versionOf(name: string): string {
  for (const folder of createRequire(import.meta.url).resolve.paths(name) ?? []) {
    try {
      const text = readFileSync(join(folder, name, 'package.json'), 'utf8');
      return (JSON.parse(text) as { version: string }).version;
    } catch {
      continue;
    }
  }
  return 'unknown';
}

/** The rows for people. */
export function toTable(rows: readonly Row[]): TableData {
  return {
    head: ['scenario', 'case', 'subject', 'against', 'unit', 'value', 'against', 'ratio', 'spread', 'target', ''],
    numeric: [5, 6, 7],
    rows: rows.map((row) => [
      row.scenario,
      row.case,
      row.subject,
      row.against,
      row.unit,
      figure(row.value),
      figure(row.againstValue),
      row.ratio.toFixed(2),
      row.spread.map((ratio) => ratio.toFixed(2)).join('–'),
      row.target === undefined ? '' : inWords(row.target),
      row.met === undefined ? '' : row.met ? 'met' : 'not met',
    ]),
  };
}

function figure(value: number): string {
  const digits = value >= 100 ? 0 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function inWords({ ratioAtLeast, ratioAtMost, valueAtLeast, valueAtMost }: Target): string {
  return [
    ...(ratioAtLeast === undefined ? [] : [`ratio ≥ ${ratioAtLeast}`]),
    ...(ratioAtMost === undefined ? [] : [`ratio ≤ ${ratioAtMost}`]),
    ...(valueAtLeast === undefined ? [] : [`value ≥ ${valueAtLeast.toLocaleString('en')}`]),
    ...(valueAtMost === undefined ? [] : [`value ≤ ${valueAtMost.toLocaleString('en')}`]),
  ].join(', ');
}

/** The part of a CPU profile that is looked at. https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** A function that only broker threads run. n.b. no file: theirs are one bundle. */
const MARK = 'decodeMessage';
const IDLE = new Set(['(idle)', '(program)', '(root)']);
const SHOWN = 40;

/** Where the broker threads of the profiled hosts spent their time, a table for each. */
export function selfTimes(folder: string): readonly TableData[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile)
    .filter(({ nodes }) => nodes.some(({ callFrame }) => callFrame.functionName === MARK))
    .map(profileTable);
}

function profileTable({ nodes, samples, timeDeltas }: CpuProfile): TableData {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const selfUs = new Map<string, number>();
  let busyUs = 0;
  samples.forEach((id, index) => {
    const name = names.get(id) ?? '';
    const tookUs = timeDeltas[index] ?? 0;
    if (IDLE.has(name)) return;
    busyUs += tookUs;
    selfUs.set(name, (selfUs.get(name) ?? 0) + tookUs);
  });
  const largest = [...selfUs].sort(([, a], [, b]) => b - a).slice(0, SHOWN);
  return {
    head: ['% self', 'function', 'file'],
    numeric: [0],
    rows: largest.map(([name, us]) => [((us / busyUs) * 100).toFixed(1), ...name.split('\t')]),
  };
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName;
  const file = url.replace(/^.*\/(?=(dist|node_modules|sdk)\/)/, '');
  return `${functionName === '' ? '(anonymous)' : functionName}\t${file}:${lineNumber + 1}`;
}
