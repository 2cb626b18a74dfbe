import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Problem, SignedIn, SignInWays } from '../../contract.js';
import { api, problemOf } from '../api.js';
import { ProblemBox, Title } from '../parts.js';

interface SignInProps {
  /** The session ended while somebody looked. */
  readonly hasEnded: boolean;
  /** What went wrong with the key that the address carried. */
  readonly problem?: Problem;
  readonly onSignedIn: (signedIn: SignedIn) => void;
}

const LOOK_MS = 2_000;

export function SignIn({ hasEnded, problem: first, onSignedIn }: SignInProps): VNode {
  const [ways, setWays] = useState<SignInWays>();
  const [problem, setProblem] = useState<Problem | undefined>(first);
  const [isBusy, setBusy] = useState(false);
  const isOver = ways?.accounts === true;
  useEffect(() => {
    if (isOver) return;
    const look = (): void => {
      api.ways().then(setWays, (error: unknown) => setProblem(problemOf(error)));
    };
    look();
    // A node that serves accounts may answer in a moment.
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [isOver]);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => {
      const value = form.get(name);
      return typeof value === 'string' ? value : '';
    };
    setBusy(true);
    const asked = form.has('key') ? api.signInByKey(text('key').trim()) : api.signIn(text('name'), text('password'));
    asked.then(onSignedIn, (error: unknown) => setProblem(problemOf(error))).finally(() => setBusy(false));
  };
  return (
    <main class="sign-in" id="main">
      <p class="brand">BEDS</p>
      <Title document="Sign in">Sign in</Title>
      {hasEnded && problem === undefined && <p>Your session has ended.</p>}
      {problem !== undefined && <ProblemBox problem={problem} />}
      {ways?.accounts === true && (
        <form onSubmit={submit}>
          <label>
            Name
            <input name="name" autoComplete="username" required maxLength={100} />
          </label>
          <label>
            Password
            <input name="password" type="password" autoComplete="current-password" required maxLength={200} />
          </label>
          <button class="primary" disabled={isBusy}>
            Sign in
          </button>
        </form>
      )}
      {ways?.accounts === false && (
        <p class="note">
          No accounts are served here now: no node that answers has the domain <code>sessions</code> live.
        </p>
      )}
      {ways?.key === true && <KeyForm submit={submit} isBusy={isBusy} isOpen={!ways.accounts} />}
      {ways?.key === false && !ways.accounts && (
        <p class="note">
          Start a node of the role tercero, and make a first operator with <code>beds users create</code>.
        </p>
      )}
    </main>
  );
}

interface KeyFormProps {
  readonly submit: (event: SubmitEvent) => void;
  readonly isBusy: boolean;
  readonly isOpen: boolean;
}

function KeyForm({ submit, isBusy, isOpen }: KeyFormProps): VNode {
  return (
    <details open={isOpen}>
      <summary>With the key of this host</summary>
      <p class="note">
        Whoever may read the files of the host has it: <code>beds dashboard</code> prints an address that carries it.
      </p>
      <form onSubmit={submit}>
        <label>
          Key
          <input name="key" type="password" autoComplete="off" required maxLength={100} />
        </label>
        <button disabled={isBusy}>Sign in with the key</button>
      </form>
    </details>
  );
}
