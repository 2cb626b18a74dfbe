import type { VNode } from 'preact';
import { api } from '../api.js';
import { useAsked } from '../asked.js';
import { Ago, Empty, Loading, Mark, Missing, Table, Title, Words } from '../parts.js';

const LOOK_MS = 5_000;

/** Twelve digits of a hash name it. */
function shorten(text: string): string {
  return text.replaceAll(/\b([0-9a-f]{12})[0-9a-f]{52}\b/g, '$1…');
}

/** Who ordered what, and what came of it. */
export function Audit(): VNode {
  const { answer: records, problem } = useAsked(() => api.audit(), { about: '', everyMs: LOOK_MS });
  return (
    <>
      <Title document="Audit">Audit</Title>
      <p class="standing">
        Who ordered what, and what came of it, newest first; refused orders as well. <code>beds audit verify</code>{' '}
        finds a record that was changed.
      </p>
      {problem !== undefined && <Missing problem={problem} />}
      {records === undefined && problem === undefined && <Loading />}
      {records?.length === 0 && <Empty>Nothing has been ordered yet.</Empty>}
      {records !== undefined && records.length > 0 && (
        <Table label="Audit" head={['When', 'Who', 'Order', 'About', 'Step', 'What came of it', 'From']}>
          {records.map((record) => (
            <tr key={record.seq}>
              <td>
                <Ago at={new Date(record.at).toISOString()} />
              </td>
              <th scope="row">{record.user_name || record.user_id || 'nobody who is known'}</th>
              <td>{record.op}</td>
              <td class="long">{shorten(record.target)}</td>
              <td>
                <Mark tone={record.outcome === 'ok' ? 'well' : 'trouble'} words="" /> {record.step}
              </td>
              <td class="long">
                <Words text={shorten(record.words)} />{' '}
                {record.outcome !== 'ok' && !record.words.includes(record.outcome) && <code>{record.outcome}</code>}
              </td>
              <td class="long">{record.source}</td>
            </tr>
          ))}
        </Table>
      )}
    </>
  );
}
