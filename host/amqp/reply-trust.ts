import type { ReplyAddress } from './reply-address.js';

/** How long an address or a node that cost a connection is not written to: the node may join the cluster later. */
const BANNED_MS = 60_000;
const MAX_NODES = 100;
const MAX_ADDRESSES = 10_000;
const MAX_BANNED = 10_000;

/** What is known of direct reply-to addresses: which ones RabbitMQ has taken a reply for, and which ones it closed the connection over. */
export class ReplyTrust {
  readonly #nodes = new Set<string>();
  readonly #addresses = new Set<string>();
  readonly #bannedUntilMs = new Map<string, number>();

  /** Whether a reply to it costs nobody anything: RabbitMQ has taken one for it, or for an ordinary process of its node. */
  isTrusted({ queue, direct }: ReplyAddress): boolean {
    if (direct === undefined) return true;
    return (direct.isOrdinary && this.#nodes.has(direct.node ?? '')) || this.#addresses.has(queue);
  }

  trust({ queue, direct }: ReplyAddress): void {
    if (direct === undefined) return;
    if (direct.isOrdinary && direct.node !== undefined) this.trustNode(direct.node);
    else addBounded(this.#addresses, queue, MAX_ADDRESSES);
  }

  trustNode(node: string): void {
    this.#bannedUntilMs.delete(node);
    addBounded(this.#nodes, node, MAX_NODES);
  }

  isBanned({ queue, direct }: ReplyAddress, nowMs: number): boolean {
    return [queue, direct?.node ?? ''].some((name) => (this.#bannedUntilMs.get(name) ?? 0) > nowMs);
  }

  /** Also every address of its node, unless one of them was good. */
  ban({ queue, direct }: ReplyAddress, nowMs: number): void {
    if (this.#bannedUntilMs.size >= MAX_BANNED) this.#bannedUntilMs.clear();
    this.#bannedUntilMs.set(queue, nowMs + BANNED_MS);
    const node = direct?.node;
    if (node !== undefined && direct?.isOrdinary === true && !this.#nodes.has(node)) {
      this.#bannedUntilMs.set(node, nowMs + BANNED_MS);
    }
  }
}

function addBounded(set: Set<string>, name: string, most: number): void {
  const [oldest] = set;
  if (set.size >= most && oldest !== undefined && !set.has(name)) set.delete(oldest);
  set.add(name);
}
