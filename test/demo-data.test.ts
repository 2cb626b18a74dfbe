import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BedsClient } from '@beds/sdk/client';
import { loadData } from '../host/cli/demo/data.js';
import type { Narrator } from '../host/cli/demo/report.js';

const narrator = { progress: () => ({ advance: () => undefined, end: () => undefined }) } as unknown as Narrator;
const { signal } = new AbortController();
const set = { domain: 'cities', unit: 'cities', records: [{ id: 1 }, { id: 2 }, { id: 3 }], perRequest: 2 };

/** A domain that takes every import, and counts as it likes. */
function counting(countOf: (imported: number) => unknown): BedsClient {
  let imported = 0;
  const call = (operation: string, payload: { readonly cities?: readonly unknown[] }): Promise<unknown> => {
    imported += payload.cities?.length ?? 0;
    return Promise.resolve(operation === 'count' ? { count: countOf(imported) } : {});
  };
  return { domain: () => ({ call }) } as unknown as BedsClient;
}

test('the demonstration goes on with the data it loaded', async () => {
  assert.equal(
    await loadData(
      counting((imported) => imported),
      set,
      { narrator, signal },
    ),
    '3 cities',
  );
  assert.equal(
    await loadData(
      counting(() => 7),
      set,
      { narrator, signal },
    ),
    '7 cities are there already',
  );
});

test('the demonstration fails where fewer records are counted than it loaded', async () => {
  for (const wrong of [0, 2, null, undefined, Number.NaN, 'none']) {
    await assert.rejects(
      loadData(
        counting(() => wrong),
        set,
        { narrator, signal },
      ),
      {
        code: 'BEDS_CLI_DEMO_FAILED',
        message: /All 3 cities were loaded, and cities\.count says/,
      },
    );
  }
});
