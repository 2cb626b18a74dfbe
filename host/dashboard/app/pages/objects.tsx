import type { VNode } from 'preact';
import type { ObjectsView } from '../../contract.js';
import { now } from '../clock.js';
import { api } from '../api.js';
import { useAsked } from '../asked.js';
import { Ago, Empty, Loading, Missing, Section, Table, Title, To } from '../parts.js';
import { go, pathWith, useConditions } from '../route.js';
import { millis, MINUTES, rate } from '../words.js';

const LOOK_MS = 15_000;

/** Who uses the views, procedures and functions of the stores, and whether one may be dropped. */
export function Objects(): VNode {
  const [{ name }] = useConditions();
  const { answer, problem } = useAsked(() => api.objects(name), { about: name ?? '', everyMs: LOOK_MS });
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const asked = new FormData(event.currentTarget as HTMLFormElement).get('name');
    go(pathWith('/objects', { name: typeof asked === 'string' ? asked.trim() : '' }));
  };
  return (
    <>
      <Title document="Database objects">Database objects</Title>
      <form class="filter" role="search" aria-label="Objects" onSubmit={submit}>
        <label>
          May this view, procedure or function be dropped?
          <input key={name} name="name" defaultValue={name ?? ''} maxLength={200} placeholder="its name" />
        </label>
        <button class="primary">Ask</button>
        {name !== undefined && (
          <button type="button" onClick={() => go('/objects')}>
            Show all
          </button>
        )}
      </form>
      {problem !== undefined && <Missing problem={problem} />}
      {answer === undefined && problem === undefined && <Loading />}
      {answer !== undefined && (
        <>
          {name !== undefined && <Answer name={name} view={answer} />}
          <UseTable view={answer} />
        </>
      )}
    </>
  );
}

/** What was called within this time is asked about twice. */
const RECENT_MS = 30 * 86_400_000;

function Answer({
  name,
  view: { verdict, uses },
}: {
  readonly name: string;
  readonly view: ObjectsView;
}): VNode | null {
  if (verdict === undefined) return null;
  const [first = '', ...rest] = verdict.words;
  const isDoubtful = first.startsWith('Probably') || uses.some(({ lastAt }) => now() - lastAt < RECENT_MS);
  const tone = !verdict.isSafe ? 'trouble' : isDoubtful ? 'attention' : 'well';
  return (
    <div class={`headline ${tone}`} role="status">
      <h2>May {name} be dropped?</h2>
      <p>{first}</p>
      {rest.map((words) => (
        <p key={words}>{words}</p>
      ))}
      <p class="note">Programs that use the database without BEDS are not counted here.</p>
    </div>
  );
}

interface UseTableProps {
  readonly view: ObjectsView;
  /** Only of this domain. */
  readonly domain?: string;
}

/** Calls of each object by who makes them; and objects that are in the code of a live version, and that nobody has called. */
export function UseTable({ view: { uses, declared, since, isKept }, domain }: UseTableProps): VNode {
  const isAsked = (each: { readonly domain: string }): boolean => domain === undefined || each.domain === domain;
  const used = uses.filter(isAsked);
  const never = declared.filter(
    (each) =>
      isAsked(each) &&
      each.state === 'live' &&
      !used.some(({ object, domain: of }) => object === each.object && of === each.domain),
  );
  const days = Math.max(1, (now() - since) / 86_400_000);
  const rows = [
    ...used.map((use) => ({ ...use, aDay: use.callsPerDay ?? use.calls / days })),
    ...[...new Map(never.map((each) => [`${each.object} ${each.domain}`, each])).values()].map((each) => ({
      ...each,
      ...{ operation: '', calls: 0, aDay: 0, lastAt: undefined, p95Ms: undefined },
    })),
  ].toSorted((a, b) => (`${a.object} ${a.domain} ${a.version}` < `${b.object} ${b.domain} ${b.version}` ? -1 : 1));
  if (rows.length === 0) return <Empty>No version has an object of a store in its code.</Empty>;
  const from = new Date(since).toLocaleString([], { day: 'numeric', month: 'short', year: 'numeric', ...MINUTES });
  const note = `Calls since ${from}${isKept ? '' : ': no node keeps those from before'}.`;
  return (
    <Section title="Used database objects" note={note}>
      <Table
        label="Database objects"
        head={['Object', 'Store', 'Version', 'Operation', '#Calls', '#A day', '#95 % within', 'Last call']}
      >
        {rows.map((row) => (
          <tr key={[row.store, row.object, row.domain, row.version, row.operation].join(' ')}>
            <th scope="row">
              <To path={pathWith('/objects', { name: row.object })}>{row.object}</To>
            </th>
            <td>{row.store}</td>
            <td>
              {row.domain} {row.version}
            </td>
            <td>{row.operation}</td>
            <td class="number">{row.calls.toLocaleString('en')}</td>
            <td class="number">{rate(row.aDay)}</td>
            <td class="number">{millis(row.p95Ms)}</td>
            <td>{row.lastAt === undefined ? 'never' : <Ago at={new Date(row.lastAt).toISOString()} />}</td>
          </tr>
        ))}
      </Table>
    </Section>
  );
}
