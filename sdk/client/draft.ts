import type { PendingCall } from './pending-call.js';

/** No character has more bytes in UTF-8, counted per UTF-16 unit. */
const MAX_BYTES_OF_UNIT = 3;

/** Of the array, beyond a comma for each text. */
const BRACKET_BYTES = 1;

/** The calls of a message that is being made, within its bounds. */
export class Draft {
  readonly calls: PendingCall[] = [];
  /** When the calls were made that do not say so; milliseconds since 1970. */
  readonly stampMs: number | undefined;
  readonly #texts: string[] = [];
  readonly #bounds: { readonly maxCount: number; readonly maxBytes: number };
  /** At least as many as there are: counted only where that might be too many. */
  #bytes = BRACKET_BYTES;
  #isExact = false;

  constructor(bounds: { readonly maxCount: number; readonly maxBytes: number }, stampMs?: number) {
    this.#bounds = bounds;
    this.stampMs = stampMs;
  }

  /** Whether the call has room; the first one always has. */
  takes(text: string): boolean {
    if (this.calls.length === 0) return true;
    const { maxCount, maxBytes } = this.#bounds;
    if (this.calls.length >= maxCount) return false;
    if (this.#bytes + this.#bytesOf(text) <= maxBytes) return true;
    if (this.#isExact) return false;
    this.#isExact = true;
    this.#bytes = this.#texts.reduce((sum, each) => sum + this.#bytesOf(each), BRACKET_BYTES);
    return this.#bytes + this.#bytesOf(text) <= maxBytes;
  }

  add(call: PendingCall, text: string): void {
    this.calls.push(call);
    this.#texts.push(text);
    this.#bytes += this.#bytesOf(text);
  }

  body(): Buffer {
    const [only = ''] = this.#texts;
    return Buffer.from(this.#texts.length === 1 ? only : `[${this.#texts.join(',')}]`);
  }

  /** With the comma behind it. */
  #bytesOf(text: string): number {
    return 1 + (this.#isExact ? Buffer.byteLength(text) : text.length * MAX_BYTES_OF_UNIT);
  }
}
