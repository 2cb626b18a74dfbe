import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { closedLoop, type Load } from '../measure/load.js';
import type { Databases, StoreCalls } from './bare-databases.js';
import { serveParent } from './child.js';
import {
  documentKeyOf,
  expectFound,
  expectPage,
  expectRecord,
  fieldsOf,
  keyOf,
  MANY_KEYS,
  manyKeysOf,
  pageOf,
  RECORD_COUNT,
} from './records.js';

export type StoreOperation = keyof StoreCalls;

/** Where records are served. */
export interface StorePlace extends Databases {
  /** Of RabbitMQ. */
  readonly url: string;
  /** Of the queue or exchange, or what the library makes its names from. */
  readonly name: string;
  /** Unacknowledged messages of the server. */
  readonly prefetch: number;
}

/** One way to reach the databases. A process serves or asks, never both. */
export interface StoreWay {
  readonly serve?: (place: StorePlace) => Promise<unknown>;
  /** Resolves to what can be called. */
  readonly connect: (place: StorePlace) => Promise<StoreCalls>;
  readonly stop: () => Promise<unknown>;
}

/** The calls as requests over a wire: an operation and its input. */
export function callsBy(ask: <T>(operation: StoreOperation, input: unknown) => Promise<T>): StoreCalls {
  return {
    fetch: (key) => ask('fetch', key),
    create: (fields) => ask('create', fields),
    page: (question) => ask('page', question),
    many: (keys) => ask('many', keys),
    both: (keys) => ask('both', keys),
    documentFetch: (key) => ask('documentFetch', key),
    documentCreate: (document) => ask('documentCreate', document),
  };
}

/** One slice of load. */
export interface StoreLoad extends Load {
  readonly operation: StoreOperation;
}

/** What everybody asks for the n-th time. A fast wrong answer must not win, so every answer is compared with the right one. */
const QUESTIONS: Readonly<Record<StoreOperation, (calls: StoreCalls, n: number) => Promise<void>>> = {
  fetch: async ({ fetch }, n) => {
    const key = keyOf(n);
    expectRecord(await fetch(key), key, fieldsOf(key - 1));
  },
  create: async ({ create }, n) => {
    const fields = fieldsOf(n);
    const record = await create(fields);
    expectRecord(record, record.id, fields);
    if (!(Number(record.id) > RECORD_COUNT)) assert.fail(`a wrong answer: ${JSON.stringify(record)} is no new record`);
  },
  page: async ({ page }, n) => {
    const question = pageOf(n);
    expectPage(await page(question), question);
  },
  many: async ({ many }, n) => {
    const keys = manyKeysOf(n, MANY_KEYS);
    expectFound(await many(keys), keys, 1);
  },
  both: async ({ both }, n) => {
    const keys = manyKeysOf(n, MANY_KEYS / 2);
    expectFound(await both(keys), keys, 2);
  },
  documentFetch: async ({ documentFetch }, n) => {
    const key = keyOf(n);
    expectRecord(await documentFetch(key), documentKeyOf(key), fieldsOf(key - 1));
  },
  documentCreate: async ({ documentCreate }, n) => {
    const fields = fieldsOf(n);
    const id = randomUUID();
    expectRecord(await documentCreate({ id, ...fields }), id, fields);
  },
};

/** Calls that answer other questions than those that they were asked. */
function wrong(calls: StoreCalls): StoreCalls {
  return {
    fetch: (key) => calls.fetch(key + 1),
    create: (fields) => calls.create({ ...fields, amount: fields.amount + 1 }),
    page: (question) => calls.page({ ...question, from: question.from + 1 }),
    many: (keys) => calls.many(keys.slice(1)),
    both: (keys) => calls.both(keys.slice(1)),
    documentFetch: (key) => calls.documentFetch(key + 1),
    documentCreate: ({ id, ...fields }) => calls.documentCreate({ id: `${id}x`, ...fields }),
  };
}

/** Whoever answers wrongly must be noticed, whatever the question: each is asked rightly once, and wrongly once. */
async function tryQuestions(calls: StoreCalls): Promise<void> {
  for (const [n, ask] of Object.values(QUESTIONS).entries()) {
    await ask(calls, n);
    await assert.rejects(ask(wrong(calls), n), /a wrong answer/);
  }
}

/** Makes a program of it that the benchmark can start. */
export function serveStore({ serve, connect, stop }: StoreWay): void {
  let calls: StoreCalls | undefined;
  let counter = 0;
  serveParent({
    calls: {
      serve: async (place: StorePlace) => {
        await serve?.(place);
      },
      connect: async (place: StorePlace) => {
        calls = await connect(place);
        await tryQuestions(calls);
      },
      run: ({ operation, ...load }: StoreLoad) => {
        assert.ok(calls, 'connect comes first');
        const asked = calls;
        const ask = QUESTIONS[operation];
        return closedLoop(() => ask(asked, ++counter), load);
      },
    },
    stop,
  });
}
