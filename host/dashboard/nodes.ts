import { connectBeds, type BedsClient } from '@beds/sdk/client';
import { AdminClient, type CommandOutcome } from '../admin/client.js';
import type { AuditPage } from '../admin/desk-queries.js';
import type { CommandInput, CommandName } from '../admin/commands.js';
import type { CommandOptions, QueryOptions } from '../admin/nodes.js';
import type { Answer, Refusal } from '../admin/protocol.js';
import type { QueryInput, QueryName, QueryResult } from '../admin/queries.js';
import { makeNames } from '../amqp/names.js';

interface OrderTerms extends CommandOptions {
  /** A token of tercero, or what stands for the owner of the host. Undefined: none. */
  readonly session: string | undefined;
}

interface NodesOptions {
  readonly url: string;
  readonly prefix: string;
  readonly signal: AbortSignal;
}

/** The nodes and the domains, as any other client of RabbitMQ reaches them. Connections are made when they are needed, and again. */
export class Nodes {
  readonly #options: NodesOptions;
  #admin: Promise<AdminClient> | undefined;
  #client: Promise<BedsClient> | undefined;

  constructor(options: NodesOptions) {
    this.#options = options;
  }

  /** What every node answers. */
  async query<N extends QueryName>(
    op: N,
    input: QueryInput<N>,
    options: QueryOptions,
  ): Promise<readonly (Answer<QueryResult<N>> | Refusal)[]> {
    const admin = await this.#open();
    try {
      const answers = await admin.query(op, input, options);
      // n.b. a connection that was lost meanwhile looks like nodes that say nothing.
      if (answers.length === 0) await this.#drop();
      return answers;
    } catch (error) {
      await this.#drop();
      throw error;
    }
  }

  /** An order, in the name of who is signed in. It has a connection of its own: a bundle on its way holds up no question. */
  async command<N extends CommandName>(op: N, input: CommandInput<N>, order: OrderTerms): Promise<CommandOutcome> {
    const { session, ...terms } = order;
    const admin = await AdminClient.open({ ...this.#options, session });
    try {
      return await admin.command(op, input, terms);
    } finally {
      await admin.close();
    }
  }

  /** Records of the audit, the newest of them or those behind one, in the name of who is signed in. */
  async audit(input: { readonly after?: number }, session: string | undefined): Promise<AuditPage> {
    const admin = await AdminClient.open({ ...this.#options, session });
    try {
      return await admin.audit(input);
    } finally {
      await admin.close();
    }
  }

  /** For calls of domains; it comes back by itself once it was there. */
  async client(): Promise<BedsClient> {
    const { url, prefix } = this.#options;
    const exchange = makeNames(prefix).requests;
    this.#client ??= connectBeds({ url, name: 'dashboard', exchange, connectTimeoutMs: 5_000 });
    try {
      return await this.#client;
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    await Promise.all([this.#drop(), client?.close({ drainTimeoutMs: 500 })]);
  }

  async #open(): Promise<AdminClient> {
    this.#admin ??= AdminClient.open(this.#options);
    try {
      return await this.#admin;
    } catch (error) {
      this.#admin = undefined;
      throw error;
    }
  }

  async #drop(): Promise<void> {
    const admin = this.#admin;
    this.#admin = undefined;
    await (await admin?.catch(() => undefined))?.close();
  }
}
