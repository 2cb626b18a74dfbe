import { isBedsError } from '@beds/sdk';
import { z } from 'zod';
import type { CommandInput, CommandName } from '../admin/commands.js';
import { dashboardErrors } from '../errors/dashboard.js';
import { ORDERS, type Order, type OrderOutcome, type Problem } from './contract.js';
import { mayAct, type Person, tokensOf } from './identities.js';
import type { Nodes } from './nodes.js';
import type { Watch } from './watch.js';

const order = z.strictObject({
  id: z.uuid(),
  at: z.int(),
  op: z.enum(ORDERS),
  input: z.record(z.string(), z.unknown()),
  seen: z.record(z.string(), z.string()).exactOptional(),
});

/** An order is given right after it was confirmed. */
const LATE_MS = 60_000;
const REMEMBERED_MS = 300_000;
const MAX_REMEMBERED = 1_000;
const DISCOVER_MS = 3_000;
/** Bundles are large: so many of them are on their way at once. */
const MAX_BUNDLES_UNDER_WAY = 2;

/** Carries out what an operator confirmed on the page: once, soon, and only where he saw what is there. */
export class Orders {
  readonly #nodes: Pick<Nodes, 'command'>;
  readonly #watch: Pick<Watch, 'liveHash' | 'hurry'>;
  readonly #ownerToken: string | undefined;
  /** What came of an order, by who gave it and its id. */
  readonly #done = new Map<string, { readonly atMs: number; readonly outcome: Promise<OrderOutcome> }>();
  #bundlesUnderWay = 0;

  constructor(nodes: Pick<Nodes, 'command'>, watch: Pick<Watch, 'liveHash' | 'hurry'>, ownerToken?: string) {
    this.#ownerToken = ownerToken;
    this.#nodes = nodes;
    this.#watch = watch;
  }

  /** The same order, sent twice, is carried out once, and has one outcome. */
  give(body: unknown, person: Person): Promise<OrderOutcome> {
    const read = order.safeParse(body);
    if (!read.success) throw dashboardErrors.make('BEDS_DASHBOARD_INVALID');
    if (!mayAct(person.me, 'operator')) throw dashboardErrors.make('BEDS_DASHBOARD_FORBIDDEN');
    const key = `${person.me.id} ${read.data.id}`;
    const known = this.#done.get(key);
    if (known !== undefined) return known.outcome;
    this.#forgetOld();
    const outcome = this.#give(read.data, person);
    this.#done.set(key, { atMs: Date.now(), outcome });
    outcome.catch(() => undefined);
    return outcome;
  }

  async #give({ at, op, input, seen = {} }: Order, person: Person): Promise<OrderOutcome> {
    if (Math.abs(Date.now() - at) > LATE_MS) throw dashboardErrors.make('BEDS_DASHBOARD_ORDER_LATE');
    this.#refuseOvertaken(input['domain'], seen);
    const isLarge = 'bundles' in input;
    if (isLarge && this.#bundlesUnderWay >= MAX_BUNDLES_UNDER_WAY) {
      throw dashboardErrors.make('BEDS_DASHBOARD_TOO_MANY', 'Other bundles are on their way.');
    }
    if (isLarge) this.#bundlesUnderWay += 1;
    try {
      // n.b. the node checks every field of what it is sent.
      const asked = input as CommandInput<CommandName>;
      const { token } = tokensOf(person.cookie);
      const session = token === '' ? this.#ownerToken : token;
      const given = await this.#nodes.command(op, asked, { timeoutMs: DISCOVER_MS, session });
      const accepted = given.accepted.map(({ node, receipts }) => ({ node, receipts }));
      const refused = given.refused.map(({ node, error }) => ({ node, problem: error }));
      return { accepted, refused, silent: given.silent };
    } finally {
      if (isLarge) this.#bundlesUnderWay -= 1;
      this.#watch.hurry();
    }
  }

  #refuseOvertaken(domain: unknown, seen: Readonly<Record<string, string>>): void {
    for (const [node, hash] of Object.entries(seen)) {
      const live = typeof domain === 'string' ? this.#watch.liveHash(node, domain) : undefined;
      if (live !== undefined && live !== hash) throw dashboardErrors.make('BEDS_DASHBOARD_ORDER_OVERTAKEN');
    }
  }

  #forgetOld(): void {
    const oldest = Date.now() - REMEMBERED_MS;
    for (const [key, { atMs }] of this.#done) {
      if (atMs < oldest || this.#done.size > MAX_REMEMBERED) this.#done.delete(key);
    }
  }
}

/** What a browser is told of an error. What is no error of ours tells nothing. */
export function problemOf(error: unknown): Problem {
  const known = isBedsError(error) ? error : dashboardErrors.make('BEDS_DASHBOARD_FAULT');
  const { code, message, hint, findings } = known as Problem;
  return {
    ...{ code, message },
    ...(hint === undefined || hint === '' ? {} : { hint }),
    ...(findings === undefined ? {} : { findings }),
  };
}
