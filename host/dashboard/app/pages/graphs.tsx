import type { VNode } from 'preact';
import type { Problem, Series, SeriesPoint } from '../../contract.js';
import { now } from '../clock.js';
import { api } from '../api.js';
import { useAsked } from '../asked.js';
import { Chart } from '../chart.js';
import type { State } from '../live.js';
import { Choice, DomainChoice, Empty, Loading, Missing, NodeChoice, Section, Title } from '../parts.js';
import { useConditions } from '../route.js';
import { count, millis, perSecond, RANGES, rate } from '../words.js';

const POINTS = 240;
const FEWEST_MS = 5_000;
const LEAST_PART = 8;
const LEAST_SPAN_MS = 300_000;
/** A gap is so many points that are missing. */
const GAP = 2.5;

/** Requests, failures, latency and memory over time. */
export function Graphs({ live }: { readonly live: State }): VNode {
  const [{ domain, node, over = '86400' }, set] = useConditions();
  return (
    <>
      <Title document="Graphs">Graphs</Title>
      <form class="filter" role="search" aria-label="Graphs" onSubmit={(event) => event.preventDefault()}>
        <DomainChoice live={live} value={domain} set={set} />
        <NodeChoice live={live} value={node} set={set} />
        <Choice name="Over" value={over} options={RANGES} set={(next) => set({ over: next })} />
      </form>
      <Curves domain={domain} node={node} seconds={Number(over)} />
    </>
  );
}

interface CurvesProps {
  readonly domain?: string | undefined;
  readonly node?: string | undefined;
  readonly seconds: number;
  /** As a section of another page: where nobody keeps numbers, it is not there. */
  readonly title?: string;
}

interface Drawn extends Series {
  readonly begin: number;
  readonly end: number;
}

export function Curves({ title, ...of }: CurvesProps): VNode | null {
  const { drawn, problem } = useSeries(of);
  const isKept = problem?.code !== 'BEDS_DASHBOARD_NOTHING_KEPT';
  if (title === undefined) return <Drawing {...{ drawn, problem }} domain={of.domain} />;
  if (!isKept && drawn === undefined) return null;
  return (
    <Section title={title}>
      <Drawing {...{ drawn, problem }} domain={of.domain} />
    </Section>
  );
}

function useSeries({ domain, node, seconds }: Omit<CurvesProps, 'title'>): DrawingProps {
  const ask = async (): Promise<Drawn> => {
    const end = now();
    const begin = end - seconds * 1_000;
    const of = { ...(domain && { domain }), ...(node && { node }) };
    const series = await api.series({ ...of, from: begin, to: end, points: POINTS });
    const first = series.points[0]?.at;
    if (first === undefined || end - first > (end - begin) / LEAST_PART) return { ...series, begin, end };
    // n.b. where all that is known is of the last moments, it is drawn wide, and with all of its points.
    const since = Math.min(first, end - LEAST_SPAN_MS);
    return { ...(await api.series({ ...of, from: since, to: end, points: POINTS })), begin: since, end };
  };
  const everyMs = Math.max(FEWEST_MS, (seconds * 1_000) / POINTS);
  const { answer: drawn, problem } = useAsked(ask, { about: JSON.stringify([domain, node, seconds]), everyMs });
  return { drawn, problem };
}

interface DrawingProps {
  readonly drawn: Drawn | undefined;
  readonly problem: Problem | undefined;
}

function Drawing({ drawn, problem, domain }: DrawingProps & Pick<CurvesProps, 'domain'>): VNode {
  if (problem !== undefined && drawn === undefined) return <Missing problem={problem} />;
  if (drawn === undefined) return <Loading />;
  if (drawn.points.length === 0) return <Empty>Nothing was measured in this time.</Empty>;
  const { stepMs, points, begin, end } = drawn;
  const hasMemory = !domain || points.some(({ memoryMb }) => memoryMb > 0);
  const aSecond = (value: number): number => (value * 1_000) / stepMs;
  const curve = (title: string, pick: (point: SeriesPoint) => number, terms: Terms): VNode => (
    <Chart
      key={title}
      title={title}
      words={terms.words}
      tone={terms.tone ?? 'busy'}
      points={points.map((point) => ({ at: point.at, value: pick(point) }))}
      gapMs={stepMs * GAP}
      {...{ begin, end }}
    />
  );
  return (
    <>
      <div class="charts">
        {curve('Requests', ({ calls }) => aSecond(calls), { words: perSecond })}
        {curve('Failures', ({ failures }) => aSecond(failures), { words: perSecond, tone: 'trouble' })}
        {curve('Latency, 95 % within', ({ p95Ms }) => p95Ms, { words: millis })}
        {curve('Requests in flight', ({ inFlight }) => inFlight, { words: rate })}
        {curve('Messages that wait', ({ queued }) => queued, { words: rate })}
        {hasMemory && curve('Memory', ({ memoryMb }) => memoryMb, { words: (value) => `${rate(value)} MB` })}
        {!domain && curve('Processor', ({ cpuPercent }) => cpuPercent, { words: (value) => `${rate(value)} %` })}
      </div>
      <p class="note">{[swapWords(points), ...(hasMemory ? [] : [NO_MEMORY])].join(' ')}</p>
    </>
  );
}

const NO_MEMORY = 'Memory is known of a domain that has threads of its own; this one shares them with others.';

function swapWords(points: readonly SeriesPoint[]): string {
  const swaps = points.reduce((sum, point) => sum + point.swaps, 0);
  return `In this time ${count(swaps, 'version')} took over.`;
}

interface Terms {
  readonly words: (value: number) => string;
  readonly tone?: 'trouble';
}
