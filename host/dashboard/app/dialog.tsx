import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { OrderOutcome, Problem } from '../contract.js';
import { problemOf } from './api.js';
import { Findings, ProblemBox, Words } from './parts.js';

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

/** The browser's own dialog: it keeps the keyboard inside, ends by Escape, and gives the focus back. */
export function Dialog({ title, onClose, children }: DialogProps): VNode {
  const ref = useRef<HTMLDialogElement>(null);
  const close = useRef(onClose);
  close.current = onClose;
  useEffect(() => {
    const dialog = ref.current;
    const closed = (): void => close.current();
    dialog?.addEventListener('close', closed);
    dialog?.showModal();
    return () => {
      // n.b. the event comes later, when another dialog may be open in its place.
      dialog?.removeEventListener('close', closed);
      dialog?.close();
    };
  }, []);
  return (
    <dialog ref={ref} aria-labelledby="dialog-title">
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  );
}

/** An order, before it is given. */
export interface Asked {
  /** A question that names what it is about: `Roll back cities to 1.0.0?` */
  readonly title: string;
  /** What will happen, a sentence each. */
  readonly effects: readonly string[];
  /** On the button: `Roll back cities to 1.0.0`. */
  readonly verb: string;
  /** Harm that nothing undoes by itself: this is typed first. */
  readonly typed?: string;
  readonly give: () => Promise<OrderOutcome | Done>;
}

/** Of an order that no node is given. */
export interface Done {
  readonly words: string;
}

interface ConfirmProps {
  readonly asked: Asked;
  readonly onClose: () => void;
  readonly onGiven: (outcome: OrderOutcome | Done) => void;
}

/** Says what an order will do, names it on its button, and stays open with the reason where it was refused. */
export function Confirm({ asked, onClose, onGiven }: ConfirmProps): VNode {
  const [typed, setTyped] = useState('');
  const { isBusy, problem, outcome, give } = useOrder(asked.give, onGiven);
  return (
    <Dialog title={asked.title} onClose={onClose}>
      <ul class="effects">
        {asked.effects.map((words) => (
          <li key={words}>{words}</li>
        ))}
      </ul>
      {asked.typed !== undefined && (
        <label>
          Type <strong>{asked.typed}</strong> to go on
          <input value={typed} onInput={(event) => setTyped(event.currentTarget.value)} autoComplete="off" />
        </label>
      )}
      {problem !== undefined && <ProblemBox problem={problem} />}
      {outcome !== undefined && <Refusals outcome={outcome} />}
      <div class="buttons">
        <button type="button" onClick={onClose}>
          {outcome === undefined ? 'Leave it as it is' : 'Close'}
        </button>
        {outcome === undefined && (
          <button
            class={asked.typed === undefined ? 'primary' : 'danger'}
            disabled={isBusy || (asked.typed !== undefined && typed !== asked.typed)}
            onClick={give}
          >
            {isBusy ? 'Giving the order …' : asked.verb}
          </button>
        )}
      </div>
    </Dialog>
  );
}

interface OrderState {
  readonly isBusy: boolean;
  readonly problem: Problem | undefined;
  /** Of an order that not every node accepted. */
  readonly outcome: OrderOutcome | undefined;
  readonly give: () => void;
}

export function useOrder<T extends OrderOutcome | Done>(
  give: () => Promise<T>,
  onGiven: (outcome: T) => void,
): OrderState {
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const [outcome, setOutcome] = useState<OrderOutcome>();
  const run = async (): Promise<void> => {
    setBusy(true);
    setProblem(undefined);
    try {
      const answer = await give();
      if ('refused' in answer && answer.refused.length + answer.silent.length > 0) setOutcome(answer);
      else onGiven(answer);
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  };
  return { isBusy, problem, outcome, give: () => void run() };
}

/** Which nodes did what. */
export function Refusals({ outcome }: { readonly outcome: OrderOutcome }): VNode {
  const { accepted, refused, silent } = outcome;
  return (
    <div role="alert">
      {accepted.length > 0 && <p>Accepted by {accepted.map(({ node }) => node).join(', ')}.</p>}
      {refused.map(({ node, problem }) => (
        <div class="problem" key={node}>
          <p>
            <strong>{node} refuses:</strong> <Words text={problem.message} /> <code>{problem.code}</code>
          </p>
          {problem.hint !== undefined && (
            <p>
              <Words text={problem.hint} />
            </p>
          )}
          <Findings findings={problem.findings} />
        </div>
      ))}
      {silent.length > 0 && <p class="problem">No answer came from {silent.join(', ')}: look whether it was done.</p>}
    </div>
  );
}
