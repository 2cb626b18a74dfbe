import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type {
  DomainDetails,
  DomainOnNode,
  DomainPart,
  HistoryPart,
  Me,
  OperationPart,
  Problem,
  Summary,
} from '../../contract.js';
import { now } from '../clock.js';
import { api, problemOf } from '../api.js';
import { useAsked } from '../asked.js';
import type { Asked } from '../dialog.js';
import type { State } from '../live.js';
import { askLift, askPause, askPromote, askRollback, askUndeploy } from '../orders.js';
import {
  Ago,
  Empty,
  Findings,
  Hash,
  Loading,
  Mark,
  Missing,
  Section,
  sectionId,
  StateName,
  Table,
  Title,
  To,
} from '../parts.js';
import { callerName, count, FAILURE_WORDS, millis, rate, span } from '../words.js';
import { FaultTable } from './faults.js';
import { Curves } from './graphs.js';
import { UseTable } from './objects.js';
import { callerWords, countedNote, toneOf } from './overview.js';

interface DomainPageProps {
  readonly name: string;
  readonly live: State;
  readonly me: Me;
  readonly ask: (asked: Asked) => void;
  /** Where a bundle is dropped; null: he may not. */
  readonly drop: VNode | null;
}

/** Everything about one domain, and everything that one may do to it. */
export function DomainPage({ name, live, me, ask, drop }: DomainPageProps): VNode {
  const part = live.domains.find(({ domain }) => domain === name);
  const { details, problem } = useDetails(name, part);
  if (live.summary === undefined) return <Loading />;
  const mayOrder = me.role === 'operator' || me.role === 'dba';
  return (
    <>
      <Title document={name}>{name}</Title>
      {part === undefined ? (
        <Empty>
          {live.nodes.length === 0 ? 'No node has answered yet.' : `No node serves ${name} or tries to.`}{' '}
          <To path="/">Back to the overview</To>
        </Empty>
      ) : (
        <>
          <Standing part={part} />
          <OnThisPage isWhole={details !== undefined} />
          {mayOrder ? (
            <Actions part={part} ask={ask} />
          ) : (
            <p class="note">You may look. Orders need the role operator.</p>
          )}
          <Rollout part={part} />
          <Where part={part} />
          <Failed part={part} summary={live.summary} />
          <FaultsOf domain={name} />
        </>
      )}
      {problem !== undefined && <Missing problem={problem} />}
      {details === undefined && problem === undefined && <Loading />}
      {details !== undefined && (
        <>
          <Callers details={details} />
          <Versions details={details} part={part} ask={mayOrder ? ask : undefined} />
          <Operations details={details} part={part} />
          <History details={details} />
        </>
      )}
      {part !== undefined && (
        <>
          <ObjectsOf domain={name} />
          <Curves domain={name} seconds={DAY_S} title="The last day" />
          {drop !== null && <section aria-label="Deploy">{drop}</section>}
        </>
      )}
    </>
  );
}

const SECTIONS = ['Where it runs', 'What failed', 'Faults by line'];
const MORE_SECTIONS = ['Who calls it', 'Other versions', 'History'];

/** The page is long: what one comes for is one step away. `isWhole`: the rest of it is there as well. */
function OnThisPage({ isWhole }: { readonly isWhole: boolean }): VNode {
  return (
    <nav class="within" aria-label="On this page">
      {[...SECTIONS, ...(isWhole ? MORE_SECTIONS : [])].map((title) => (
        <a key={title} href={`#${sectionId(title)}`}>
          {title}
        </a>
      ))}
    </nav>
  );
}

/** Asked for again whenever the domain has changed. */
function useDetails(name: string, part: DomainPart | undefined): { details?: DomainDetails; problem?: Problem } {
  const [answer, setAnswer] = useState<{ readonly details?: DomainDetails; readonly problem?: Problem }>({});
  const states = part?.nodes.map(({ node, live, candidate, paused }) => [
    node,
    live?.hash,
    candidate?.hash,
    candidate?.state,
    paused,
  ]);
  const key = JSON.stringify(states);
  const isWrong = answer.problem !== undefined;
  useEffect(() => {
    let isWanted = true;
    const look = (): void => {
      api.details(name).then(
        (details) => isWanted && setAnswer({ details }),
        (error: unknown) => isWanted && setAnswer((before) => ({ ...before, problem: problemOf(error) })),
      );
    };
    look();
    // The history is written a moment later.
    const later = setTimeout(look, 1_500);
    const timer = setInterval(look, isWrong ? 3_000 : 30_000);
    return () => {
      isWanted = false;
      clearTimeout(later);
      clearInterval(timer);
    };
  }, [name, key, isWrong]);
  return answer.details?.domain === undefined || answer.details.domain === name ? answer : {};
}

function Standing({ part }: { readonly part: DomainPart }): VNode {
  const { nodes, requestsPerSecond, queues } = part;
  const versions = [...new Set(nodes.flatMap(({ live }) => live?.version ?? []))];
  const withheld = nodes.some((on) => on.withheld);
  const waiting = queues.reduce((sum, { ready }) => sum + ready, 0);
  return (
    <p class="standing">
      <Mark tone={toneOf(part)} />{' '}
      {withheld
        ? 'Nothing answers: its only version is in quarantine.'
        : versions.length === 0
          ? 'Nothing serves it yet.'
          : `${versions.join(' and ')} is live`}
      {versions.length > 0 &&
        ` on ${String(nodes.filter(({ live }) => live !== undefined).length)} of ${String(nodes.length)} nodes`}
      {` · ${rate(requestsPerSecond)} requests a second now`}
      {part.callers.length > 0 && ` · called by ${callerWords(part)}`}
      {waiting > 0 && ` · ${waiting.toLocaleString('en')} messages wait`}
      {nodes.some(({ paused }) => paused) && <span class="tag">rollouts are paused</span>}
    </p>
  );
}

function Actions({ part, ask }: { readonly part: DomainPart; readonly ask: (asked: Asked) => void }): VNode {
  const { nodes } = part;
  const isPaused = nodes.some(({ paused }) => paused);
  const isTried = nodes.some(({ canary }) => canary !== undefined);
  const isHeld =
    isPaused && nodes.some(({ candidate }) => candidate?.state === 'prepared' || candidate?.state === 'probed');
  const kept = nodes.flatMap((on) => on.kept).toSorted((a, b) => (a.at < b.at ? 1 : -1));
  const [before] = kept;
  const isLive = nodes.some(({ live }) => live !== undefined);
  return (
    <div class="actions" role="group" aria-label="Orders">
      {(isTried || isHeld || isPaused) && (
        <button class="primary" onClick={() => ask(askPromote(part))}>
          {isTried || isHeld ? 'Promote …' : 'End the pause …'}
        </button>
      )}
      {isTried && <button onClick={() => ask(askRollback(part))}>End the trial …</button>}
      {!isTried && before !== undefined && (
        <button onClick={() => ask(askRollback(part, before))}>Roll back to {before.version} …</button>
      )}
      {!isPaused && isLive && <button onClick={() => ask(askPause(part))}>Pause rollouts …</button>}
      {isLive && (
        <button class="quiet" onClick={() => ask(askUndeploy(part))}>
          Take out of service …
        </button>
      )}
    </div>
  );
}

/** A version on trial, beside the one that serves. */
function Rollout({ part }: { readonly part: DomainPart }): VNode | null {
  const tried = part.nodes.filter(({ canary }) => canary !== undefined);
  if (tried.length === 0) return null;
  return (
    <Section title="On trial now">
      {tried.map((on) => (
        <Trial key={on.node} on={on} />
      ))}
    </Section>
  );
}

function Trial({ on }: { readonly on: DomainOnNode }): VNode | null {
  const { node, canary, live } = on;
  if (canary === undefined) return null;
  const { percent, shadowPercent, forMs, elapsedMs, hold, waits } = canary;
  const left = hold ? 'until it is promoted' : `${span(forMs - elapsedMs)} left of ${span(forMs)}`;
  return (
    <div class="trial">
      <p>
        <strong>{canary.version}</strong> answers {percent} % of the callers on {node}
        {shadowPercent > 0 && ` and gets copies of ${String(shadowPercent)} % of the reads`}, {left}.
        {waits !== undefined && ` Its time stands still: it waits for ${waits}.`}
      </p>
      <progress
        max={forMs}
        value={hold ? undefined : Math.min(elapsedMs, forMs)}
        aria-label={`Trial of ${canary.version} on ${node}`}
      />
      <Table label={`Trial on ${node}`} head={['Version', '#Requests', '#Failed', '#95 % within']}>
        {[
          { version: `${canary.version}, new`, side: canary.candidate },
          { version: `${live?.version ?? '?'}, live`, side: canary.active },
        ].map(({ version, side }) => (
          <tr key={version}>
            <th scope="row">{version}</th>
            <td class="number">{side.requests.toLocaleString('en')}</td>
            <td class={side.errorPercent > 0 ? 'number bad' : 'number'}>{side.errorPercent.toFixed(1)} %</td>
            <td class="number">{millis(side.p95Ms)}</td>
          </tr>
        ))}
      </Table>
      {canary.shadow !== undefined && canary.shadow.compared > 0 && <Shadow shadow={canary.shadow} />}
    </div>
  );
}

/** What copies of reads showed. */
function Shadow({ shadow }: { readonly shadow: NonNullable<NonNullable<DomainOnNode['canary']>['shadow']> }): VNode {
  const { compared, different, differences } = shadow;
  return (
    <>
      <p>
        {different === 0 ? 'All' : `${different.toLocaleString('en')} of`} {compared.toLocaleString('en')} copies of
        reads were answered {different === 0 ? 'alike' : 'differently'}.
      </p>
      {differences.length > 0 && (
        <Table label="Answers that differ" head={['Operation', 'Live answers', 'New answers', '#Times']}>
          {differences.map(({ operation, active, candidate, count }) => (
            <tr key={`${operation} ${active} ${candidate}`}>
              <th scope="row">{operation}</th>
              <td class="long">
                <code>{active}</code>
              </td>
              <td class="long">
                <code>{candidate}</code>
              </td>
              <td class="number">{count.toLocaleString('en')}</td>
            </tr>
          ))}
        </Table>
      )}
    </>
  );
}

function Where({ part }: { readonly part: DomainPart }): VNode {
  return (
    <Section title="Where it runs">
      <Table label="Where it runs" head={['Node', 'Live version', 'Bytes', 'Since', 'Other version', 'Remarks']}>
        {part.nodes.map((on) => (
          <tr key={on.node}>
            <th scope="row">{on.node}</th>
            <td>{on.live === undefined ? 'none' : <strong>{on.live.version}</strong>}</td>
            <td>{on.live !== undefined && <Hash hash={on.live.hash} />}</td>
            <td>{on.live !== undefined && <Ago at={on.live.since} />}</td>
            <td>
              {on.candidate !== undefined && (
                <>
                  {on.candidate.version} <StateName state={on.candidate.state} />
                  <Findings findings={on.candidate.findings} />
                </>
              )}
            </td>
            <td>
              {on.withheld && 'its only version is in quarantine; '}
              {on.apart && 'served by a process of its own, because its code ran when the host was killed; '}
              {on.paused && 'rollouts are paused'}
              <Findings findings={[...on.degraded, ...on.notices]} />
            </td>
          </tr>
        ))}
      </Table>
      {part.queues.length > 0 && (
        <Table label="Queues" head={['Queue', '#Messages that wait', '#Consumers']}>
          {part.queues.map(({ queue, ready, consumers }) => (
            <tr key={queue}>
              <th scope="row">{queue}</th>
              <td class={ready > 0 && consumers === 0 ? 'number bad' : 'number'}>{ready.toLocaleString('en')}</td>
              <td class="number">{consumers}</td>
            </tr>
          ))}
        </Table>
      )}
    </Section>
  );
}

function Failed({ part, summary }: { readonly part: DomainPart; readonly summary: Summary }): VNode {
  const { failed, refused } = part;
  const refusedWords =
    refused === 0 ? '' : ` ${count(refused, 'more request')} had a mistake of the caller, and were told so.`;
  const note = `${countedNote(summary)}${refusedWords}`;
  return (
    <Section title="What failed" note={note}>
      {failed.length === 0 ? (
        <Empty>No request failed.</Empty>
      ) : (
        <Table label="What failed" head={['Node', 'Version', 'Why', '#Requests']}>
          {failed.map(({ node, version, outcome, count }) => (
            <tr key={`${node} ${version} ${outcome}`}>
              <th scope="row">{node}</th>
              <td>{version}</td>
              <td>{FAILURE_WORDS[outcome] ?? outcome}</td>
              <td class="number bad">{count.toLocaleString('en')}</td>
            </tr>
          ))}
        </Table>
      )}
    </Section>
  );
}

interface VersionsProps {
  readonly details: DomainDetails;
  readonly part: DomainPart | undefined;
  readonly ask: ((asked: Asked) => void) | undefined;
}

/** What was refused and why, and what one may go back to. */
function Versions({ details, part, ask }: VersionsProps): VNode {
  const { refusals, quarantined, domain } = details;
  const kept = new Map(part?.nodes.flatMap((on) => on.kept.map((each) => [each.hash, each] as const)));
  const head = ['Version', 'Bytes', 'State', 'When', 'Why', ''];
  return (
    <Section title="Other versions" note="Refused, in quarantine, or kept to go back to.">
      {refusals.length + quarantined.length + kept.size === 0 ? (
        <Empty>None: the live version is the only one that is known.</Empty>
      ) : (
        <Table label="Other versions" head={head}>
          {quarantined.map(({ node, version, hash, since, code, message }) => (
            <tr key={`q ${node} ${hash}`}>
              <th scope="row">{version}</th>
              <td>
                <Hash hash={hash} />
              </td>
              <td>
                <StateName state="quarantined" />
              </td>
              <td>
                <Ago at={since} /> on {node}
              </td>
              <td>
                <Findings findings={[{ code, message }]} />
              </td>
              <td>
                {ask !== undefined && <button onClick={() => ask(askLift(domain, { version, hash }))}>Lift …</button>}
              </td>
            </tr>
          ))}
          {refusals.map(({ node, version, hash, at, state, findings }) => (
            <tr key={`r ${node} ${hash} ${version}`}>
              <th scope="row">{version}</th>
              <td>
                <Hash hash={hash} />
              </td>
              <td>
                <StateName state={state} />
              </td>
              <td>
                <Ago at={at} /> on {node}
              </td>
              <td>
                <Findings findings={findings} />
              </td>
              <td />
            </tr>
          ))}
          {[...kept.values()].map((each) => (
            <tr key={`k ${each.hash}`}>
              <th scope="row">{each.version}</th>
              <td>
                <Hash hash={each.hash} />
              </td>
              <td>kept</td>
              <td>
                <Ago at={each.at} />
              </td>
              <td />
              <td>
                {ask !== undefined && part !== undefined && (
                  <button onClick={() => ask(askRollback(part, each))}>Roll back to {each.version} …</button>
                )}
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Section>
  );
}

const DAY_S = 86_400;
const FAULTS_MS = 10_000;
const OBJECTS_MS = 30_000;

/** Where in its code it failed. */
function FaultsOf({ domain }: { readonly domain: string }): VNode {
  const ask = (): ReturnType<typeof api.faults> => api.faults({ domain, since: now() - DAY_S * 1_000 });
  const { answer: groups, problem } = useAsked(ask, { about: domain, everyMs: FAULTS_MS });
  return (
    <Section title="Faults by line" note="In the last day.">
      {problem !== undefined && <Missing problem={problem} />}
      {groups === undefined && problem === undefined && <Loading />}
      {groups?.length === 0 && <Empty>No fault in the last day.</Empty>}
      {groups !== undefined && groups.length > 0 && <FaultTable groups={groups} since={String(DAY_S)} />}
    </Section>
  );
}

function ObjectsOf({ domain }: { readonly domain: string }): VNode {
  const { answer, problem } = useAsked(() => api.objects(), { about: '', everyMs: OBJECTS_MS });
  if (answer !== undefined) return <UseTable view={answer} domain={domain} />;
  return (
    <Section title="Used database objects">
      {problem === undefined ? <Loading /> : <Missing problem={problem} />}
    </Section>
  );
}

interface OperationsProps {
  readonly details: DomainDetails;
  readonly part: DomainPart | undefined;
}

/** Each operation by the version that answered it: what is new is beside what is live. */
function Operations({ details: { operations }, part }: OperationsProps): VNode | null {
  if (operations.length === 0) return null;
  const tried = part?.nodes.find(({ canary }) => canary !== undefined)?.canary?.version;
  const live = new Set(part?.nodes.flatMap((on) => on.live?.version ?? []));
  const note =
    tried === undefined
      ? 'Calls of today, by the version that answered.'
      : 'Calls of today: the version on trial against the live one.';
  return (
    <Section title="Operations" note={note}>
      <Table label="Operations" head={['Operation', 'Version', '#Calls', '#Failed', '#95 % within', 'Last call']}>
        {operations.map((row) => (
          <tr key={`${row.operation} ${row.version}`}>
            <th scope="row">{row.operation}</th>
            <td>
              {row.version}
              {row.version === tried && <span class="tag">on trial</span>}
              {live.has(row.version) && <span class="tag">live</span>}
            </td>
            <td class="number">{row.calls.toLocaleString('en')}</td>
            <td class={row.failures > 0 ? 'number bad' : 'number'}>{failedShare(row).toFixed(1)} %</td>
            <td class="number">{millis(row.p95Ms)}</td>
            <td>
              <Ago at={new Date(row.lastAt).toISOString()} />
            </td>
          </tr>
        ))}
      </Table>
    </Section>
  );
}

function failedShare({ calls, failures }: OperationPart): number {
  return calls === 0 ? 0 : (failures / calls) * 100;
}

function Callers({ details }: { readonly details: DomainDetails }): VNode {
  const { callers, countedDays } = details;
  const days = countedDays < 1 ? 'less than a day' : `${countedDays.toFixed(0)} days`;
  return (
    <Section title="Who calls it" note={`Counted over ${days}.`}>
      {callers.length === 0 ? (
        <Empty>Nobody has called it yet. Callers are counted every few seconds.</Empty>
      ) : (
        <Table label="Callers" head={['Client', 'Operation', '#Calls a day']}>
          {callers.map(({ client, operation, callsPerDay }) => (
            <tr key={`${client} ${operation}`}>
              <th scope="row">{callerName(client)}</th>
              <td>{operation}</td>
              <td class="number">{rate(callsPerDay)}</td>
            </tr>
          ))}
        </Table>
      )}
    </Section>
  );
}

/** Steps on the way to a state that matters. */
const STEPS: ReadonlySet<string> = new Set(['received', 'verified', 'probed', 'prepared', 'draining']);

function History({ details }: { readonly details: DomainDetails }): VNode {
  const [all, setAll] = useState(false);
  const entries = details.history.filter(({ state, findings }) => all || !STEPS.has(state) || findings !== undefined);
  return (
    <Section title="History" note="What became of every version, newest first.">
      {entries.length === 0 ? <Empty>Nothing has happened yet.</Empty> : <Entries entries={entries} />}
      <label class="row">
        <input type="checkbox" checked={all} onChange={(event) => setAll(event.currentTarget.checked)} />
        every step on the way
      </label>
    </Section>
  );
}

function Entries({ entries }: { readonly entries: readonly HistoryPart[] }): VNode {
  return (
    <Table label="History" head={['When', 'Version', 'State', 'Node', 'After', 'Why']}>
      {entries.map(({ at, version, state, node, ms, findings, cause }, index) => (
        <tr key={`${at} ${node} ${version} ${state} ${String(index)}`}>
          <td>
            <Ago at={at} />
          </td>
          <th scope="row">{version}</th>
          <td>
            <StateName state={state} />
          </td>
          <td>{node}</td>
          <td>{millis(ms)}</td>
          <td>
            {cause}
            <Findings findings={findings} />
          </td>
        </tr>
      ))}
    </Table>
  );
}
