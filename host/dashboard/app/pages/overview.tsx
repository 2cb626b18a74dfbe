import type { VNode } from 'preact';
import type { DomainPart, Health, Sample, Summary } from '../../contract.js';
import { now } from '../clock.js';
import { Chart, type Point } from '../chart.js';
import type { State } from '../live.js';
import { api } from '../api.js';
import { useAsked } from '../asked.js';
import { Ago, Empty, Loading, Mark, Section, StateName, Table, Title, To, Words } from '../parts.js';
import { callerName, FAILURE_WORDS, MINUTES, perSecond, rate, type Tone } from '../words.js';
import { FaultTable } from './faults.js';
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
      <Section title="Domains" note={domains.length > 0 && timesNote(summary)}>
        {domains.length === 0 ? <NoDomains hasNodes={nodes.length > 0} /> : <DomainTable domains={domains} />}
        {deploy}
      </Section>
      {domains.length > 0 && <WhatFailed domains={domains} summary={summary} />}
      <Section title="Nodes">
        {nodes.length === 0 ? (
          <Empty>No node has answered yet. `beds start` runs one; it must use the same RabbitMQ and amqp.prefix.</Empty>
        ) : (
          <NodeTable nodes={nodes} />
        )}
      </Section>
      <Section title="Requests and failures" note={countedNote(summary)}>
        <LastHour samples={samples} />
      </Section>
    </>
  );
}

const HOUR_MS = 3_600_000;
const LEAST_SPAN_MS = 120_000;
const GAP_MS = 30_000;

/** n.b. of a dashboard that has just started there are some moments only: they are drawn wide. */
function LastHour({ samples }: { readonly samples: readonly Sample[] }): VNode {
  const end = samples.at(-1)?.at ?? now();
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
              <Mark tone={level} />{' '}
              <To path={path}>
                <Words text={words} />
              </To>
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

const MOST_FAILED = 10;

interface WhatFailedProps {
  readonly domains: readonly DomainPart[];
  readonly summary: Summary;
}

/** What failed and where, of all domains, the most first. */
function WhatFailed({ domains, summary }: WhatFailedProps): VNode {
  const all = domains
    .flatMap(({ domain, failed }) => failed.map((each) => ({ domain, ...each })))
    .toSorted((a, b) => b.count - a.count);
  return (
    <Section title="What failed" note={countedNote(summary)}>
      {all.length === 0 ? (
        <Empty>No request failed.</Empty>
      ) : (
        <Table label="What failed" head={['Domain', 'Version', 'Node', 'Why', '#Requests']}>
          {all.slice(0, MOST_FAILED).map(({ domain, version, node, outcome, count }) => (
            <tr key={`${domain} ${version} ${node} ${outcome}`}>
              <th scope="row">
                <To path={`/domains/${domain}`}>{domain}</To>
              </th>
              <td>{version}</td>
              <td>{node}</td>
              <td>{FAILURE_WORDS[outcome] ?? outcome}</td>
              <td class="number bad">{count.toLocaleString('en')}</td>
            </tr>
          ))}
        </Table>
      )}
      {all.length > MOST_FAILED && (
        <p class="note">{all.length - MOST_FAILED} more are on the pages of their domains.</p>
      )}
      <LinesThatFailed />
    </Section>
  );
}

const LINES_MS = 10_000;
const MOST_LINES = 5;

/** Where in the code it failed. n.b. where nobody keeps faults, nothing is said: the page of faults says why. */
function LinesThatFailed(): VNode | null {
  const ask = (): ReturnType<typeof api.faults> => api.faults({ since: now() - HOUR_MS });
  const { answer: groups } = useAsked(ask, { about: '', everyMs: LINES_MS });
  if (groups === undefined || groups.length === 0) return null;
  return (
    <>
      <h3>In which line of code, in the last hour</h3>
      <FaultTable groups={groups.slice(0, MOST_LINES)} since={String(HOUR_MS / 1_000)} />
      <p>
        <To path="/faults">All faults</To>
      </p>
    </>
  );
}

function DomainTable({ domains }: { readonly domains: readonly DomainPart[] }): VNode {
  const hasLatency = domains.some(({ p95Ms }) => p95Ms !== undefined);
  const latency = hasLatency ? ['#95 % within'] : [];
  const head = ['Domain', 'Live version', 'Since', 'Other version', 'Called by', '#Requests/s', ...latency];
  return (
    <Table label="Domains" head={[...head, '#Failed', '#Waiting']}>
      {domains.map((part) => (
        <DomainRow key={part.domain} part={part} hasLatency={hasLatency} />
      ))}
    </Table>
  );
}

function DomainRow({ part, hasLatency }: { readonly part: DomainPart; readonly hasLatency: boolean }): VNode {
  const { domain, nodes, queues, failures, requestsPerSecond, p95Ms } = part;
  const live = nodes.flatMap((on) => (on.live === undefined ? [] : [on.live]));
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
      <td>{live.length === 0 ? 'none' : <LiveVersions part={part} />}</td>
      <td>{since !== undefined && <Ago at={since} />}</td>
      <td>
        {candidate !== undefined && (
          <>
            {candidate.version} <StateName state={candidate.state} />
          </>
        )}
        {nodes.some(({ paused }) => paused) && <span class="tag">paused</span>}
      </td>
      <td>{callerWords(part)}</td>
      <td class={requestsPerSecond > 0 ? 'number' : 'number zero'}>{rate(requestsPerSecond)}</td>
      {hasLatency && (
        <td class={p95Ms === undefined ? 'number zero' : 'number'}>
          {p95Ms === undefined ? '–' : `${rate(p95Ms)} ms`}
        </td>
      )}
      <td class={failures > 0 ? 'number bad' : 'number zero'}>{failures.toLocaleString('en')}</td>
      <td class={waiting > 0 ? 'number' : 'number zero'}>{waiting.toLocaleString('en')}</td>
    </tr>
  );
}

const FEW_NODES = 3;

/** Which version is live on which node. */
function LiveVersions({ part: { nodes } }: { readonly part: DomainPart }): VNode {
  const where = new Map<string, string[]>();
  for (const { node, live } of nodes) {
    if (live !== undefined) where.set(live.version, [...(where.get(live.version) ?? []), node]);
  }
  return (
    <>
      {[...where].map(([version, on]) => (
        <div key={version}>
          {version} <small>on {on.length <= FEW_NODES ? on.join(', ') : `${String(on.length)} nodes`}</small>
        </div>
      ))}
    </>
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

const FEW_CALLERS = 3;

/** The busiest of those who call a domain. */
export function callerWords({ callers }: DomainPart): string {
  const names = callers.slice(0, FEW_CALLERS).map(callerName).join(', ');
  // n.b. nodes name some of them only: how many there are is not known here.
  return callers.length > FEW_CALLERS ? `${names} and more` : names;
}

/** Over which time the numbers of the table of domains are. */
function timesNote({ countedOver }: Summary): string {
  return `Requests a second and waiting messages: now. Failed: in ${countedOver}. 95 % within: in the last 3 minutes.`;
}

/** Over which time requests are counted, and from when on. */
export function countedNote({ countedOver, countedSince }: Summary): string {
  const from = new Date(countedSince).toLocaleTimeString([], MINUTES);
  return countedOver === 'the last hour'
    ? 'In the last hour.'
    : `In ${countedOver}: since ${from}, when this dashboard began to count.`;
}
