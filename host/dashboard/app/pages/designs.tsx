import type { ComponentChildren, VNode } from 'preact';
import { useRef, useState } from 'preact/hooks';
import type { DesignPart, DesignPlan, DesignStage, DesignStep, DesignsPart, DesignView, Me } from '../../contract.js';
import { api } from '../api.js';
import { useAsked } from '../asked.js';
import { type Asked, Dialog } from '../dialog.js';
import type { State } from '../live.js';
import { Ago, Choice, Empty, Findings, Loading, Mark, ProblemBox, Section, Table, Title, To } from '../parts.js';
import { count, type Tone } from '../words.js';
import { Buttons, textOf, useSent } from './users.js';

const STAGES: Readonly<Record<DesignStage, readonly [Tone, string]>> = {
  begun: ['attention', 'described, and not made yet'],
  waiting: ['attention', 'waits for an answer'],
  review: ['busy', 'to be read and agreed to'],
  refused: ['trouble', 'not made: see why'],
  proved: ['well', 'proved'],
};
const DATABASE: Readonly<Record<string, string>> = {
  new: 'nothing of it is in the database yet',
  current: 'in the database',
  change: 'a change of the database is planned',
  unfinished: 'a change of the database was stopped',
  expanded: 'two versions work in the database',
  refused: 'the database cannot be changed so',
};
const STEPS: Readonly<Record<DesignStep, string>> = {
  begin: 'The specification is made',
  answer: 'The answer is read',
  change: 'The change is made',
  'go-on': 'It goes on',
  prove: 'Files are made and tried on a database',
  plan: 'The database is compared',
  apply: 'The database is changed',
  contract: 'What only the version before needs is taken away',
  undo: 'The change of the database is taken back',
  stop: 'It is stopped',
  'drop-change': 'The change is dropped',
  'set-aside': 'It is set aside',
};

function mayWork({ role }: Me): boolean {
  return role === 'operator' || role === 'dba';
}

function stateOf({ stage, planned, interrupted, hasFailed, working }: DesignPart): readonly [Tone, string] {
  if (working !== undefined) return ['busy', `${STEPS[working.step]} …`];
  if (interrupted !== undefined) return ['attention', 'was interrupted'];
  if (hasFailed) return ['trouble', 'the last step came to nothing'];
  const [tone, words] = STAGES[stage];
  return stage === 'proved' && planned !== undefined
    ? [planned === 'refused' ? 'trouble' : 'well', `proved; ${DATABASE[planned] ?? ''}`]
    : [tone, words];
}

interface DesignsProps {
  readonly live: State;
  readonly me: Me;
  readonly onDone: (words: string) => void;
}

/** What is designed here, and how far each is. */
export function Designs({ live: { about, designs }, me, onDone }: DesignsProps): VNode {
  const [isBeginning, setBeginning] = useState(false);
  if (about === undefined) return <Loading />;
  if (about.state !== 'on') return <Off state={about.state} />;
  return (
    <>
      <Title document="Designs">Designs</Title>
      <p class="standing">
        Describe a domain in plain words, read what it would be, have it proved, and let a dba apply it. The same by the
        command line: <code>beds design</code>.
      </p>
      {mayWork(me) && (
        <div class="actions">
          <button onClick={() => setBeginning(true)}>New design …</button>
        </div>
      )}
      {designs.length === 0 && <Empty>There are none yet.</Empty>}
      {designs.length > 0 && (
        <Table label="Designs" head={['Domain', 'State', 'Who', 'Since']}>
          {designs.map((part) => {
            const [tone, words] = stateOf(part);
            return (
              <tr key={part.domain}>
                <th scope="row">
                  <To path={`/designs/${part.domain}`}>{part.domain}</To>
                </th>
                <td>
                  <Mark tone={tone} words="" /> {words}
                </td>
                <td>{part.working?.by}</td>
                <td>{part.working !== undefined && <Ago at={new Date(part.working.since).toISOString()} />}</td>
              </tr>
            );
          })}
        </Table>
      )}
      {isBeginning && (
        <NewDesign
          about={about}
          onClose={() => setBeginning(false)}
          onDone={(words) => {
            setBeginning(false);
            onDone(words);
          }}
        />
      )}
    </>
  );
}

function Off({ state }: { readonly state: DesignsPart['state'] }): VNode {
  return (
    <>
      <Title document="Designs">Designs</Title>
      <Empty>
        {state === 'off'
          ? 'Nobody may design domains here yet: set `dashboard.designs` to a folder of this project, such as "designs", and start the host again.'
          : 'This host is no admin node, which asks who orders and writes it down: run the dashboard on a node with the role admin, with `dashboard.designs` set.'}
      </Empty>
      <p>
        On the command line it is <code>beds design</code>, <code>beds prove</code> and <code>beds db plan</code>.
      </p>
    </>
  );
}

function modelWords({ provider }: DesignsPart): string {
  return provider === 'files'
    ? 'No model is configured: you are given a prompt, for any chat program, and paste its answer.'
    : `The model of the configuration (${provider}) is asked, within its bounds of time, tokens and cost. The brief leaves this machine.`;
}

interface NewDesignProps {
  readonly about: DesignsPart;
  readonly onClose: () => void;
  readonly onDone: (words: string) => void;
}

function NewDesign({ about, onClose, onDone }: NewDesignProps): VNode {
  const { problem, isBusy, send } = useSent(onDone);
  const begin = async (form: FormData): Promise<string> => {
    const domain = textOf(form, 'domain');
    await api.designStep('begin', domain, { text: textOf(form, 'brief'), store: textOf(form, 'store') });
    return `The design of ${domain} has begun.`;
  };
  return (
    <Dialog title="New design" onClose={onClose}>
      <form onSubmit={(event) => send(event, begin)}>
        <label>
          Name of the domain, in small letters
          <input name="domain" required pattern="[a-z][a-z0-9\-]*" maxLength={30} autoComplete="off" />
        </label>
        <label>
          Store
          <select name="store">
            {about.stores.map(({ name, kind }) => (
              <option key={name} value={name}>
                {name} ({kind})
              </option>
            ))}
          </select>
        </label>
        <label>
          What it is to keep and to do, in plain words
          <textarea name="brief" required rows={10} maxLength={20_000} />
        </label>
        <p class="note">{modelWords(about)}</p>
        {problem !== undefined && <ProblemBox problem={problem} />}
        <Buttons verb="Begin the design" {...{ isBusy, onClose }} />
      </form>
    </Dialog>
  );
}

interface DesignPageProps {
  readonly name: string;
  readonly live: State;
  readonly me: Me;
  readonly ask: (asked: Asked) => void;
  readonly onDone: (words: string) => void;
}

/** One design: what it would be, and what may be done with it next. */
export function DesignPage({ name, live, me, ask, onDone }: DesignPageProps): VNode {
  const part = live.designs.find(({ domain }) => domain === name);
  const { answer: view, problem } = useAsked(() => api.design(name), { about: part?.mark ?? '' });
  if (part === undefined && live.about !== undefined) return <Gone name={name} about={live.about} />;
  if (part === undefined) return <Loading />;
  const [tone, words] = stateOf(part);
  const isNow = view?.mark === part.mark;
  return (
    <>
      <Title document={name}>Design of {name}</Title>
      <p class="standing">
        <Mark tone={tone} words="" /> {words}
      </p>
      {part.working !== undefined && <Progress {...{ part, me, ask }} working={part.working} />}
      {problem !== undefined && <ProblemBox problem={problem} />}
      {view === undefined && problem === undefined && <Loading />}
      {view !== undefined && (
        <>
          {part.working === undefined && isNow && <Next {...{ view, me, ask, onDone }} about={live.about} />}
          <Review view={view} />
          <Proved view={view} />
          <Planned plan={view.plan} />
          <Section title="Asked for">
            <pre tabIndex={0}>{view.brief}</pre>
            {view.change !== undefined && (
              <>
                <h3>And to be different</h3>
                <pre tabIndex={0}>{view.change}</pre>
              </>
            )}
          </Section>
        </>
      )}
    </>
  );
}

function Gone({ name, about }: { readonly name: string; readonly about: DesignsPart }): VNode {
  if (about.state !== 'on') return <Off state={about.state} />;
  return (
    <>
      <Title document={name}>There is no design of {name}</Title>
      <p>
        <To path="/designs">All designs</To>
      </p>
    </>
  );
}

interface ProgressProps {
  readonly part: DesignPart;
  readonly working: NonNullable<DesignPart['working']>;
  readonly me: Me;
  readonly ask: (asked: Asked) => void;
}

function Progress({ part: { domain }, working: { step, by, since, lines }, me, ask }: ProgressProps): VNode {
  const isOfDba = step === 'apply' || step === 'contract' || step === 'undo';
  return (
    <div class="trial">
      <p>
        {STEPS[step]}, for {by}, since <Ago at={new Date(since).toISOString()} />. It goes on when this page is closed.
      </p>
      <div role="log" aria-label="Progress">
        <pre tabIndex={0}>{lines.length === 0 ? '…' : lines.join('\n')}</pre>
      </div>
      {(isOfDba ? me.role === 'dba' : mayWork(me)) && (
        <div class="actions">
          <button
            onClick={() =>
              ask({
                title: `Stop the work on ${domain}?`,
                effects: ['What was done stays. The same order goes on from there.'],
                verb: `Stop the work on ${domain}`,
                give: order('stop', domain),
              })
            }
          >
            Stop …
          </button>
        </div>
      )}
    </div>
  );
}

function order(step: DesignStep, domain: string, terms: Parameters<typeof api.designStep>[2] = {}): Asked['give'] {
  return async () => {
    await api.designStep(step, domain, terms);
    return { words: `The order for ${domain} is taken.` };
  };
}

interface NextProps {
  readonly view: DesignView;
  readonly me: Me;
  readonly ask: (asked: Asked) => void;
  readonly onDone: (words: string) => void;
  readonly about: DesignsPart | undefined;
}

type AskedStep = Pick<Asked, 'title' | 'effects' | 'verb' | 'typed'>;

/** What may be done now. */
function Next({ view, me, ask, onDone, about }: NextProps): VNode {
  const { domain, stage, mark: seen, plan } = view;
  const [isChanging, setChanging] = useState(false);
  const askStep: AskStep = (step, asked, terms = {}) =>
    ask({ ...asked, give: order(step, domain, { seen, ...terms }) });
  return (
    <Section title="Next">
      <Standing view={view} me={me} />
      {stage === 'waiting' && mayWork(me) && view.prompt !== undefined && <Answering {...{ view, onDone }} />}
      {mayWork(me) && (
        <div class="actions">
          {stepsOf(view, about).map(({ step, label, isFirst = false, ...asked }) => (
            <button key={step} class={isFirst ? 'primary' : ''} onClick={() => askStep(step, asked)}>
              {label}
            </button>
          ))}
          {isMade(view) && <button onClick={() => setChanging(true)}>Ask for a change …</button>}
          {plan !== undefined && me.role === 'dba' && !view.isChanged && <DbaButtons {...{ plan, domain, askStep }} />}
        </div>
      )}
      {isChanging && (
        <Change
          view={view}
          about={about}
          onClose={() => setChanging(false)}
          onDone={(words) => {
            setChanging(false);
            onDone(words);
          }}
        />
      )}
    </Section>
  );
}

/** Why it is where it is, and who goes on. */
function Standing({ view, me }: Pick<NextProps, 'view' | 'me'>): VNode {
  const { interrupted, failure, why, problems, plan } = view;
  return (
    <>
      {failure !== undefined && <ProblemBox problem={failure} />}
      {interrupted !== undefined && (
        <p class="problem">
          The host ended while this went on: {STEPS[interrupted].toLowerCase()}. Give the order again, and it goes on
          from there.
        </p>
      )}
      {why !== undefined && <p class="problem">Stopped: {why}. Set it aside and describe it in other words.</p>}
      <Findings findings={problems.map(({ path, message }) => ({ code: path, message }))} />
      {view.isChanged && <p class="problem">Files were changed by hand since they were proved: prove them again.</p>}
      {!mayWork(me) && <p>An operator goes on with it.</p>}
      {plan !== undefined && plan.state !== 'current' && me.role !== 'dba' && (
        <p>Somebody with the role dba applies it.</p>
      )}
    </>
  );
}

/** There is a document that was agreed to, or may be. */
function isMade({ document, stage }: DesignView): boolean {
  return document !== '' && stage !== 'begun' && stage !== 'waiting';
}

interface OfferedStep extends AskedStep {
  readonly step: DesignStep;
  readonly label: string;
  readonly isFirst?: boolean;
}

/** What an operator may order. */
function stepsOf(view: DesignView, about: DesignsPart | undefined): readonly OfferedStep[] {
  const { domain, stage, store, interrupted, failure, mayDrop, isApplied } = view;
  const goOn: OfferedStep = {
    ...{ step: 'go-on', label: 'Go on …', title: `Go on with ${domain}?`, verb: `Go on with ${domain}` },
    effects: ['It goes on where it stopped.', ...(about === undefined ? [] : [modelWords(about)])],
  };
  const plan: OfferedStep = {
    ...{ step: 'plan', label: 'Plan the database …', title: `Plan the database of ${domain}?`, verb: `Plan ${domain}` },
    effects: [`The database of the store ${store} is read and compared. Nothing is changed.`],
  };
  const drop: OfferedStep = {
    ...{ step: 'drop-change', label: 'Drop the change …', title: `Drop the change of ${domain}?` },
    effects: ['The design is again what it was. What was asked and answered is moved away, not deleted.'],
    verb: `Drop the change of ${domain}`,
  };
  const setAside: OfferedStep = {
    ...{ step: 'set-aside', label: 'Set aside …', title: `Set the design of ${domain} aside?` },
    effects: ['Its files are moved to .beds/design/_set-aside. Nothing is deleted.'],
    verb: `Set ${domain} aside`,
  };
  const isUnmade = stage === 'begun' || stage === 'waiting';
  return [
    ...(isUnmade && (interrupted !== undefined || failure !== undefined) ? [goOn] : []),
    ...(isMade(view) && stage !== 'refused' ? [proveStep(domain, stage)] : []),
    ...(stage === 'proved' ? [plan] : []),
    ...(mayDrop ? [drop] : []),
    ...(isApplied ? [] : [setAside]),
  ];
}

function proveStep(domain: string, stage: DesignStage): OfferedStep {
  return {
    step: 'prove',
    ...{ label: stage === 'review' ? 'Take it and prove it …' : 'Prove it again …', isFirst: stage === 'review' },
    title: `Take ${domain} as it is, and prove it?`,
    effects: [
      'Its files are made: tables, views, procedures, grants, template and tests.',
      'They are tried in a schema that exists for that alone, and is dropped at the end.',
      'What fails goes back to the model once.',
    ],
    verb: `Prove ${domain}`,
  };
}

type AskStep = (
  step: DesignStep,
  asked: AskedStep,
  terms?: { readonly allowLoss?: boolean; readonly acceptDrift?: boolean },
) => void;

interface DbaProps {
  readonly plan: DesignPlan;
  readonly domain: string;
  readonly askStep: AskStep;
}

/** Each says what it does to which database; what loses something, or may be in use, is typed first. */
function DbaButtons({ plan, domain, askStep }: DbaProps): VNode {
  const { state, store, expand, contract, losses, drift } = plan;
  const words = (steps: DesignPlan['expand']): readonly string[] =>
    steps.map((step) => `${step.words} (${step.lock}).`);
  const drifted = drift.map((line) => `Changed by hand, and left so: ${line}.`);
  const lost = losses.map((each) => `Lost in the end: ${String(each.rows)} ${each.words}.`);
  const terms = {
    ...(drift.length === 0 ? {} : { acceptDrift: true }),
    ...(losses.length === 0 ? {} : { allowLoss: true }),
  };
  return (
    <>
      {(state === 'new' || state === 'change' || state === 'unfinished') && (
        <button
          class="primary"
          onClick={() =>
            askStep(
              'apply',
              {
                title: `Apply ${domain} to the database of the store ${store}?`,
                effects: [
                  ...words(expand),
                  ...(state === 'change'
                    ? ['The version before works on. Undo takes it back, until the contract.']
                    : []),
                  ...lost,
                  ...drifted,
                ],
                verb: `Apply ${domain} to ${store}`,
                typed: domain,
              },
              terms,
            )
          }
        >
          Apply …
        </button>
      )}
      {(state === 'expanded' || state === 'unfinished') && (
        <>
          <button
            onClick={() =>
              askStep(
                'contract',
                {
                  title: `Take away what only the version before of ${domain} needs?`,
                  effects: [...words(contract), ...lost, 'It is refused where a host still uses it.', ...drifted],
                  verb: `Contract ${domain} in ${store}`,
                  typed: domain,
                },
                terms,
              )
            }
          >
            Contract …
          </button>
          <button
            onClick={() =>
              askStep(
                'undo',
                {
                  title: `Take the last change of ${domain} back?`,
                  effects: ['The database is again as the version before needs it.', ...drifted],
                  verb: `Undo ${domain} in ${store}`,
                  typed: domain,
                },
                terms,
              )
            }
          >
            Undo …
          </button>
        </>
      )}
    </>
  );
}

/** A person, with any chat program, in place of a model. */
function Answering({ view, onDone }: { readonly view: DesignView; readonly onDone: (words: string) => void }): VNode {
  const { problem, isBusy, send } = useSent(onDone);
  const prompt = useRef<HTMLTextAreaElement>(null);
  const give = async (form: FormData): Promise<string> => {
    await api.designStep('answer', view.domain, { seen: view.mark, text: textOf(form, 'answer') });
    return `The answer for ${view.domain} is taken.`;
  };
  return (
    <form onSubmit={(event) => send(event, give)}>
      <label>
        Give this prompt to a model
        <textarea ref={prompt} readOnly rows={6} value={view.prompt} />
      </label>
      <div class="actions">
        <button
          type="button"
          onClick={() => {
            prompt.current?.select();
            void navigator.clipboard.writeText(view.prompt ?? '').catch(() => undefined);
          }}
        >
          Copy the prompt
        </button>
      </div>
      <label>
        and paste its answer here
        <textarea name="answer" required rows={8} maxLength={400_000} spellcheck={false} />
      </label>
      {problem !== undefined && <ProblemBox problem={problem} />}
      <div class="actions">
        <button class="primary" disabled={isBusy}>
          Read the answer
        </button>
      </div>
    </form>
  );
}

interface ChangeProps {
  readonly view: DesignView;
  readonly about: DesignsPart | undefined;
  readonly onClose: () => void;
  readonly onDone: (words: string) => void;
}

/** What is to be different, and answers to what the specification asks. */
function Change({ view, about, onClose, onDone }: ChangeProps): VNode {
  const { problem, isBusy, send } = useSent(onDone);
  const { questions } = documentOf(view.document);
  const change = async (form: FormData): Promise<string> => {
    const answers = questions.flatMap((question, index) => {
      const answer = textOf(form, `answer-${String(index)}`).trim();
      return answer === '' ? [] : [`To the question "${question}": ${answer}`];
    });
    const text = [...answers, textOf(form, 'change').trim()].filter((each) => each !== '').join('\n');
    await api.designStep('change', view.domain, { seen: view.mark, text });
    return `The change of ${view.domain} has begun.`;
  };
  return (
    <Dialog title={`Ask for a change of ${view.domain}`} onClose={onClose}>
      <form onSubmit={(event) => send(event, change)}>
        {questions.map((question, index) => (
          <label key={index}>
            {question}
            <input name={`answer-${String(index)}`} maxLength={1_000} autoComplete="off" />
          </label>
        ))}
        <label>
          What is to be different
          <textarea name="change" rows={6} maxLength={15_000} />
        </label>
        {about !== undefined && <p class="note">{modelWords(about)}</p>}
        {problem !== undefined && <ProblemBox problem={problem} />}
        <Buttons verb={`Ask for the change of ${view.domain}`} {...{ isBusy, onClose }} />
      </form>
    </Dialog>
  );
}

/** n.b. a person may have edited it: whatever it is, it is shown. */
function documentOf(text: string): { readonly questions: readonly string[]; readonly relations: readonly Relation[] } {
  try {
    const document = JSON.parse(text) as {
      readonly questions?: readonly unknown[];
      readonly records?: readonly RecordOfDocument[];
    };
    const questions = (document.questions ?? []).filter((each): each is string => typeof each === 'string');
    return { questions, relations: (document.records ?? []).flatMap(relationsOf) };
  } catch {
    return { questions: [], relations: [] };
  }
}

interface RecordOfDocument {
  readonly name?: unknown;
  readonly part_of?: unknown;
  readonly fields?: readonly { readonly name?: unknown; readonly references?: unknown; readonly optional?: unknown }[];
}

interface Relation {
  readonly from: string;
  readonly words: string;
  readonly to: string;
}

function relationsOf({ name, part_of: parent, fields = [] }: RecordOfDocument): readonly Relation[] {
  const from = String(name);
  return [
    ...(typeof parent === 'string' ? [{ from, words: 'is part of one', to: parent }] : []),
    ...fields.flatMap(({ name: field, references, optional }) =>
      typeof references === 'string'
        ? [{ from, words: `names ${optional === true ? 'at most one' : 'one'} by ${String(field)}`, to: references }]
        : [],
    ),
  ];
}

/** Plain words and generated files, side by side where there is room. */
function Review({ view: { words, files, document, stage } }: { readonly view: DesignView }): VNode | null {
  const sql = files.filter(({ name }) => name.startsWith('db/'));
  const [chosen, choose] = useState('');
  if (words === '') return null;
  const { relations } = documentOf(document);
  const all = sql.length === 0 ? [] : [['', `all of db/, ${count(sql.length, 'file')}`] as const];
  const shown = files.find(({ name }) => name === chosen);
  const text = shown?.text ?? sql.map(({ name, text: each }) => `-- ${name}\n${each}`).join('\n');
  return (
    <div class="side-by-side">
      <Section title="In plain words">
        <div class="document" role="region" aria-label="In plain words" tabIndex={0}>
          <Document text={words} />
          {relations.length > 0 && (
            <>
              <h3>How records belong together</h3>
              <ul>
                {relations.map(({ from, words: are, to }) => (
                  <li key={`${from} ${are}`}>
                    each <strong>{from}</strong> {are} <strong>{to}</strong>
                  </li>
                ))}
              </ul>
            </>
          )}
        </div>
      </Section>
      <Section
        title="Generated files"
        note={stage === 'review' ? 'As they would be: they are made when it is taken.' : undefined}
      >
        {files.length === 0 ? (
          <Empty>There are none.</Empty>
        ) : (
          <>
            <Choice
              name="File"
              value={chosen}
              options={[...all, ...files.map(({ name }) => [name, name] as const)]}
              set={choose}
            />
            <pre class="code" tabIndex={0} aria-label="Text of the file">
              {text}
            </pre>
          </>
        )}
      </Section>
    </div>
  );
}

/** Lines of Markdown as `beds spec explain` writes them. n.b. every text stays a text. */
function Document({ text }: { readonly text: string }): VNode {
  const blocks: VNode[] = [];
  let rows: string[] = [];
  let items: string[] = [];
  const flush = (): void => {
    if (rows.length > 0) blocks.push(<DocumentTable key={blocks.length} rows={rows} />);
    if (items.length > 0) blocks.push(<ul key={blocks.length}>{items.map((item, at) => itemOf(item, at))}</ul>);
    rows = [];
    items = [];
  };
  for (const line of text.split('\n')) {
    const [, level, title = ''] = /^(#{1,3}) (.*)$/.exec(line) ?? [];
    if (line.startsWith('|')) rows.push(line);
    else if (/^\s*(?:-|\d+\.) /.test(line)) items.push(line);
    else {
      flush();
      if (level === '#') continue;
      if (level !== undefined) blocks.push(<h3 key={blocks.length}>{plain(title)}</h3>);
      else if (line.trim() !== '') blocks.push(<p key={blocks.length}>{plain(line)}</p>);
    }
  }
  flush();
  return <>{blocks}</>;
}

function itemOf(line: string, key: number): VNode {
  const depth = Math.floor((/^ */.exec(line)?.[0].length ?? 0) / 3);
  return (
    <li key={key} class={`depth-${String(Math.min(depth, 3))}`}>
      {plain(line.trim().replace(/^- /, ''))}
    </li>
  );
}

function DocumentTable({ rows }: { readonly rows: readonly string[] }): VNode {
  const cells = (row: string): readonly string[] =>
    row
      .replace(/^\|\s*|\s*\|$/g, '')
      .split(/(?<!\\)\|/)
      .map((cell) => plain(cell.trim()));
  const [head = '', , ...body] = rows;
  return (
    <table>
      <thead>
        <tr>
          {cells(head).map((cell, at) => (
            <th key={at} scope="col">
              {cell}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {body.map((row, at) => (
          <tr key={at}>
            {cells(row).map((cell, index) => (
              <td key={index}>{cell}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Without what keeps Markdown from taking a text for more. */
function plain(text: string): string {
  return text.replaceAll(/\\([<#>|~`+*=\-(\d])/g, '$1');
}

function Proved({ view: { proof } }: { readonly view: DesignView }): VNode | null {
  if (proof === undefined) return null;
  const { ok, server, steps, notices } = proof;
  return (
    <Section title="Proof" note={`${ok ? 'It holds' : 'It does not hold'} on ${server}.`}>
      <Table label="Proof" head={['Tried', '#Cases', 'What did not hold']}>
        {steps.map(({ name, tried, failures }) => (
          <tr key={name}>
            <th scope="row">
              <Mark tone={failures.length === 0 ? 'well' : 'trouble'} /> {name}
            </th>
            <td class="number">{tried}</td>
            <td>{failures.slice(0, 8).join('; ') || 'nothing'}</td>
          </tr>
        ))}
      </Table>
      {notices.length > 0 && <Lines title="Noticed" lines={notices} />}
    </Section>
  );
}

function Planned({ plan }: { readonly plan: DesignPlan | undefined }): VNode | null {
  if (plan === undefined) return null;
  const { state, store, from, to, expand, contract, losses, blocks, refused, drift, notices, users } = plan;
  const counted = (rows: DesignPlan['losses']): readonly string[] =>
    rows.map((each) => `${String(each.rows)} ${each.words}`);
  const revision = from === undefined ? `revision ${String(to)}` : `revision ${String(from)} to ${String(to)}`;
  return (
    <Section title="Plan of the database" note={`Store ${store}, ${revision}: ${DATABASE[state] ?? state}.`}>
      <Lines title="Refused" lines={refused} />
      <Lines title="Changed by hand, and not by BEDS" lines={drift} />
      <Steps title="Expand, while the version before works on" steps={expand} />
      <Steps title="Contract, when nobody uses the version before" steps={contract} />
      <Lines title="What is lost by the contract" lines={counted(losses)} />
      <Lines title="Must be put right before the contract" lines={counted(blocks)} />
      <Lines title="Meanwhile" lines={notices} />
      {users !== undefined && (
        <Lines
          title="In use by"
          lines={users.map(
            (each) => `${each.domain} ${each.version} on ${each.node}: ${count(each.objects.length, 'object')}`,
          )}
        />
      )}
    </Section>
  );
}

function Steps({ title, steps }: { readonly title: string; readonly steps: DesignPlan['expand'] }): VNode | null {
  if (steps.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <Table label={title} head={['Step', 'Holds up']}>
        {steps.map(({ words, lock, sql }, index) => (
          <tr key={index}>
            <td>
              {words}
              {sql.length > 0 && (
                <details>
                  <summary>SQL</summary>
                  <pre tabIndex={0}>{sql.join(';\n')}</pre>
                </details>
              )}
            </td>
            <td>{lock}</td>
          </tr>
        ))}
      </Table>
    </>
  );
}

function Lines({
  title,
  lines,
}: {
  readonly title: string;
  readonly lines: readonly ComponentChildren[];
}): VNode | null {
  if (lines.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul>
        {lines.map((line, index) => (
          <li key={index}>{line}</li>
        ))}
      </ul>
    </>
  );
}
