import type {
  AuditPart,
  DesignStep,
  DesignView,
  DomainDetails,
  FaultGroup,
  LetterFilter,
  LetterList,
  LogFilter,
  LogLine,
  ObjectsView,
  Order,
  OrderName,
  OrderOutcome,
  Problem,
  Sample,
  Series,
  SeriesAsked,
  SessionPart,
  SignedIn,
  SignInWays,
  UserOrder,
  UserPart,
} from '../contract.js';
import { hearTime, now } from './clock.js';

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

/** n.b. the page says so once, at its head. */
export const AWAY: Problem = {
  code: '',
  message: 'The dashboard does not answer.',
  hint: 'Look whether the host runs, and try again.',
};

async function ask<T>(path: string, body?: unknown): Promise<T> {
  const sent = { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const response = await fetch(path, body === undefined ? {} : sent).catch(() => undefined);
  if (response !== undefined) hearTime(response);
  const answer = (await response?.json().catch(() => undefined)) as { readonly problem?: Problem } | undefined;
  if (response === undefined || answer === undefined) throw new Refused(AWAY, false);
  if (!response.ok) throw new Refused(answer.problem ?? AWAY, response.status === 401);
  return answer as T;
}

export function problemOf(error: unknown): Problem {
  return error instanceof Refused ? error.problem : { code: '', message: String(error) };
}

interface DesignTerms {
  /** `mark` of the design as it is shown. */
  readonly seen?: string;
  readonly text?: string;
  readonly store?: string;
  readonly allowLoss?: boolean;
  readonly acceptDrift?: boolean;
}

interface UserTerms {
  readonly roles?: readonly string[];
  readonly name?: string;
  readonly password?: string;
}

export const api = {
  me: (): Promise<SignedIn> => ask('/api/me'),
  ways: (): Promise<SignInWays> => ask('/api/ways'),
  signIn: (name: string, password: string): Promise<SignedIn> => ask('/api/sign-in', { name, password }),
  signInByKey: (key: string): Promise<SignedIn> => ask('/api/sign-in', { key }),
  signOut: (): Promise<object> => ask('/api/sign-out', {}),
  samples: (): Promise<readonly Sample[]> => ask('/api/samples'),
  details: (domain: string): Promise<DomainDetails> => ask(`/api/domains/${encodeURIComponent(domain)}`),
  letters: (filter: LetterFilter): Promise<LetterList> => ask('/api/dead', filter),
  logs: (filter: LogFilter): Promise<readonly LogLine[]> => ask('/api/kept/logs', filter),
  faults: (filter: { readonly domain?: string; readonly since: number }): Promise<readonly FaultGroup[]> =>
    ask('/api/kept/faults', filter),
  series: (asked: SeriesAsked): Promise<Series> => ask('/api/kept/series', asked),
  objects: (name?: string): Promise<ObjectsView> => ask('/api/kept/objects', name === undefined ? {} : { name }),
  users: async (): Promise<readonly UserPart[]> => {
    const { rows } = await ask<{ readonly rows: readonly UserPart[] }>('/api/kept/users', {});
    return rows;
  },
  sessions: (user: string): Promise<readonly SessionPart[]> => ask('/api/kept/sessions', { user }),
  /** `id`: of a user, or of a session. */
  user: (op: UserOrder, id: string, more: UserTerms = {}): Promise<object> => ask('/api/user', { op, id, ...more }),
  audit: (): Promise<readonly AuditPart[]> => ask('/api/audit'),
  design: (domain: string): Promise<DesignView> => ask(`/api/designs/${encodeURIComponent(domain)}`),
  designStep: (step: DesignStep, domain: string, terms: DesignTerms = {}): Promise<object> =>
    ask('/api/design', { id: crypto.randomUUID(), at: now(), step, domain, ...terms }),
  order: (op: OrderName, input: Order['input'], seen?: Order['seen']): Promise<OrderOutcome> => {
    const order: Order = { id: crypto.randomUUID(), at: now(), op, input, ...(seen && { seen }) };
    return ask('/api/order', order);
  },
};
