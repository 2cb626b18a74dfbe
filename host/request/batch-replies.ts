import type { Verdict } from '#sdk/template';
import type { Answer } from './pending-request.js';
import type { ShadowCopy } from './shadows.js';

/** Characters from which on a part goes out at once: one message with everything may become too large. */
const PART_CHARACTERS = 262_144;
/**
 * Most that one message holds. Since RabbitMQ 4 a larger one than 16 MiB is never delivered, and its channel is closed; the
 * rest is for the answers that say so. https://www.rabbitmq.com/docs/configure
 */
const MESSAGE_BYTES = 15 * 1_048_576;
/** Of texts up to here it is quicker to assume three bytes a character than to count. */
const SHORT_CHARACTERS = 1_024;

/** Answers that travel together. */
export interface BatchPart {
  readonly text: string;
  readonly expiresAtMs: number;
  readonly copies: readonly ShadowCopy[];
}

export interface BatchRepliesOptions {
  readonly count: number;
  /** Longest that an answer waits for others; undefined: the caller wants all of them in one message. */
  readonly holdMs: number | undefined;
  /** The answer in the place of one that no message of RabbitMQ may hold with those before it. */
  readonly tooLarge: (place: number) => string;
  /** Sends an array of answers; calls back when RabbitMQ has it. */
  readonly send: (part: BatchPart, onSent: () => void) => void;
  /** All requests are answered and all answers are sent. */
  readonly onSettled: (verdict: Verdict) => void;
}

/**
 * The answers to the requests of one message. They travel together, but one that is ready does not wait longer for the others
 * than `holdMs`. The message is settled when the last one is on its way.
 */
export class BatchReplies {
  readonly #options: BatchRepliesOptions;
  /** Those that are ready and not sent, at the places of their requests; empty: none, or what another message answers. */
  #texts: string[];
  #copies: ShadowCopy[] = [];
  #characters = 0;
  /** At most. */
  #bytes = 0;
  #expiresAtMs = 0;
  #verdict: Verdict = 'ack';
  #unanswered: number;
  #unsent = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BatchRepliesOptions) {
    this.#options = options;
    this.#unanswered = options.count;
    this.#texts = emptyTexts(options.count);
  }

  add(place: number, { text: given = '', verdict, expiresAtMs, copy }: Answer): void {
    const text = this.#fitting(place, given);
    this.#texts[place] = text;
    if (copy !== undefined) this.#copies.push(copy);
    this.#characters += text.length;
    this.#bytes += bytesAtMost(text);
    if (text !== '' && expiresAtMs > this.#expiresAtMs) this.#expiresAtMs = expiresAtMs;
    // n.b. what was given back unexecuted must come again, whatever became of the others.
    if (verdict !== 'ack' && this.#verdict !== 'requeue') this.#verdict = verdict;
    this.#unanswered -= 1;
    const { holdMs } = this.#options;
    if (this.#unanswered === 0) this.#flush();
    else if (holdMs === undefined) return;
    else if (this.#characters > PART_CHARACTERS) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), holdMs);
  }

  #fitting(place: number, text: string): string {
    const bytes = bytesAtMost(text);
    if (this.#bytes + bytes <= MESSAGE_BYTES) return text;
    if (this.#options.holdMs !== undefined) this.#flush();
    return this.#bytes + bytes <= MESSAGE_BYTES ? text : this.#options.tooLarge(place);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const texts = this.#texts.filter((each) => each !== '');
    const text = `[${texts.join(',')}]`;
    const part: BatchPart = { text, expiresAtMs: this.#expiresAtMs, copies: this.#copies };
    this.#copies = [];
    this.#texts = emptyTexts(this.#unanswered === 0 ? 0 : this.#options.count);
    this.#characters = 0;
    this.#bytes = 0;
    this.#expiresAtMs = 0;
    this.#unsent += 1;
    if (texts.length === 0) this.#sent();
    else this.#options.send(part, () => this.#sent());
  }

  #sent(): void {
    this.#unsent -= 1;
    if (this.#unanswered === 0 && this.#unsent === 0) this.#options.onSettled(this.#verdict);
  }
}

function bytesAtMost(text: string): number {
  return text.length < SHORT_CHARACTERS ? text.length * 3 : Buffer.byteLength(text);
}

/** n.b. in a thread of templates `Array.prototype` is frozen: putting an element into a hole of an array takes 25 times as long. */
function emptyTexts(count: number): string[] {
  return new Array<string>(count).fill('');
}
