import type { VNode } from 'preact';
import type { FaultGroup } from '../../contract.js';
import { now } from '../clock.js';
import { api } from '../api.js';
import { useAsked } from '../asked.js';
import type { State } from '../live.js';
import { Ago, Choice, DomainChoice, Empty, Loading, Missing, Table, Title, To } from '../parts.js';
import { pathWith, useConditions } from '../route.js';
import { SINCE } from '../words.js';

const LOOK_MS = 5_000;
const JOINED = /: [\d,]+ more like it in .*$/;

/** What failed, by cause: where, how often, and since when. */
export function Faults({ live }: { readonly live: State }): VNode {
  const [{ domain, since = '3600' }, set] = useConditions();
  const ask = (): Promise<readonly FaultGroup[]> =>
    api.faults({ ...(domain && { domain }), since: now() - Number(since) * 1_000 });
  const { answer: groups, problem } = useAsked(ask, { about: `${domain ?? ''} ${since}`, everyMs: LOOK_MS });
  return (
    <>
      <Title document="Faults">Faults</Title>
      <p class="standing">What failed in code, one row for each cause: the same line of the same version.</p>
      <form class="filter" role="search" aria-label="Faults" onSubmit={(event) => event.preventDefault()}>
        <DomainChoice live={live} value={domain} set={set} />
        <Choice name="Since" value={since} options={SINCE} set={(next) => set({ since: next })} />
      </form>
      {problem !== undefined && <Missing problem={problem} />}
      {groups === undefined && problem === undefined && <Loading />}
      {groups?.length === 0 && <Empty>Nothing failed.</Empty>}
      {groups !== undefined && groups.length > 0 && <FaultTable groups={groups} since={since} />}
    </>
  );
}

/** `since`: seconds, for the lines that it links to. */
export function FaultTable({
  groups,
  since,
}: {
  readonly groups: readonly FaultGroup[];
  readonly since: string;
}): VNode {
  return (
    <Table label="Faults" head={['Version', 'What', 'Line', '#Times', 'Last', 'First', '']}>
      {groups.map((group) => (
        <tr key={group.cause}>
          <th scope="row">{group.domain === '' ? 'the host' : `${group.domain} ${group.version}`}</th>
          <td class="long">
            {group.message.replace(JOINED, '')} {group.code !== '' && <code>{group.code}</code>}
          </td>
          <td>{group.place !== '' && <strong class="place">{group.place}</strong>}</td>
          <td class="number bad">{group.count.toLocaleString('en')}</td>
          <td>
            <Ago at={new Date(group.lastAt).toISOString()} />
          </td>
          <td>
            <Ago at={new Date(group.firstAt).toISOString()} />
          </td>
          <td>
            <To path={pathWith('/logs', { cause: group.cause, since })}>log lines</To>
          </td>
        </tr>
      ))}
    </Table>
  );
}
