import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { DeadLetterDetail, LetterFilter, DeadLetterView, LetterList, Me, Problem } from '../../contract.js';
import { api, problemOf } from '../api.js';
import { type Asked, Dialog } from '../dialog.js';
import { Ago, Empty, Loading, ProblemBox, Section, Table, Title, Words } from '../parts.js';
import { count } from '../words.js';

interface DeadLettersProps {
  readonly me: Me;
  readonly ask: (asked: Asked) => void;
}

type Kind = LetterList['kinds'][number];

const CAUTIONS: Readonly<Record<NonNullable<DeadLetterView['caution']>, string>> = {
  'may-have-run': 'It may have been carried out: read before you send it again.',
  'ended-its-thread': 'It ended the thread that ran it.',
  unreadable: 'It cannot be read, and is refused again as it is.',
};

/** Requests that nobody carried out: why, from whom, and what becomes of them. */
export function DeadLetters({ me, ask }: DeadLettersProps): VNode {
  const [filter, setFilter] = useState<LetterFilter>({});
  const [found, setFound] = useState<LetterList>();
  const [problem, setProblem] = useState<Problem>();
  const [shown, setShown] = useState<DeadLetterView>();
  const look = (): void => {
    api.letters(filter).then(
      (letters) => {
        setFound(letters);
        setProblem(undefined);
      },
      (error: unknown) => setProblem(problemOf(error)),
    );
  };
  useEffect(look, [filter]);
  const mayOrder = me.role === 'operator' || me.role === 'dba';
  const askAndLook = (asked: Asked): void => {
    ask({ ...asked, give: async () => asked.give().finally(look) });
  };
  const orders = { mayOrder, ask: askAndLook };
  return (
    <>
      <Title document="Dead letters">Dead letters</Title>
      <p class="standing">
        Requests that nobody carried out, and whose callers could not be told. They stay until somebody decides.
      </p>
      <div class="actions">
        <button onClick={look}>Look again</button>
        {filter.reason !== undefined && <button onClick={() => setFilter({})}>Show all of them</button>}
      </div>
      {problem !== undefined && <ProblemBox problem={problem} />}
      {found === undefined && problem === undefined && <Loading />}
      {found?.total === 0 && <Empty>There are none.</Empty>}
      {found !== undefined && found.total > 0 && (
        <>
          <Kinds kinds={found.kinds} only={setFilter} {...orders} />
          <List found={found} show={setShown} next={(after) => setFilter({ ...filter, after })} {...orders} />
        </>
      )}
      {shown !== undefined && <Look letter={shown} onClose={() => setShown(undefined)} />}
    </>
  );
}

interface Orders {
  readonly mayOrder: boolean;
  readonly ask: (asked: Asked) => void;
}

function nameOf({ domain, operation }: Pick<DeadLetterView, 'domain' | 'operation'>): string {
  return domain === '' ? 'nobody that is known' : `${domain}.${operation}`;
}

function filterOf({ domain, operation, reason }: Kind): LetterFilter {
  return { ...(domain !== '' && { domain }), ...(operation !== '' && { operation }), reason };
}

/** What an order about letters will do; `what` names them, `about` is what the node is sent. */
function askResend(what: string, about: Readonly<Record<string, unknown>>): Asked {
  return {
    title: `Send ${what} again?`,
    effects: [
      'The requests are published as if they were made now: they have all their time again, and nobody waits for the answers.',
      'What fails again is a dead letter again. What may have been carried out is carried out once more.',
    ],
    verb: `Send ${what} again`,
    give: () => api.order('deadResend', about),
  };
}

function askDrop(what: string, about: Readonly<Record<string, unknown>>): Asked {
  return {
    title: `Drop ${what}?`,
    effects: ['They are gone for good, and nobody carries them out.', 'Those that came since are not among them.'],
    verb: `Drop ${what}`,
    typed: 'drop',
    give: () => api.order('deadDrop', about),
  };
}

function Kinds({
  kinds,
  only,
  mayOrder,
  ask,
}: Orders & { readonly kinds: readonly Kind[]; readonly only: (filter: LetterFilter) => void }): VNode {
  return (
    <Section title="By reason">
      <Table label="By reason" head={['For', 'Reason', '#Letters', '']}>
        {kinds.map((kind) => {
          const what = `${count(kind.count, 'letter')} of ${nameOf(kind)}`;
          const about = { ...filterOf(kind), most: kind.count };
          return (
            <tr key={`${nameOf(kind)} ${kind.reason}`}>
              <th scope="row">{nameOf(kind)}</th>
              <td>
                <code>{kind.reason}</code>
              </td>
              <td class="number">{kind.count.toLocaleString('en')}</td>
              <td class="row-actions">
                <button onClick={() => only(filterOf(kind))}>Show these</button>
                {mayOrder && <button onClick={() => ask(askResend(what, about))}>Send all again …</button>}
                {mayOrder && <button onClick={() => ask(askDrop(what, about))}>Drop all …</button>}
              </td>
            </tr>
          );
        })}
      </Table>
    </Section>
  );
}

interface ListProps extends Orders {
  readonly found: LetterList;
  readonly show: (letter: DeadLetterView) => void;
  readonly next: (after: string) => void;
}

function List({ found, show, next, mayOrder, ask }: ListProps): VNode {
  const { letters, matching, seen, total } = found;
  const last = letters.at(-1);
  const note =
    seen < total
      ? `Only the oldest ${seen.toLocaleString('en')} of ${total.toLocaleString('en')} were looked at.`
      : `${count(matching, 'letter')}, oldest first.`;
  return (
    <Section title="Letters" note={note}>
      <Table label="Letters" head={['For', 'Why', 'From', 'Dead since', '#Sent again', '']}>
        {letters.map((letter) => {
          const about = { ids: [letter.id], most: 1 };
          const what = `the letter ${letter.id} of ${nameOf(letter)}`;
          return (
            <tr key={letter.id}>
              <th scope="row">{nameOf(letter)}</th>
              <td>
                <Words text={letter.message} /> <code>{letter.reason}</code>
                {letter.caution !== undefined && <span class="hint">{CAUTIONS[letter.caution]}</span>}
              </td>
              <td>{letter.from}</td>
              <td>{letter.diedAt !== undefined && <Ago at={letter.diedAt} />}</td>
              <td class="number">{letter.resent === 0 ? '' : letter.resent}</td>
              <td class="row-actions">
                {mayOrder && <button onClick={() => show(letter)}>Look into …</button>}
                {mayOrder && <button onClick={() => ask(askResend(what, about))}>Send again …</button>}
                {mayOrder && <button onClick={() => ask(askDrop(what, about))}>Drop …</button>}
              </td>
            </tr>
          );
        })}
      </Table>
      {last !== undefined && matching > letters.length && <button onClick={() => next(last.id)}>The next ones</button>}
    </Section>
  );
}

/** n.b. an order, and so in the audit: a letter may hold what is personal. */
function Look({ letter, onClose }: { readonly letter: DeadLetterView; readonly onClose: () => void }): VNode {
  const [detail, setDetail] = useState<DeadLetterDetail>();
  const [problem, setProblem] = useState<Problem>();
  useEffect(() => {
    api.order('deadLetter', { id: letter.id }).then(
      ({ accepted, refused }) => {
        setDetail(accepted[0]?.receipts[0]?.letter);
        setProblem(refused[0]?.problem);
      },
      (error: unknown) => setProblem(problemOf(error)),
    );
  }, [letter.id]);
  return (
    <Dialog title={`A letter of ${nameOf(letter)}`} onClose={onClose}>
      <p>
        <Words text={letter.message} /> <code>{letter.reason}</code>
      </p>
      {problem !== undefined && <ProblemBox problem={problem} />}
      {detail === undefined && problem === undefined && <p role="status">Asking for it …</p>}
      {detail !== undefined && (
        <>
          <h3>Request{detail.isCut && ', its beginning'}</h3>
          <pre tabIndex={0}>{detail.body}</pre>
          <h3>Headers and properties</h3>
          <pre tabIndex={0}>{JSON.stringify({ ...detail.headers, ...detail.properties }, undefined, 2)}</pre>
        </>
      )}
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
