import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { ChannelModel } from 'amqplib';
import { settlesWithin, withTimeout } from '#sdk/time';
import { z } from 'zod';
import { makeNames } from '../amqp/names.js';
import type { Config } from '../config/schema.js';
import type { DeployController } from '../deploy/deploy-controller.js';
import type { DesiredVersion } from '../deploy/state.js';
import { StateFile } from '../deploy/state-file.js';
import { adminErrors } from '../errors/admin.js';
import { publishFault } from '../observe/channels.js';
import type { Log } from '../observe/log.js';
import { playedRoles } from '../roles.js';
import { userOf } from './client.js';
import { type Desired, desiredDomains, isSame, REPORT_MS, type Run } from './desired.js';
import { TOLD, type Told } from './fleet.js';
import { AWAY, NOBODY, Nodes } from './nodes.js';
import type { OrderGate } from './orders.js';

export interface FleetMemberOptions {
  readonly node: string;
  readonly config: Config;
  readonly log: Log;
  /** `state.directory`, absolute. */
  readonly directory: string;
  readonly gate: OrderGate;
  /** Undefined: there is no connection now. */
  readonly model: () => ChannelModel | undefined;
  readonly deploy: DeployController;
}

/** A start waits so long for what the node shall run. */
const START_MS = 4_500;
const ASK_MS = 4_000;
const LEAVE_MS = 1_500;
/** Changes that come together are reported together. */
const SOON_MS = 150;
/** A part of a bundle in one message, characters. */
const PART_LENGTH = 200_000;
const FILE = 'fleet.json';

const state = z.enum(['serve', 'paused', 'retired']);
const kept = z.object({
  /** What this node followed last. */
  revision: z.number(),
  /** Since when it runs what it runs of each domain. */
  domains: z.record(z.string(), z.object({ hash: z.string(), state, at: z.number() })),
});
type Kept = z.output<typeof kept>;

const answer = z.object({ ok: z.literal(true), text: z.string(), signature: z.string() });
const told = z.object({
  nonce: z.string(),
  until: z.number(),
  revision: z.number(),
  desired: desiredDomains,
  wanted: z.array(z.string()).readonly(),
});

/** A node among others: says what it runs, and follows what all nodes shall run, also when it is new, was away, or has lost its disk. */
export class FleetMember {
  readonly #options: FleetMemberOptions;
  readonly #file: StateFile<Kept>;
  readonly #ending = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #reporting: Promise<void> | undefined;
  #isAgain = false;
  #lastWords = '';
  /** What was taken over from the others: it was decided there. */
  readonly #following = new Map<string, Desired>();
  /** It has reported since it serves. */
  #isSettled = false;

  private constructor(options: FleetMemberOptions, file: StateFile<Kept>) {
    this.#options = options;
    this.#file = file;
  }

  /** Reads what a run before has left. */
  static async open(options: FleetMemberOptions): Promise<FleetMember> {
    const parse = (value: unknown): Kept | undefined => kept.safeParse(value).data;
    const file = await StateFile.open(join(options.directory, FILE), parse, { revision: 0, domains: {} });
    return new FleetMember(options, file);
  }

  /** Before anything is served: takes in what the node shall run. Never rejects, and never takes longer than a start may wait. */
  async prepare(): Promise<void> {
    const { deploy, log } = this.#options;
    let isLate = false;
    const preparing = async (): Promise<void> => {
      const said = await this.#ask();
      if (said === undefined) return;
      const { ready, isAll } = await this.#fetchAll(this.#later(said));
      if (isLate) return;
      for (const [domain, shall] of ready) this.#following.set(domain, shall);
      deploy.desire(ready.map(([domain, shall]) => versionOf(domain, shall)));
      if (isAll) this.#keep({ revision: said.revision });
      for (const [domain, { version, state }] of ready)
        log.info({ domain, version, state }, 'what all nodes shall run');
    };
    await withTimeout(preparing(), START_MS, () => adminErrors.make('BEDS_ADMIN_NO_DESK'))
      .catch((error: unknown) => {
        this.#complain(error);
      })
      .finally(() => (isLate = true));
  }

  /** The node serves: from now on it reports. */
  start(): void {
    this.#timer = setInterval(() => this.changed(0), REPORT_MS);
    this.changed(0);
  }

  /** Something is otherwise than it was reported. */
  changed(inMs = SOON_MS): void {
    if (this.#timer === undefined || this.#ending.signal.aborted) return;
    if (this.#reporting !== undefined) {
      this.#isAgain = true;
      return;
    }
    const reporting = new Promise((resolve) => setTimeout(resolve, inMs))
      .then(() => this.#report())
      .catch((error: unknown) => {
        this.#complain(error);
      })
      .finally(() => {
        this.#reporting = undefined;
        if (!this.#isAgain) return;
        this.#isAgain = false;
        this.changed();
      });
    this.#reporting = reporting;
  }

  /** The node ends in order: nobody is to miss it. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const wasThere = this.#timer !== undefined;
    this.#timer = undefined;
    const leaving = async (): Promise<void> => {
      await this.#reporting;
      if (wasThere) await this.#send({ op: 'leave', node: this.#options.node }, LEAVE_MS);
    };
    await settlesWithin(leaving(), LEAVE_MS);
    this.#ending.abort();
    await this.#file.close();
  }

  async #report(): Promise<void> {
    const said = await this.#ask();
    if (said === undefined) return;
    this.#lastWords = '';
    for (const hash of said.wanted) await this.#push(hash);
    if (said.wanted.length > 0) this.#isAgain = true;
    this.#isSettled = true;
    const { ready, isAll } = await this.#fetchAll(this.#later(said));
    // n.b. an operator may have ordered something else while the bytes came.
    const still = new Set(this.#later(said).map(([domain]) => domain));
    for (const [domain, shall] of ready.filter(([name]) => still.has(name))) {
      const { version, state } = shall;
      this.#following.set(domain, shall);
      this.#options.log.info({ domain, version, state, revision: said.revision }, 'follows what all nodes shall run');
      await this.#options.deploy.follow(versionOf(domain, shall));
    }
    if (isAll && said.revision !== this.#file.value.revision) this.#keep({ revision: said.revision });
  }

  /**
   * What was decided later than what this node runs, and that it has not followed before; at a start also what it has nothing of, because it
   * may have another role now.
   */
  #later({ revision: _, desired }: Told): readonly (readonly [domain: string, shall: Desired])[] {
    const { deploy } = this.#options;
    const runs = new Map(deploy.operator.runs.map((each) => [each.domain, each]));
    return Object.entries(desired).filter(([domain, shall]) => {
      if (!deploy.serves(domain)) return false;
      const isNewer = shall.revision > this.#file.value.revision;
      const its = runs.get(domain);
      if (its === undefined) return isNewer || (this.#timer === undefined && shall.state !== 'retired');
      // n.b. what is on its way here was ordered, and is judged when it has ended.
      if (!isNewer || isSame(its, shall) || its.pending !== undefined) return false;
      return shall.at > (this.#file.value.domains[domain]?.at ?? 0);
    });
  }

  async #fetchAll(
    wanted: readonly (readonly [domain: string, shall: Desired])[],
  ): Promise<{ readonly ready: readonly (readonly [string, Desired])[]; readonly isAll: boolean }> {
    const ready: (readonly [string, Desired])[] = [];
    for (const each of wanted) {
      const [, { hash, state }] = each;
      try {
        if (state !== 'retired' && !(await this.#options.deploy.has(hash))) await this.#fetch(hash);
        ready.push(each);
      } catch (error) {
        this.#complain(error);
      }
    }
    return { ready, isAll: ready.length === wanted.length };
  }

  async #fetch(hash: string): Promise<void> {
    let text = '';
    for (let part = 0, parts = 1; part < parts; part += 1) {
      const said = await this.#send({ op: 'part', hash, part });
      const read = z.object({ ok: z.literal(true), parts: z.int(), content: z.string() }).parse(said);
      ({ parts } = read);
      text += read.content;
    }
    const files = z.record(z.string(), z.string()).parse(JSON.parse(text));
    const bytes = Object.entries(files).map(([name, content]) => [name, Buffer.from(content, 'base64')] as const);
    await this.#options.deploy.take(hash, new Map(bytes));
  }

  async #push(hash: string): Promise<void> {
    const files = await this.#options.deploy.files(hash);
    const encoded = [...files].map(([name, content]) => [name, content.toString('base64')] as const);
    const text = JSON.stringify(Object.fromEntries(encoded));
    const parts = Math.ceil(text.length / PART_LENGTH);
    for (let part = 0; part < parts; part += 1) {
      const content = text.slice(part * PART_LENGTH, (part + 1) * PART_LENGTH);
      z.object({ ok: z.literal(true) }).parse(await this.#send({ op: 'keep', hash, part, parts, content }));
    }
  }

  /** Reports, and gives what all nodes shall run; undefined: no admin node is there. Throws where what comes is not from one. */
  async #ask(): Promise<Told | undefined> {
    const { node, config, gate } = this.#options;
    const nonce = randomUUID();
    const report = { isNamed: config.node.name !== '', roles: playedRoles(config), runs: this.#runs() };
    const said = await this.#send({ op: 'report', node, nonce, report });
    if (said === undefined) return undefined;
    const read = answer.safeParse(said);
    if (!read.success) throw adminErrors.make('BEDS_ADMIN_ANSWER_INVALID', 'The admin node could not take the report.');
    const { text, signature } = read.data;
    if (!gate.isSigned(Buffer.from(text), { header: signature, purpose: TOLD }))
      throw adminErrors.make('BEDS_ADMIN_FORGED');
    const is = told.parse(JSON.parse(text));
    if (is.nonce !== nonce) throw adminErrors.make('BEDS_ADMIN_REPLAYED');
    if (Date.now() > is.until) throw adminErrors.make('BEDS_ADMIN_LATE');
    return is;
  }

  /** What runs here, each with the time since when. */
  #runs(): readonly Run[] {
    const { domains } = this.#file.value;
    const nowMs = Date.now();
    return this.#options.deploy.operator.runs.map((each) => {
      const { domain, hash, state, origin } = each;
      const before = domains[domain];
      if (before !== undefined && isSame(before, each)) return { ...each, at: before.at };
      const followed = this.#following.get(domain);
      const isFollowed = followed !== undefined && isSame(followed, each);
      // n.b. what a start made of what was there is no decision, but what was dropped meanwhile is.
      const isDecided = this.#isSettled || (before !== undefined && origin === 'directory');
      const at = isFollowed ? followed.at : isDecided ? nowMs : (before?.at ?? 0);
      this.#note(domain, { hash, state, at });
      return { ...each, at };
    });
  }

  #note(domain: string, now: Kept['domains'][string]): void {
    this.#keep({ domains: { ...this.#file.value.domains, [domain]: now } });
  }

  #keep(change: Partial<Kept>): void {
    this.#file.set({ ...this.#file.value, ...change });
  }

  async #send(message: object, timeoutMs = ASK_MS): Promise<unknown> {
    const { config, model: current, node } = this.#options;
    const model = current();
    if (model === undefined) return undefined;
    const names = makeNames(config.amqp.prefix);
    const userId = userOf(config.amqp.url) ?? 'guest';
    const never = new AbortController().signal;
    const nodes = new Nodes({ model, names, userId, by: node, signal: this.#ending.signal, blocked: never });
    const said = await nodes.ask(names.fleet, message, timeoutMs);
    return said === AWAY || said === NOBODY ? undefined : said;
  }

  /** The same words once. */
  #complain(error: unknown): void {
    const words = error instanceof Error ? error.message : String(error);
    if (words === this.#lastWords) return;
    this.#lastWords = words;
    publishFault({ where: 'what all nodes shall run', error });
  }
}

function versionOf(
  domain: string,
  { hash, version, state }: Pick<Desired, 'hash' | 'version' | 'state'>,
): DesiredVersion {
  return { domain, hash, version, state };
}
