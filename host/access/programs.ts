import type { RequestEnvelope } from '#sdk/template';
import type { Config } from '../config/schema.js';

/**
 * Header of a copy that a host has published: the account of the original; empty: RabbitMQ did not say that. n.b. without it what comes
 * from a host counts as what the host asks.
 */
export const IN_NAME_OF = 'beds-in-name-of';

interface Properties {
  readonly userId?: unknown;
  readonly headers?: Readonly<Record<string, unknown>> | undefined;
}

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

  /** The account of whoever published a message: of a copy that a host made, of whoever published the original. */
  accountBehind({ userId, headers }: Properties): unknown {
    const original = this.isHost(userId) ? headers?.[IN_NAME_OF] : undefined;
    if (typeof original !== 'string') return userId;
    return original === '' ? undefined : original;
  }

  /** What a copy says that a host makes of a message, so that it may what the message may. */
  copyInNameOf(properties: Properties): { readonly userId?: string; readonly headers?: Record<string, string> } {
    if (this.#host === '') return {};
    const account = this.accountBehind(properties);
    return { userId: this.#host, headers: { [IN_NAME_OF]: typeof account === 'string' ? account : '' } };
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
