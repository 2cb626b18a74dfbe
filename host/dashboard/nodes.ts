import { randomUUID } from 'node:crypto';
import type { Json, JsonObject } from '@beds/sdk';
import { connectBeds, type BedsClient } from '@beds/sdk/client';
import { BedsError } from '#sdk/template';
import { AdminClient, type CommandOutcome } from '../admin/client.js';
import type { AuditPage, FleetView } from '../admin/desk-queries.js';
import type { CommandInput, CommandName } from '../admin/commands.js';
import type { CommandOptions, QueryOptions } from '../admin/nodes.js';
import type { Answer, Refusal } from '../admin/protocol.js';
import type { QueryInput, QueryName, QueryResult } from '../admin/queries.js';
import { makeNames } from '../amqp/names.js';

interface OrderTerms extends CommandOptions {
  /** A token of tercero, or what stands for the owner of the host. Undefined: none. */
  readonly session: string | undefined;
}

interface DomainCall {
  readonly domain: string;
  readonly op: string;
  readonly input: JsonObject;
  /** Undefined: in the name of the host. */
  readonly session: string | undefined;
  readonly deadlineMs: number;
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
  /** It is asked again and again. */
  #desk: { readonly session: string; readonly admin: Promise<AdminClient> } | undefined;
  #client: Promise<BedsClient> | undefined;
  #hostClient: Promise<BedsClient> | undefined;

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

  /** What all nodes shall run, and where that is not so. Throws what `AdminClient.fleet` throws. */
  async fleet(session: string): Promise<FleetView> {
    if (this.#desk?.session !== session) await this.#dropDesk();
    this.#desk ??= { session, admin: AdminClient.open({ ...this.#options, session }) };
    try {
      return await (await this.#desk.admin).fleet();
    } catch (error) {
      await this.#dropDesk();
      throw error;
    }
  }

  /** An operation of a domain. Rejects with what it answers. */
  async call({ domain, op, input, session, deadlineMs }: DomainCall): Promise<Json> {
    if (session !== undefined) {
      const client = await this.client();
      if (op === 'fetch') return { ...(await client.domain(domain).fetch(input, { session, deadlineMs })) } as Json;
      return client.domain(domain).call(op, input, { session, deadlineMs });
    }
    // n.b. whoever has the key of the host can read its configuration, and so do this as well.
    const client = await this.#ofHost();
    const meta = { asDomain: 'dashboard', deadlineMs };
    const body = op === 'fetch' ? { query: input } : { payload: input };
    const reply = await client.request({ v: 1, id: randomUUID(), domain, op, meta, ...body });
    if (reply.ok) return op === 'fetch' ? { rows: reply.data, ...reply.page } : reply.data;
    const { code, message, status = 'fault', hint = '', retryable } = reply.error;
    throw new BedsError(code, { message, status, action: hint }, { retryable });
  }

  /** For calls of domains; it comes back by itself once it was there. */
  async client(): Promise<BedsClient> {
    this.#client ??= this.#connect();
    try {
      return await this.#client;
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }

  async #ofHost(): Promise<BedsClient> {
    const account = decodeURIComponent(new URL(this.#options.url).username);
    this.#hostClient ??= this.#connect(account === '' ? 'guest' : account);
    try {
      return await this.#hostClient;
    } catch (error) {
      this.#hostClient = undefined;
      throw error;
    }
  }

  #connect(userId?: string): Promise<BedsClient> {
    const { url, prefix } = this.#options;
    const who = { name: 'dashboard', ...(userId === undefined ? {} : { userId }) };
    return connectBeds({ url, ...who, exchange: makeNames(prefix).requests, connectTimeoutMs: 5_000 });
  }

  async close(): Promise<void> {
    const end = async (client: Promise<BedsClient> | undefined): Promise<void> =>
      (await client?.catch(() => undefined))?.close({ drainTimeoutMs: 500 });
    await Promise.all([this.#drop(), this.#dropDesk(), end(this.#client), end(this.#hostClient)]);
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

  async #dropDesk(): Promise<void> {
    const { admin } = this.#desk ?? {};
    this.#desk = undefined;
    await (await admin?.catch(() => undefined))?.close();
  }

  async #drop(): Promise<void> {
    const admin = this.#admin;
    this.#admin = undefined;
    await (await admin?.catch(() => undefined))?.close();
  }
}
