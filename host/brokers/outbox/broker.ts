import { isBedsError, type Json, type JsonObject, t } from '@beds/sdk';
import { compileResult } from '#sdk/template';
import { amqpErrors } from '../../errors/amqp.js';
import { publishFault } from '../../observe/channels.js';
import type { BrokerContext, OpenBroker, PublishOutcome } from '../contract.js';

/** Records whose events are published in one go, before other domains get a turn. */
const MOST_RECORDS = 100;
/** A reason that is given once more after this time is said again; a record that failed is free again by then. */
const FORGET_MS = 30_000;
/** Records of which is remembered that it was said what is wrong with them. */
const MOST_TOLD = 1_000;
const ASK_MS = 5_000;

interface Taken {
  readonly record: string;
  readonly raw: Json;
  readonly events: readonly Json[];
}

interface Told {
  readonly id: string;
  readonly topic: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly data: JsonObject;
}

/** The last moment that a Date can be: https://tc39.es/ecma262/#sec-time-values-and-time-range */
const MAX_AT = 8.64e15;

/** Of a routing key: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, 4.2.5.3 */
const MAX_TOPIC_BYTES = 255;

const readTold = compileResult(
  t.object({ id: t.string(), topic: t.string(), at: t.int({ min: 0, max: MAX_AT }), data: t.json() }).description,
);

/**
 * What is wrong with an event; undefined: nothing. n.b. a line of a record is whatever was written there: the tables are a DBA's. Nothing
 * that it says is repeated.
 */
function problemOf(event: Json): string | undefined {
  const read = readTold(isObject(event) ? ownParts(event) : event);
  if ('problems' in read) {
    return read.problems.map(({ field, message }) => `${field.replace('result', 'event')} ${message}`).join('; ');
  }
  const bytes = Buffer.byteLength((read.value as unknown as Told).topic);
  return bytes > MAX_TOPIC_BYTES ? `event.topic must have at most ${MAX_TOPIC_BYTES} bytes` : undefined;
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** n.b. a later version of a domain may keep more with an event than a host knows of. */
function ownParts({ id, topic, at, data }: JsonObject): JsonObject {
  const parts = Object.entries({ id, topic, at, data }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(parts) as JsonObject;
}

/** Takes the events of one record after the other, publishes them, and says so to the domain. */
class Outbox {
  readonly #context: BrokerContext;
  readonly #domains: readonly string[];
  readonly #timer: NodeJS.Timeout;
  /** Domains whose last attempt failed, and why. */
  readonly #failing = new Map<string, { readonly reason: string; readonly atMs: number }>();
  /** Records with what is no event. */
  readonly #told = new Set<string>();
  #isRunning = false;
  #isWoken = false;
  #isClosed = false;
  published = 0;
  failures = 0;

  constructor(context: BrokerContext) {
    this.#context = context;
    this.#domains = context.plan.domains.filter((domain) => domain !== '*');
    this.#timer = setInterval(() => this.wake(), Number(context.plan.settings['everyMs']));
    context.onWrite(() => this.wake());
  }

  /** There may be events. Whoever asks while they are being looked for has them looked for once more. */
  wake(): void {
    this.#isWoken = true;
    if (!this.#isRunning && !this.#isClosed) void this.#run();
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#context.onWrite(undefined);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#isWoken && !this.#isClosed) {
      this.#isWoken = false;
      for (const domain of this.#domains) await this.#drain(domain);
    }
    this.#isRunning = false;
  }

  /**
   * n.b. what fails is tried again when its record is free again, after some seconds, and holds up no other record: a session that
   * was ended may stand behind a mail that a full queue refuses.
   */
  async #drain(domain: string): Promise<void> {
    try {
      for (let count = 0; count < MOST_RECORDS && !this.#isClosed; count += 1) {
        const taken = await this.#take(domain);
        if (taken === null) {
          this.#forget(domain);
          return;
        }
        await this.#publishRecord(domain, taken);
      }
      this.#isWoken = true;
    } catch (error) {
      // A domain that is not live (yet), or keeps no events, is no failure.
      if (!isBedsError(error) || !error.code.startsWith('BEDS_REQUEST_UNKNOWN_')) this.#failed(domain, error);
    }
  }

  /** n.b. what failed is looked at again some seconds later. */
  #forget(domain: string): void {
    const failed = this.#failing.get(domain);
    if (failed !== undefined && failed.atMs < performance.now() - FORGET_MS) this.#failing.delete(domain);
  }

  async #take(domain: string): Promise<Taken | null> {
    const answer = await this.#context.ask({ domain, op: 'outbox', payload: {} }, ASK_MS);
    return (answer as unknown as { readonly taken: Taken | null }).taken;
  }

  /** Throws where no other record can be published either. */
  async #publishRecord(domain: string, { record, raw, events }: Taken): Promise<void> {
    // n.b. all are read before the first is published: what stands before one that is none would be published again and again.
    const problem = events.map(problemOf).find((each) => each !== undefined);
    if (problem !== undefined) {
      this.#isNone(domain, { record, problem });
      return;
    }
    for (const event of events as unknown as readonly Told[]) {
      const outcome = await this.#publish(event);
      if (outcome === 'taken') continue;
      const error = amqpErrors.make('BEDS_AMQP_EVENT_REFUSED');
      if (outcome === 'away') throw error;
      this.#failed(domain, error);
      return;
    }
    await this.#context.ask({ domain, op: 'outboxDone', payload: { record, raw } }, ASK_MS);
  }

  /** Says it once for each record, as each is to be looked after. */
  #isNone(domain: string, { record, problem }: { readonly record: string; readonly problem: string }): void {
    this.failures += 1;
    const key = `${domain} ${record}`;
    if (this.#told.has(key)) return;
    if (this.#told.size >= MOST_TOLD) this.#told.clear();
    this.#told.add(key);
    const error = amqpErrors.make('BEDS_AMQP_EVENT_INVALID', `Record ${record}: ${problem}.`);
    publishFault({ where: `outbox of ${domain}`, error, domain });
  }

  /** Says why once, however often it fails for that. */
  #failed(domain: string, error: unknown): void {
    this.failures += 1;
    const reason = isBedsError(error) ? error.code : String(error);
    const isTold = this.#failing.get(domain)?.reason === reason;
    this.#failing.set(domain, { reason, atMs: performance.now() });
    if (!isTold) publishFault({ where: `outbox of ${domain}`, error, domain });
  }

  async #publish({ topic, at, id, data }: Told): Promise<PublishOutcome> {
    const body = { v: 1, at: new Date(at).toISOString(), node: this.#context.node, id, topic, data };
    const outcome = await this.#context.publishConfirmed(topic, body);
    if (outcome === 'taken') this.published += 1;
    return outcome;
  }
}

export const open: OpenBroker = (context) => {
  const outbox = new Outbox(context);
  return {
    // It consumes nothing.
    handle: (delivery) => delivery.settle('requeue'),
    metrics: () => ({
      beds_outbox_published_total: outbox.published,
      beds_outbox_failures_total: outbox.failures,
    }),
    close: () => outbox.close(),
  };
};
