import { isBedsError, type Json, type JsonObject, type Page, type ViewQuery } from '@beds/sdk';
import { withTimeout } from '#sdk/time';
import { requestErrors } from '../errors/request.js';
import { queryKey } from './query-key.js';
import type { RequestScope } from './request-scope.js';

/** A read of a view that the template declares with `share`. */
export interface SharedRead {
  readonly alias: string;
  readonly query: ViewQuery;
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

  async read({ alias, query, scope, begin }: SharedRead): Promise<Page> {
    for (;;) {
      const timeoutMs = scope.requireTime();
      // n.b. in the turn in which it may begin: code may change what it asked with while it waits.
      const key = queryKey([alias, query]);
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
