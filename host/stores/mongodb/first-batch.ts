import { Long, MongoError, MongoServerSelectionError } from 'mongodb';
import type { Document } from 'mongodb';
import { serverMs, signalOf } from './driver-deadline.js';
import type { Execution } from './calls.js';
import { toStoreError } from './server-error.js';

/** A page is read with one row more, to learn whether others follow. */
export const SPARE_ROWS = 1;

/** The part of an answer that matters: https://www.mongodb.com/docs/manual/reference/command/find/#output */
interface Answer {
  readonly cursor: { readonly id: unknown; readonly firstBatch: Document[] };
}

/**
 * All documents of a `find` or `aggregate` by the bare command, which takes the driver a third less time than a cursor.
 * Undefined where only a cursor will do: the answer needs more than one message, or was lost and is to be asked for
 * again, which the driver does for cursors only.
 */
export async function firstBatch(
  command: Document,
  { db, deadline, meter }: Pick<Execution, 'db' | 'deadline' | 'meter'>,
): Promise<Document[] | undefined> {
  // n.b. `command` takes nothing over from the URL by itself.
  const { readConcern, readPreference } = db;
  if (readConcern !== undefined) command['readConcern'] = readConcern;
  command['maxTimeMS'] = serverMs(deadline);
  const signal = signalOf(deadline);
  const options = readPreference?.mode === 'primary' ? { signal } : { signal, readPreference };
  try {
    const { cursor } = (await db.command(command, options)) as Answer;
    if (cursor.id === 0) {
      meter.add(cursor.firstBatch, SPARE_ROWS);
      return cursor.firstBatch;
    }
    const id = typeof cursor.id === 'number' ? Long.fromNumber(cursor.id) : cursor.id;
    const kill = { killCursors: (command['find'] ?? command['aggregate']) as string, cursors: [id] };
    // n.b. it belongs to the server that answered.
    db.command(kill, readPreference === undefined ? {} : { readPreference }).catch(() => undefined);
    meter.add(cursor.firstBatch, SPARE_ROWS);
    meter.begin(true);
    return undefined;
  } catch (error) {
    if (isWorthRepeating(error)) return undefined;
    throw error;
  }
}

/** ReadConcernMajorityNotAvailableYet and ExceededTimeLimit, which the driver repeats a read after. */
const REPEATED_CODES: readonly unknown[] = [134, 262];

function isWorthRepeating(error: unknown): boolean {
  if (error instanceof MongoError && REPEATED_CODES.includes(error.code)) return true;
  if (!(error instanceof MongoError) || error instanceof MongoServerSelectionError) return false;
  return toStoreError(error, { write: false, many: false }).code === 'BEDS_STORE_UNAVAILABLE';
}
