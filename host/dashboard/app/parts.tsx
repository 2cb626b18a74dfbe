import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { FindingView, Problem } from '../contract.js';
import { AWAY } from './api.js';
import { STATE_WORDS, shortHash, span, stateTone, type Tone } from './words.js';
import { type State, useNow } from './live.js';
import { go } from './route.js';

const TONE_WORDS: Readonly<Record<Tone, string>> = {
  well: 'well',
  attention: 'needs a look',
  trouble: 'trouble',
  busy: 'under way',
  quiet: '',
};

/** A mark whose shape says as much as its colour. */
export function Mark({ tone, words }: { readonly tone: Tone; readonly words?: string }): VNode {
  return (
    <span class={`mark ${tone}`}>
      <span class="unseen">{words ?? TONE_WORDS[tone]}</span>
    </span>
  );
}

export function StateName({ state }: { readonly state: string }): VNode {
  return (
    <span class={`state ${stateTone(state)}`}>
      <Mark tone={stateTone(state)} words="" /> {STATE_WORDS[state] ?? state}
    </span>
  );
}

export function Hash({ hash }: { readonly hash: string }): VNode | null {
  return hash === '' ? null : <code title={hash}>{shortHash(hash)}</code>;
}

/** A moment, as a distance from now; the exact one when it is pointed at. */
export function Ago({ at }: { readonly at: string }): VNode {
  const ms = useNow() - Date.parse(at);
  return (
    <time dateTime={at} title={new Date(at).toLocaleString()}>
      {ms < 5_000 ? 'now' : `${span(ms)} ago`}
    </time>
  );
}

/** A link of the page itself. */
export function To({ path, children, current }: ToProps): VNode {
  const follow = (event: MouseEvent): void => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(path);
  };
  return (
    <a href={path} onClick={follow} aria-current={current === true ? 'page' : undefined}>
      {children}
    </a>
  );
}

interface ToProps {
  readonly path: string;
  readonly children: ComponentChildren;
  readonly current?: boolean;
}

/** The headline of a page, where the keyboard begins after a change of pages. */
export function Title({
  children,
  document: name,
}: {
  readonly children: ComponentChildren;
  readonly document: string;
}): VNode {
  const ref = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${name} – BEDS`;
    ref.current?.focus({ preventScroll: true });
  }, [name]);
  return (
    <h1 ref={ref} tabIndex={-1}>
      {children}
    </h1>
  );
}

export function sectionId(title: string): string {
  return `s-${title.toLowerCase().replaceAll(/\W+/g, '-')}`;
}

export function Section({ title, note, children }: SectionProps): VNode {
  const id = sectionId(title);
  return (
    <section aria-labelledby={id}>
      <div class="section-head">
        <h2 id={id}>{title}</h2>
        {note !== undefined && <p class="note">{note}</p>}
      </div>
      {children}
    </section>
  );
}

interface SectionProps {
  readonly title: string;
  readonly note?: ComponentChildren;
  readonly children: ComponentChildren;
}

/** A table that the keyboard scrolls sideways, too. On a phone each row is a block, with the head of its column before each value. */
export function Table({ label, head, children }: TableProps): VNode {
  const ref = useRef<HTMLTableElement>(null);
  useLayoutEffect(() => {
    for (const row of ref.current?.tBodies[0]?.rows ?? []) {
      for (const [index, cell] of [...row.cells].entries())
        cell.dataset['label'] = (head[index] ?? '').replace(/^#/, '');
    }
  });
  return (
    <div class="scroll" role="region" aria-label={label} tabIndex={0}>
      <table ref={ref}>
        <thead>
          <tr>
            {head.map((text) => (
              <th key={text} scope="col" class={text.startsWith('#') ? 'number' : undefined}>
                {text.replace(/^#/, '')}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

interface TableProps {
  readonly label: string;
  /** `#` before a name: numbers. */
  readonly head: readonly string[];
  readonly children: ComponentChildren;
}

/** Text of the host, in which commands stand between backticks. */
export function Words({ text }: { readonly text: string }): VNode {
  return <>{text.split('`').map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}</>;
}

export function Findings({ findings }: { readonly findings: readonly FindingView[] | undefined }): VNode | null {
  if (findings === undefined || findings.length === 0) return null;
  return (
    <ul class="findings">
      {findings.map(({ code, message, hint }, index) => (
        <li key={index}>
          <Words text={message} /> <code>{code}</code>
          {hint !== undefined && hint !== '' && (
            <span class="hint">
              <Words text={hint} />
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}

export function ProblemBox({ problem }: { readonly problem: Problem }): VNode {
  return (
    <div class="problem" role="alert">
      <p>
        <strong>
          <Words text={problem.message} />
        </strong>{' '}
        {problem.code !== '' && <code>{problem.code}</code>}
      </p>
      {problem.hint !== undefined && problem.hint !== '' && (
        <p>
          <Words text={problem.hint} />
        </p>
      )}
      <Findings findings={problem.findings} />
    </div>
  );
}

/** A problem; that nobody keeps something is none, but a choice. */
export function Missing({ problem }: { readonly problem: Problem }): VNode | null {
  if (problem === AWAY) return null;
  if (problem.code !== 'BEDS_DASHBOARD_NOTHING_KEPT') return <ProblemBox problem={problem} />;
  return (
    <div class="empty">
      <p>
        <strong>Nothing is kept here.</strong> {problem.message}
      </p>
      {problem.hint !== undefined && <p>{problem.hint}</p>}
    </div>
  );
}

interface ChoiceProps {
  readonly name: string;
  readonly value: string | undefined;
  /** What no choice is called; absent: there is always one. */
  readonly all?: string;
  /** Values, or values with their names. */
  readonly options: readonly (string | readonly [value: string, name: string])[];
  readonly set: (value: string) => void;
}

/** A list of which one is chosen. What is chosen stays there, though it is none of the options any more. */
export function Choice({ name, value = '', all, options, set }: ChoiceProps): VNode {
  const pairs = options.map((option) => (typeof option === 'string' ? ([option, option] as const) : option));
  const isKnown = value === '' || pairs.some(([each]) => each === value);
  return (
    <label>
      {name}
      <select value={value} onChange={(event) => set(event.currentTarget.value)}>
        {all !== undefined && <option value="">{all}</option>}
        {!isKnown && <option value={value}>{value}</option>}
        {pairs.map(([each, words]) => (
          <option key={each} value={each}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}

interface OneOfProps {
  readonly live: State;
  readonly value: string | undefined;
  readonly set: (condition: { readonly domain: string } | { readonly node: string }) => void;
}

/** One of the domains, or all. */
export function DomainChoice({ live, value, set }: OneOfProps): VNode {
  const options = live.domains.map((part) => part.domain);
  return <Choice name="Domain" value={value} all="all" options={options} set={(domain) => set({ domain })} />;
}

/** One of the nodes, or all. */
export function NodeChoice({ live, value, set }: OneOfProps): VNode {
  const options = live.nodes.map((part) => part.node);
  return <Choice name="Node" value={value} all="all" options={options} set={(node) => set({ node })} />;
}

export function Empty({ children }: { readonly children: ComponentChildren }): VNode {
  return <p class="empty">{typeof children === 'string' ? <Words text={children} /> : children}</p>;
}

export function Loading(): VNode {
  return (
    <div class="loading" role="status">
      <p>Asking the nodes …</p>
    </div>
  );
}
