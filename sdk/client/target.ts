import type { CallMode } from '../wire/envelope.js';

/** Hosts may be on different versions during a rollout: what one of them took for a plain write is none only after this time. */
const CAUTION_MS = 60_000;

/** An operation as its callers know it, shared by all calls of it. What it is its domain says, with every answer. */
export class Target {
  readonly domain: string;
  readonly op: string;
  readonly routingKey: string;
  /** The beginning of its envelopes. */
  readonly head: string;
  #mode: CallMode | undefined;
  #cautiousUntilMs = 0;

  constructor(domain: string, op: string) {
    this.domain = domain;
    this.op = op;
    this.routingKey = `${domain}.${op}`;
    this.head = `{"v":1,"domain":${JSON.stringify(domain)},"op":${JSON.stringify(op)}`;
    if (op === 'fetch') this.#mode = 'read';
  }

  /** Whether any host has said what it is; until then it is taken for a write. */
  get isKnown(): boolean {
    return this.#mode !== undefined;
  }

  get isRead(): boolean {
    return this.#mode === 'read';
  }

  /** Whether sending it twice has the effect of sending it once. */
  get mayResend(): boolean {
    return this.isKnown && this.#mode !== 'write' && performance.now() >= this.#cautiousUntilMs;
  }

  /** What the version says that answered. n.b. called for every reply. */
  learn(mode: CallMode | undefined): void {
    if (mode === this.#mode || mode === undefined) return;
    if (this.#mode === 'write') this.#cautiousUntilMs = performance.now() + CAUTION_MS;
    this.#mode = mode;
  }
}
