import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { LogLine } from '../../contract.js';
import { now } from '../clock.js';
import { api } from '../api.js';
import { useAsked } from '../asked.js';
import type { State } from '../live.js';
import { Choice, DomainChoice, Empty, Loading, Missing, NodeChoice, Title, To } from '../parts.js';
import { pathWith, useConditions } from '../route.js';
import { count, LEVELS, levelOf, MINUTES, SINCE } from '../words.js';

const FOLLOW_MS = 2_000;
const MAX_LINES = 500;
/** Nodes tell what they say every second, and each by its own clock: lines may come behind later ones. */
const LATE_MS = 10_000;

/** The log lines of all nodes, newest first. */
export function Logs({ live }: { readonly live: State }): VNode {
  const [conditions, set] = useConditions();
  const { domain, node, level, request, cause, since = '3600' } = conditions;
  const [isFollowing, setFollowing] = useState(true);
  const about = JSON.stringify(conditions);
  const ask = useLines(about, () => ({
    ...(domain && { domain }),
    ...(node && { node }),
    ...(level && { level: Number(level) }),
    ...(request && { requestId: request }),
    ...(cause && { cause }),
    since: now() - Number(since) * 1_000,
  }));
  const { answer: lines, problem } = useAsked(ask, { about, ...(isFollowing && { everyMs: FOLLOW_MS }) });
  return (
    <>
      <Title document="Logs">Logs</Title>
      <form class="filter" role="search" aria-label="Log lines" onSubmit={(event) => event.preventDefault()}>
        <DomainChoice live={live} value={domain} set={set} />
        <NodeChoice live={live} value={node} set={set} />
        <Choice name="Level" value={level} all="all" options={LEVELS} set={(next) => set({ level: next })} />
        <Choice name="Since" value={since} options={SINCE} set={(next) => set({ since: next })} />
        <label>
          Request id
          <input
            value={request ?? ''}
            maxLength={200}
            placeholder="any"
            onChange={(event) => set({ request: event.currentTarget.value.trim() })}
          />
        </label>
        <label class="row">
          <input
            type="checkbox"
            checked={isFollowing}
            onChange={(event) => setFollowing(event.currentTarget.checked)}
          />
          Follow
        </label>
        {cause && (
          <button type="button" onClick={() => set({ cause: '' })}>
            Not only this fault
          </button>
        )}
      </form>
      {problem !== undefined && <Missing problem={problem} />}
      {lines === undefined && problem === undefined && <Loading />}
      {lines?.length === 0 && <Empty>Nothing was said that fits.</Empty>}
      {lines !== undefined && lines.length > 0 && (
        <>
          <p class="note">
            {count(lines.length, 'line')}, newest first{lines.length >= MAX_LINES && '; there are more before'}
            {isFollowing && '. New ones come by themselves.'}
          </p>
          <ol class="lines" reversed>
            {lines.map((line) => (
              <Line key={line.id} line={line} />
            ))}
          </ol>
        </>
      )}
    </>
  );
}

/** Asks for all that fits, and from then on for what is new; keeps the newest. */
function useLines(about: string, filterOf: () => Parameters<typeof api.logs>[0]): () => Promise<readonly LogLine[]> {
  const [known] = useState({ about: '', lines: [] as readonly LogLine[] });
  return async () => {
    const filter = filterOf();
    const [newest] = known.about === about ? known.lines : [];
    const since = newest === undefined ? filter.since : Math.max(filter.since ?? 0, newest.at - LATE_MS);
    const found = await api.logs({ ...filter, ...(since !== undefined && { since }), limit: MAX_LINES });
    const before = known.about === about ? known.lines : [];
    const all = new Map([...before, ...found].map((line) => [line.id, line]));
    known.about = about;
    known.lines = [...all.values()].toSorted((a, b) => (a.id < b.id ? 1 : -1)).slice(0, MAX_LINES);
    return known.lines;
  };
}

function Line({ line }: { readonly line: LogLine }): VNode {
  const { at, level, node, domain, version, message, place, code, requestId, traceId, fields } = line;
  const { name, tone } = levelOf(level);
  return (
    <li class={tone}>
      <details>
        <summary>
          <time dateTime={new Date(at).toISOString()}>{timeOf(at)}</time> <b>{name}</b>{' '}
          <span class="where">
            {node}
            {domain !== '' && ` · ${domain} ${version}`}
          </span>{' '}
          <span class="said">
            {message}
            {line.count > 1 && ` (×${line.count.toLocaleString('en')})`} {place !== '' && <code>{place}</code>}
          </span>
        </summary>
        <dl>
          <Fact name="When">{new Date(at).toISOString()}</Fact>
          {code !== '' && <Fact name="Code">{code}</Fact>}
          {requestId !== '' && (
            <Fact name="Request">
              <To path={pathWith('/logs', { request: requestId, since: '604800' })}>{requestId}</To>
            </Fact>
          )}
          {traceId !== '' && <Fact name="Trace">{traceId}</Fact>}
          {fields !== '' && (
            <Fact name="More">
              <code>{fields}</code>
            </Fact>
          )}
        </dl>
      </details>
    </li>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: VNode | string }): VNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const DAY_MS = 86_400_000;

function timeOf(at: number): string {
  const date = new Date(at);
  const time = date.toLocaleTimeString([], { ...MINUTES, second: '2-digit' });
  return now() - at < DAY_MS ? time : `${date.toLocaleDateString([], { day: 'numeric', month: 'short' })} ${time}`;
}
