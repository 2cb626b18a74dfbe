import type { RequestEnvelope } from '#sdk/template';
import type { Config } from '../config/schema.js';

interface Allowed {
  readonly domains: ReadonlySet<string>;
  readonly operations: ReadonlySet<string>;
}

/** What a program may call, whoever is signed in: RabbitMQ has checked the `user-id` of its messages. */
export class ProgramPolicy {
  /** Whether anything is to be asked: no program is named where all may call everything. */
  readonly isAsked: boolean;
  readonly #byUser: ReadonlyMap<string, Allowed>;
  readonly #host: string;

  /** `url`: of the host's own connection. */
  constructor(callers: Config['callers'], url: string) {
    const entries = Object.entries(callers).map(([user, { domains, operations }]) => {
      return [user, { domains: new Set(domains), operations: new Set(operations) }] as const;
    });
    this.#byUser = new Map(entries);
    this.isAsked = this.#byUser.size > 0;
    this.#host = accountOf(url);
  }

  /** Whether a message comes from a host of BEDS. */
  isHost(userId: unknown): boolean {
    return this.#host !== '' && userId === this.#host;
  }

  /** Other hosts may: whoever asks them was looked at there. */
  mayAsk(userId: unknown, { domain, op }: Pick<RequestEnvelope, 'domain' | 'op'>): boolean {
    if (this.isHost(userId)) return true;
    const allowed = typeof userId === 'string' ? this.#byUser.get(userId) : undefined;
    return allowed !== undefined && has(allowed.domains, domain) && has(allowed.operations, op);
  }
}

function has(names: ReadonlySet<string>, name: string): boolean {
  return names.has(name) || names.has('*');
}

/** The AMQP account of a URL; empty: it is none. */
export function accountOf(url: string): string {
  if (!URL.canParse(url)) return '';
  const { username } = new URL(url);
  return username === '' ? 'guest' : decodeURIComponent(username);
}
