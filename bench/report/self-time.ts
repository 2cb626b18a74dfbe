import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TableData } from '../../host/cli/table.js';

/** The part of a CPU profile that is looked at. https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Of these only a broker thread has any. */
const MARK = '/dispatch/request-path.js';
const IDLE = new Set(['(idle)', '(program)', '(root)']);
const SHOWN = 40;

/** Where the broker threads of the profiled hosts spent their time, a table for each. */
export function selfTimes(folder: string): readonly TableData[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile)
    .filter(({ nodes }) => nodes.some(({ callFrame }) => callFrame.url.endsWith(MARK)))
    .map(toTable);
}

function toTable({ nodes, samples, timeDeltas }: CpuProfile): TableData {
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
