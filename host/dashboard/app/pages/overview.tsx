import type { VNode } from 'preact';
import type { DomainPart, Health, Sample, Summary } from '../../contract.js';
import { Chart, type Point } from '../chart.js';
import type { State } from '../live.js';
import { Ago, Empty, Mark, Section, StateName, Table, Title, To } from '../parts.js';
import { MINUTES, perSecond, rate, type Tone } from '../words.js';
import { NodeTable } from './nodes.js';

export const HEALTH_TONE: Readonly<Record<Health, Tone>> = {
  well: 'well',
  attention: 'attention',
  trouble: 'trouble',
  unknown: 'quiet',
};

/** Whether all is well, and where it is not. */
export function Overview({ live, deploy }: { readonly live: State; readonly deploy: VNode | null }): VNode {
  const { summary, domains, nodes, samples } = live;
  if (summary === undefined) return <Loading />;
  return (
    <>
      <Headline summary={summary} />
      <LastHour samples={samples} />
      <Section title="Domains" note={`Failures are counted since ${clock(summary.countedSince)}.`}>
        {domains.length === 0 ? <NoDomains hasNodes={nodes.length > 0} /> : <DomainTable domains={domains} />}
        {deploy}
      </Section>
      <Section title="Nodes">
        {nodes.length === 0 ? (
          <Empty>No node has answered yet. `beds start` runs one; it must use the same RabbitMQ and amqp.prefix.</Empty>
        ) : (
          <NodeTable nodes={nodes} />
        )}
      </Section>
    </>
  );
}

const HOUR_MS = 3_600_000;
const LEAST_SPAN_MS = 120_000;
const GAP_MS = 30_000;

/** n.b. of a dashboard that has just started there are some moments only: they are drawn wide. */
function LastHour({ samples }: { readonly samples: readonly Sample[] }): VNode {
  const end = samples.at(-1)?.at ?? Date.now();
  const begin = Math.max(end - HOUR_MS, Math.min(samples[0]?.at ?? end, end - LEAST_SPAN_MS));
  const terms = { begin, end, gapMs: GAP_MS, words: perSecond };
  const points = (of: (sample: Sample) => number): readonly Point[] =>
    samples.map((sample) => ({ at: sample.at, value: of(sample) }));
  return (
    <div class="charts">
      <Chart title="Requests" points={points((sample) => sample.requestsPerSecond)} tone="busy" {...terms} />
      <Chart title="Failures" points={points((sample) => sample.failuresPerSecond)} tone="trouble" {...terms} />
    </div>
  );
}

export function Loading(): VNode {
  return (
    <div class="loading" role="status">
      <p>Asking the nodes …</p>
    </div>
  );
}

function Headline({ summary }: { readonly summary: Summary }): VNode {
  const { health, sentence, troubles } = summary;
  return (
    <div class={`headline ${HEALTH_TONE[health]}`}>
      <Title document={sentence.replace(/:.*/, '')}>
        <span aria-live="polite">
          <Mark tone={HEALTH_TONE[health]} words="" /> {sentence}
        </span>
      </Title>
      {troubles.length > 0 && (
        <ul class="troubles">
          {troubles.map(({ level, words, path }) => (
            <li key={words}>
              <Mark tone={level} />
              <To path={path}>{words}</To>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function NoDomains({ hasNodes }: { readonly hasNodes: boolean }): VNode {
  return (
    <Empty>
      {hasNodes
        ? 'No domain is served yet. Drop what `beds build` wrote on this page, or put it into the plugin directory of a node.'
        : 'Domains are shown as soon as a node answers.'}
    </Empty>
  );
}

function DomainTable({ domains }: { readonly domains: readonly DomainPart[] }): VNode {
  const hasLatency = domains.some(({ p95Ms }) => p95Ms !== undefined);
  const head = ['Domain', 'Live version', 'Since', 'Beside it', '#Requests/s', ...(hasLatency ? ['#p95'] : [])];
  return (
    <Table label="Domains" head={[...head, '#Failures', '#Waiting messages']}>
      {domains.map((part) => (
        <DomainRow key={part.domain} part={part} hasLatency={hasLatency} />
      ))}
    </Table>
  );
}

function DomainRow({ part, hasLatency }: { readonly part: DomainPart; readonly hasLatency: boolean }): VNode {
  const { domain, nodes, queues, failures, requestsPerSecond, p95Ms } = part;
  const live = nodes.flatMap((on) => (on.live === undefined ? [] : [on.live]));
  const versions = [...new Set(live.map(({ version }) => version))];
  const since = live
    .map((each) => each.since)
    .toSorted()
    .at(-1);
  const candidate = nodes.find((on) => on.candidate !== undefined)?.candidate;
  const waiting = queues.reduce((sum, { ready }) => sum + ready, 0);
  return (
    <tr>
      <th scope="row">
        <Mark tone={toneOf(part)} /> <To path={`/domains/${domain}`}>{domain}</To>
      </th>
      <td>{versions.length === 0 ? 'none' : versions.join(' and ')}</td>
      <td>{since !== undefined && <Ago at={since} />}</td>
      <td>
        {candidate !== undefined && (
          <>
            {candidate.version} <StateName state={candidate.state} />
          </>
        )}
        {nodes.some(({ paused }) => paused) && <span class="tag">paused</span>}
      </td>
      <td class="number">{rate(requestsPerSecond)}</td>
      {hasLatency && <td class="number">{p95Ms === undefined ? '–' : `${rate(p95Ms)} ms`}</td>}
      <td class={failures > 0 ? 'number bad' : 'number'}>{failures.toLocaleString('en')}</td>
      <td class="number">{waiting.toLocaleString('en')}</td>
    </tr>
  );
}

/** How a domain fares, in one mark. */
export function toneOf({ nodes, failures, queues }: DomainPart): Tone {
  const isStuck = queues.some(({ ready, consumers }) => ready > 0 && consumers === 0);
  if (isStuck || nodes.some(({ withheld }) => withheld)) return 'trouble';
  const isRefused = nodes.some(({ candidate }) =>
    ['rejected', 'quarantined', 'waiting'].includes(candidate?.state ?? ''),
  );
  const differ = new Set(nodes.flatMap(({ live }) => live?.hash ?? [])).size > 1;
  const isOdd = nodes.some(({ degraded, paused }) => degraded.length > 0 || paused);
  if (failures > 0 || isRefused || differ || isOdd) return 'attention';
  return nodes.some(({ live }) => live !== undefined) ? 'well' : 'busy';
}

function clock(iso: string): string {
  return new Date(iso).toLocaleTimeString([], MINUTES);
}
