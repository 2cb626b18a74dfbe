import type {
  AuditPart,
  DomainDetails,
  LetterFilter,
  Letters,
  Me,
  Order,
  OrderName,
  OrderOutcome,
  Problem,
  Sample,
  SignInWays,
} from '../contract.js';

/** What the server, or the way to it, refused with. */
export class Refused extends Error {
  readonly problem: Problem;
  /** Nobody is signed in. */
  readonly isSignedOut: boolean;

  constructor(problem: Problem, isSignedOut: boolean) {
    super(problem.message);
    this.problem = problem;
    this.isSignedOut = isSignedOut;
  }
}

const AWAY: Problem = {
  code: '',
  message: 'The dashboard does not answer.',
  hint: 'Look whether the host runs, and try again.',
};

async function ask<T>(path: string, body?: unknown): Promise<T> {
  const sent = { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const response = await fetch(path, body === undefined ? {} : sent).catch(() => undefined);
  const answer = (await response?.json().catch(() => undefined)) as { readonly problem?: Problem } | undefined;
  if (response === undefined || answer === undefined) throw new Refused(AWAY, false);
  if (!response.ok) throw new Refused(answer.problem ?? AWAY, response.status === 401);
  return answer as T;
}

export function problemOf(error: unknown): Problem {
  return error instanceof Refused ? error.problem : { code: '', message: String(error) };
}

interface SignedIn {
  readonly me: Me;
}

export const api = {
  me: (): Promise<SignedIn> => ask('/api/me'),
  ways: (): Promise<SignInWays> => ask('/api/ways'),
  signIn: (name: string, password: string): Promise<SignedIn> => ask('/api/sign-in', { name, password }),
  signInByKey: (key: string): Promise<SignedIn> => ask('/api/sign-in', { key }),
  signOut: (): Promise<object> => ask('/api/sign-out', {}),
  samples: (): Promise<readonly Sample[]> => ask('/api/samples'),
  details: (domain: string): Promise<DomainDetails> => ask(`/api/domains/${encodeURIComponent(domain)}`),
  letters: (filter: LetterFilter): Promise<Letters> => ask('/api/dead', filter),
  audit: (): Promise<readonly AuditPart[]> => ask('/api/audit'),
  order: (op: OrderName, input: Order['input'], seen?: Order['seen']): Promise<OrderOutcome> => {
    const order: Order = { id: crypto.randomUUID(), at: Date.now(), op, input, ...(seen && { seen }) };
    return ask('/api/order', order);
  },
};
