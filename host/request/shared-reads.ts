import { isBedsError, type Json, type JsonObject, type Page } from '@beds/sdk';
import { withTimeout } from '#sdk/time';
import { requestErrors } from '../errors/request.js';
import type { RequestScope } from './request-scope.js';

/** A read of a view that the template declares with `share`. */
export interface SharedRead {
  readonly alias: string;
  /** What is asked; who asks the same may share. */
  readonly asked: unknown;
  readonly scope: RequestScope;
  readonly begin: (timeoutMs: number) => Promise<Page>;
}

interface UnderWay {
  readonly page: Promise<Page>;
  isJoined: boolean;
}

/**
 * Reads of one generation that are under way, which others who ask the same may join. A read has the time of the request
 * that began it. Who joined and has more asks again when that time is over, so nobody is cut off by another; who joined
 * and has less leaves at its own deadline. Any other failure is everybody's: each would have met it alone.
 */
export class SharedReads {
  readonly #underWay = new Map<string, UnderWay>();

  async read({ alias, asked, scope, begin }: SharedRead): Promise<Page> {
    for (;;) {
      const timeoutMs = scope.requireTime();
      // n.b. in the turn in which it may begin: code may change what it asked with while it waits.
      const key = queryKey([alias, asked]);
      if (key === undefined) return begin(timeoutMs);
      const running = this.#underWay.get(key);
      if (running === undefined) return this.#begin(key, begin(timeoutMs));
      running.isJoined = true;
      try {
        return copyOf(await withTimeout(running.page, Math.ceil(timeoutMs), late));
      } catch (error) {
        if (!isBedsError(error) || error.status !== 'timeout') throw error;
      }
    }
  }

  async #begin(key: string, reading: Promise<Page>): Promise<Page> {
    // n.b. not to be joined any more before anybody who waits for it goes on.
    const underWay = { page: reading.finally(() => this.#underWay.delete(key)), isJoined: false };
    this.#underWay.set(key, underWay);
    const page = await underWay.page;
    return underWay.isJoined ? copyOf(page) : page;
  }
}

function late(): Error {
  return requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED');
}

/** Code may change the rows it is given. To copy them costs no more than to freeze them, and frozen ones are slower to encode. */
function copyOf(page: Page): Page {
  return { ...page, rows: page.rows.map(copyOfRow) };
}

function copyOfRow(row: JsonObject): JsonObject {
  const copy: Record<string, Json> = { ...row };
  for (const name in copy) {
    const value = copy[name];
    if (typeof value === 'object' && value !== null) copy[name] = structuredClone(value);
  }
  return copy;
}

/** A text that is the same for values that say the same, whatever the order of their names; undefined for what is not plain data. */
export function queryKey(value: unknown): string | undefined {
  const words: string[] = [];
  return write(value, words) ? words.join(' ') : undefined;
}

function write(value: unknown, words: string[]): boolean {
  if (typeof value === 'object' && value !== null) return writeMembers(value, words);
  if (typeof value === 'function' || typeof value === 'symbol' || typeof value === 'bigint') return false;
  // n.b. JSON would make null of NaN, which the adapter refuses.
  words.push(typeof value === 'string' ? JSON.stringify(value) : String(value));
  return true;
}

function writeMembers(value: object, words: string[]): boolean {
  if (Array.isArray(value)) {
    words.push('[');
    const isPlain = value.every((item) => write(item, words));
    words.push(']');
    return isPlain;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  words.push('{');
  for (const name of Object.keys(value).sort()) {
    words.push(JSON.stringify(name));
    if (!write((value as Readonly<Record<string, unknown>>)[name], words)) return false;
  }
  words.push('}');
  return true;
}
