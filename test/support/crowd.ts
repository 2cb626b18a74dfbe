import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError } from '@beds/sdk';
import type { ReplyEnvelope, RequestEnvelope } from '#sdk/template';
import type { BedsClient } from '@beds/sdk/client';
import type { TestHost, TransitionLine } from './host.js';
import type { Teardown } from './services.js';

/** One request of a crowd and what became of it. Instants are milliseconds since 1970. */
export interface CrowdRequest {
  readonly client: string;
  readonly domain: string;
  readonly askedAt: number;
  readonly answeredAt: number;
  readonly reply?: ReplyEnvelope;
  /** Code of the failure; 'untyped' for what is no BEDS error. */
  readonly failure?: string;
}

export interface CrowdOptions {
  /** Clients by name, each with its own side of a canary. Default 12. */
  readonly clients?: number;
  /** Pause of a client between two requests. Default 30. */
  readonly pauseMs?: number;
  /** What it asks, in turn. Default `version` of `notes`. */
  readonly asks?: readonly Ask[];
}

export type Ask = Pick<RequestEnvelope, 'domain' | 'op' | 'payload'>;

/** Many clients that ask all the time. */
export class Crowd {
  readonly #client: BedsClient;
  readonly #options: Required<CrowdOptions>;
  readonly #seen: CrowdRequest[] = [];
  #running: readonly Promise<void>[] = [];
  #isOver = false;

  private constructor(client: BedsClient, options: CrowdOptions) {
    this.#client = client;
    this.#options = { clients: 12, pauseMs: 30, asks: [{ domain: 'notes', op: 'version', payload: {} }], ...options };
  }

  /** Connects and begins to ask; every client has had an answer when this resolves. */
  static async start(teardown: Teardown, host: TestHost, options: CrowdOptions = {}): Promise<Crowd> {
    const crowd = new Crowd(await host.connectClient({ name: 'crowd' }), options);
    teardown.after(() => {
      crowd.#isOver = true;
    });
    crowd.#running = Array.from({ length: crowd.#options.clients }, (_, index) => crowd.#ask(`app-${String(index)}`));
    await crowd.more(crowd.#options.clients);
    return crowd;
  }

  get seen(): readonly CrowdRequest[] {
    return this.#seen;
  }

  /** What this version answered, be it with an error. */
  by(version: string): readonly CrowdRequest[] {
    return this.#seen.filter(({ reply }) => reply !== undefined && versionOf(reply) === version);
  }

  /** Resolves when `count` more requests were answered. */
  async more(count: number, withinMs = 20_000): Promise<void> {
    const wanted = this.#seen.length + count;
    const untilMs = performance.now() + withinMs;
    while (this.#seen.length < wanted) {
      assert.ok(performance.now() < untilMs, `not ${String(count)} more answers within ${String(withinMs)} ms`);
      await delay(5);
    }
  }

  /** Asks no more; resolves when everything is answered. */
  async stop(): Promise<readonly CrowdRequest[]> {
    this.#isOver = true;
    await Promise.all(this.#running);
    return this.#seen;
  }

  /** Every reply names a version that was routed at some moment between question and answer. */
  assertVersionsWereRouted(transitions: readonly TransitionLine[]): void {
    const wrong = this.#seen.filter(({ reply, askedAt, answeredAt }) => {
      const generation = reply === undefined ? undefined : generationOf(reply);
      if (reply === undefined || generation === undefined) return false;
      const own = transitions.filter((line) => line.generation === generation);
      const at = (state: string): number | undefined => own.find((line) => line.state === state)?.time;
      const [fromAt = Infinity, untilAt = Infinity] = [at('prepared'), at('retired')];
      return own[0]?.version !== versionOf(reply) || answeredAt < fromAt || askedAt > untilAt;
    });
    assert.deepEqual(wrong, []);
  }

  async #ask(client: string): Promise<void> {
    const { asks, pauseMs } = this.#options;
    for (let turn = 0; !this.#isOver; turn += 1) {
      const ask = asks[turn % asks.length];
      if (ask !== undefined) this.#seen.push(await this.#request(client, ask, turn));
      // Paces the load.
      await delay(pauseMs);
    }
  }

  async #request(client: string, ask: Ask, turn: number): Promise<CrowdRequest> {
    const asked = { client, domain: ask.domain, askedAt: Date.now() };
    const meta = { client, deadlineMs: 8_000 };
    try {
      const reply = await this.#client.request({ v: 1, id: `${client}-${String(turn)}`, ...ask, meta });
      const failure = reply.ok ? {} : { failure: reply.error.code };
      return { ...asked, answeredAt: Date.now(), reply, ...failure };
    } catch (error) {
      return { ...asked, answeredAt: Date.now(), failure: isBedsError(error) ? error.code : 'untyped' };
    }
  }
}

function versionOf({ by }: ReplyEnvelope): string | undefined {
  return 'version' in by ? by.version : undefined;
}

function generationOf({ by }: ReplyEnvelope): number | undefined {
  return 'generation' in by ? by.generation : undefined;
}
