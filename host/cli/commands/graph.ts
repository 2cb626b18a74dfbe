import { commandErrors, EXIT, printable } from '#sdk/cli';
import type { Series, SeriesPoint } from '../../dashboard/contract.js';
import { type AskKept, withAdminData } from '../admin-data.js';
import { NODE_OPTION } from '../admin-command.js';
import type { Command, CommandContext } from '../command.js';
import { brailleGraph, sparkline, topOf, type Values } from '../graph-text.js';
import type { Output } from '../output.js';
import { SINCE_OPTION, sinceOf } from './logs.js';

interface Row extends Omit<SeriesPoint, 'at'> {
  readonly domain: string;
  readonly node: string;
}

interface Asked {
  readonly from: number;
  readonly to: number;
  readonly node: string;
}

const HOUR_MS = 3_600_000;
const HEIGHT = 5;
const SPARK = 30;
/** Domains that are asked for at once. */
const TOGETHER = 16;
const LABELS = 14;

export const graphCommand: Command = {
  name: 'graph',
  summary: 'Draw requests, latency, failures and queues over time, of all domains or of one.',
  usage: 'graph [domain] [--since <time>] [--node <name>]',
  options: { since: { ...SINCE_OPTION, description: `${SINCE_OPTION.description} Default 1h.` }, node: NODE_OPTION },
  details:
    'A node of the role admin keeps samples: of 5 s for a day, of a minute for 8 days, of an hour for a year. Where points are put ' +
    'together, p50 is the mean by requests, p95 and p99 are the highest. --json has the numbers.',
  run: async (context) => {
    const [domain, ...rest] = context.args;
    if (rest.length > 0) throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'Name one domain, or none.');
    const to = Date.now();
    const node = typeof context.options['node'] === 'string' ? context.options['node'] : '';
    const asked = { from: sinceOf(context.options) ?? to - HOUR_MS, to, node };
    await withAdminData(context, (ask) =>
      domain === undefined ? showAll(ask, asked, context) : showOne(ask, { ...asked, domain }, context),
    );
    return EXIT.ok;
  },
};

async function seriesOf(
  ask: AskKept,
  asked: Asked & { readonly domain: string; readonly points: number },
): Promise<Series> {
  return (await ask('series', asked)) as Series;
}

async function showOne(
  ask: AskKept,
  asked: Asked & { readonly domain: string },
  { out, json }: Pick<CommandContext, 'json'> & { readonly out: Output },
): Promise<void> {
  const width = Math.max(20, Math.min(100, out.width - LABELS));
  const series = await seriesOf(ask, { ...asked, points: width * 2 });
  if (json) {
    out.value({ ...asked, ...series });
    return;
  }
  if (series.points.length === 0) {
    out.line(`Nothing is known of ${printable(asked.domain)} in this time.`);
    return;
  }
  const graphs: readonly (readonly [title: string, unit: string, pick: (point: SeriesPoint) => number])[] = [
    ['requests', '/s', ({ calls }) => (calls * 1_000) / series.stepMs],
    ['p95', 'ms', ({ p95Ms }) => p95Ms],
    ['failures', '/s', ({ failures }) => (failures * 1_000) / series.stepMs],
    ['queued', '', ({ queued }) => queued],
  ];
  for (const [title, unit, pick] of graphs) {
    const values = valuesOf(series, asked, pick);
    const scale = `${number(topOf(values))}${unit === '' ? '' : ` ${unit}`}`;
    out.line(out.paint('bold', title));
    for (const [index, line] of brailleGraph(values, { width, height: HEIGHT }).entries()) {
      out.line(`${(index === 0 ? scale : index === HEIGHT - 1 ? '0' : '').padStart(LABELS - 2)} ${line}`);
    }
    out.line();
  }
  const swaps = series.points.reduce((sum, point) => sum + point.swaps, 0);
  out.line(`${clock(asked.from)} to ${clock(asked.to)}; ${swaps === 1 ? '1 swap' : `${number(swaps)} swaps`}`);
}

/** n.b. points at which nothing was told are left out of what comes, and are gaps in what is drawn. */
function valuesOf({ points, stepMs }: Series, { from, to }: Asked, pick: (point: SeriesPoint) => number): Values {
  const first = Math.floor(from / stepMs);
  const values = new Array<number | undefined>(Math.floor(to / stepMs) - first + 1).fill(undefined);
  for (const point of points) values[Math.floor(point.at / stepMs) - first] = pick(point);
  return values;
}

async function showAll(
  ask: AskKept,
  { from, to, node }: Asked,
  { out, json }: Pick<CommandContext, 'json'> & { readonly out: Output },
): Promise<void> {
  const rows = (await ask('overview', { from, to })) as readonly Row[];
  const ofNode = rows.filter((row) => node === '' || row.node === node);
  if (json) {
    out.value({ from, to, rows: ofNode });
    return;
  }
  if (ofNode.length === 0) {
    out.line('Nothing is known of this time.');
    return;
  }
  const domains = [...new Set(ofNode.map(({ domain }) => domain))];
  const drawn = new Map<string, string>();
  for (let begin = 0; begin < domains.length; begin += TOGETHER) {
    const part = domains.slice(begin, begin + TOGETHER);
    const asking = part.map((domain) => seriesOf(ask, { domain, from, to, node, points: SPARK }));
    for (const [index, series] of (await Promise.all(asking)).entries()) {
      const values = valuesOf(series, { from, to, node }, ({ calls }) => calls);
      drawn.set(part[index] ?? '', sparkline(values, SPARK));
    }
  }
  const seconds = (to - from) / 1_000;
  out.table({
    head: ['domain', 'requests', '', 'per s', 'failed', 'p95 ms'],
    rows: domains.toSorted().map((domain) => {
      const of = ofNode.filter((row) => row.domain === domain);
      const calls = of.reduce((sum, row) => sum + row.calls, 0);
      const failures = of.reduce((sum, row) => sum + row.failures, 0);
      const p95 = of.reduce((top, row) => Math.max(top, row.p95Ms), 0);
      const failed = calls === 0 ? '' : `${number((failures / calls) * 100)} %`;
      return [
        domain === '' ? '(all)' : domain,
        number(calls),
        drawn.get(domain),
        number(calls / seconds),
        failed,
        number(p95),
      ];
    }),
    numeric: [1, 3, 4, 5],
  });
  out.line();
  out.table({
    head: ['node', 'in flight', 'processor', 'memory', 'swaps'],
    rows: ofNode
      .filter(({ domain }) => domain === '')
      .map((row) => [
        row.node,
        number(row.inFlight),
        `${number(row.cpuPercent)} %`,
        `${number(row.memoryMb)} MB`,
        number(row.swaps),
      ]),
    numeric: [1, 2, 3, 4],
  });
}

function number(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
}

function clock(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').slice(0, 16);
}
