import { isBedsError, type Json, type JsonObject, t } from '@beds/sdk';
import { compileResult } from '#sdk/template';
import { amqpErrors } from '../../errors/amqp.js';
import { publishFault } from '../../observe/channels.js';
import type { BrokerContext, OpenBroker } from '../contract.js';

/** Records whose events are published in one go, before others get a turn. */
const MOST_RECORDS = 100;
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

const readTold = compileResult(
  t.object({ id: t.string(), topic: t.string(), at: t.int({ min: 0, max: MAX_AT }), data: t.json() }).description,
);

/** n.b. a line of a record is whatever was written there: the tables are a DBA's. */
function checked(event: Json): Told {
  const read = readTold(event);
  if ('value' in read) return read.value as unknown as Told;
  const problems = read.problems.map(({ field, message }) => `${field.replace('result', 'event')} ${message}`);
  throw amqpErrors.make('BEDS_AMQP_EVENT_INVALID', problems.join('; '));
}

/** Takes the events of one record after the other, publishes them, and says so to the domain. */
class Outbox {
  readonly #context: BrokerContext;
  readonly #domains: readonly string[];
  readonly #timer: NodeJS.Timeout;
  /** Domains whose last attempt failed, and why. */
  readonly #failing = new Map<string, string>();
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

  /** n.b. what fails is tried again at the next interval: the events are others' to take by then. */
  async #drain(domain: string): Promise<void> {
    const { ask } = this.#context;
    try {
      for (let count = 0; count < MOST_RECORDS && !this.#isClosed; count += 1) {
        const { taken } = (await ask({ domain, op: 'outbox', payload: {} }, ASK_MS)) as unknown as {
          readonly taken: Taken | null;
        };
        if (taken === null) {
          this.#failing.delete(domain);
          return;
        }
        for (const event of taken.events) await this.#publish(checked(event));
        const payload = { record: taken.record, raw: taken.raw };
        await ask({ domain, op: 'outboxDone', payload }, ASK_MS);
      }
      this.#isWoken = true;
    } catch (error) {
      // A domain that is not live (yet), or keeps no events, is no failure.
      if (!isBedsError(error) || !error.code.startsWith('BEDS_REQUEST_UNKNOWN_')) this.#failed(domain, error);
    }
  }

  /** Says why once, however often it fails for that. */
  #failed(domain: string, error: unknown): void {
    this.failures += 1;
    const reason = isBedsError(error) ? error.code : String(error);
    if (this.#failing.get(domain) === reason) return;
    this.#failing.set(domain, reason);
    publishFault({ where: `outbox of ${domain}`, error, domain });
  }

  async #publish({ topic, at, id, data }: Told): Promise<void> {
    const body = { v: 1, at: new Date(at).toISOString(), node: this.#context.node, id, topic, data };
    if (!(await this.#context.publishConfirmed(topic, body))) throw amqpErrors.make('BEDS_AMQP_EVENT_REFUSED');
    this.published += 1;
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
