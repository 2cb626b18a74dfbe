/**
 * Where a reply may be sent. A reply address is chosen by the caller, and the host publishes with rights of its own, so an
 * address that could name a request queue would let a caller write where it may not.
 *
 * - a direct reply-to address, as RabbitMQ rewrites it: https://www.rabbitmq.com/docs/direct-reply-to
 * - a queue named by the server (`amq.gen-…`): no request queue has such a name
 * - a durable reply queue, `<prefix>.reply.<name>`
 */
const DIRECT = /^amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/=_.-]{16,200}$/;
const SERVER_NAMED = /^amq\.gen-[A-Za-z0-9_-]{16,64}$/;

export interface ReplyAddress {
  readonly queue: string;
  /**
   * Whether RabbitMQ should give the message back when nobody has that queue. Never for direct reply-to: 3.10 delivers
   * such a reply and returns it as well.
   */
  readonly mandatory: boolean;
}

/** The address as given, or undefined when replies may not be sent there. */
export function parseReplyAddress(replyTo: string, prefix: string): ReplyAddress | undefined {
  if (DIRECT.test(replyTo)) return { queue: replyTo, mandatory: false };
  if (SERVER_NAMED.test(replyTo)) return { queue: replyTo, mandatory: true };
  const own = `${prefix}.reply.`;
  if (replyTo.startsWith(own) && /^[A-Za-z0-9_.-]{1,128}$/.test(replyTo.slice(own.length))) {
    return { queue: replyTo, mandatory: true };
  }
  return undefined;
}

const MAX_KNOWN = 1_000;

/** Reply addresses, each parsed once: a caller sends the same one with every request. */
export class ReplyAddresses {
  readonly #prefix: string;
  readonly #known = new Map<string, ReplyAddress>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** As `parseReplyAddress`. */
  parse(replyTo: string): ReplyAddress | undefined {
    const known = this.#known.get(replyTo);
    if (known !== undefined) return known;
    const address = parseReplyAddress(replyTo, this.#prefix);
    if (address === undefined) return undefined;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(replyTo, address);
    return address;
  }
}
