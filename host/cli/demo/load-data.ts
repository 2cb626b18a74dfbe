import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError, type JsonObject } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { cliErrors } from '../../errors/cli.js';
import type { Narrator } from './narrator.js';

export interface DataSet {
  readonly domain: string;
  /** What its records are called. */
  readonly unit: string;
  readonly records: readonly JsonObject[];
  /** Records in one request. */
  readonly perRequest: number;
}

const REQUESTS_AT_ONCE = 6;
const DEADLINE_MS = 30_000;
const TRIES = 5;
const PAUSE_MS = 500;

/**
 * Loads a data set through `<domain>.import`, unless all of it is there. Resolves to words for a person. Throws
 * BEDS_CLI_DEMO_FAILED where fewer records are counted than were loaded.
 */
export async function loadData(
  client: BedsClient,
  set: DataSet,
  { narrator, signal }: { readonly narrator: Narrator; readonly signal: AbortSignal },
): Promise<string> {
  const total = set.records.length;
  const present = await countOf(client, set.domain, signal);
  if (present >= total) return `${present.toLocaleString('en')} ${set.unit} are there already`;
  const progress = narrator.progress(total, set.unit);
  const requests = chunks(set);
  try {
    const lane = async (): Promise<void> => {
      for (let records = requests.pop(); records !== undefined; records = requests.pop()) {
        await importRecords(client, { domain: set.domain, records, signal });
        progress.advance(records.length);
      }
    };
    await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, lane));
  } finally {
    progress.end();
  }
  const counted = await countOf(client, set.domain, signal);
  if (counted >= total) return `${counted.toLocaleString('en')} ${set.unit}`;
  const message = `All ${total.toLocaleString('en')} ${set.unit} were loaded, and ${set.domain}.count says ${counted.toLocaleString('en')}.`;
  throw cliErrors.make('BEDS_CLI_DEMO_FAILED', message);
}

/** An import may be sent again: a database that is still warming up is given time. */
async function importRecords(
  client: BedsClient,
  {
    domain,
    records,
    signal,
  }: { readonly domain: string; readonly records: JsonObject[]; readonly signal: AbortSignal },
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await client.domain(domain).call('import', { [domain]: records }, { deadlineMs: DEADLINE_MS, signal });
      return;
    } catch (error) {
      if (tries === TRIES || !isBedsError(error) || !error.retryable || signal.aborted) throw error;
      await delay(PAUSE_MS * tries, undefined, { signal });
    }
  }
}

export async function countOf(client: BedsClient, domain: string, signal: AbortSignal): Promise<number> {
  const { count } = (await client.domain(domain).call('count', {}, { mode: 'read', signal })) as JsonObject;
  return Number(count);
}

function chunks({ records, perRequest }: DataSet): JsonObject[][] {
  return Array.from({ length: Math.ceil(records.length / perRequest) }, (_, index) =>
    records.slice(index * perRequest, (index + 1) * perRequest),
  ).reverse();
}
