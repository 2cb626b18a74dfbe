import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RoutineRows, Page } from '@beds/sdk';
import type { ReplyError } from '#sdk/template';
import type { AdapterScope, StoreAdapter } from '../host/stores/contract.js';
import { storeErrors } from '../host/errors/store.js';
import { writeBundle } from './support/bundles.js';
import { type DataPlane, makeDataPlane } from './support/data-plane.js';
import { eventually, startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

type StoreCode = keyof typeof storeErrors.specs;

const DONE: RoutineRows = { rows: [{ id: 1, text: 'kept' }], sets: [], affected: 1 };

/** What a statement does is its text: a code to fail with, `hang`, or anything else to succeed. */
async function obey(text: unknown): Promise<RoutineRows> {
  if (text === 'hang') return new Promise(() => undefined);
  if (typeof text === 'string' && text in storeErrors.specs) throw storeErrors.make(text as StoreCode);
  return DONE;
}

const inside: AdapterScope = {
  call: (_object, { text }) => obey(text),
  view: (): Promise<Page> => Promise.resolve({ rows: [] }),
};

const adapter = { ...inside, transaction: (work) => work(inside) } as Partial<StoreAdapter> as StoreAdapter;

const STEPS = `for (const text of input.steps) await ctx.call('create', { text });`;
const args = { steps: { type: 'json' } } as const;

const operations = {
  steps: { mode: 'write', args, run: `${STEPS} return 'done';` },
  repeatable: { mode: 'write', args, run: `${STEPS} return 'done';` },
  together: {
    mode: 'write',
    args,
    run: `await Promise.all(input.steps.map((text) => ctx.call('create', { text }))); return 'done';`,
  },
  atomic: {
    mode: 'write',
    args,
    run: `return ctx.transaction(async (calls) => { for (const text of input.steps) await calls.call('create', { text }); });`,
  },
  wait: { mode: 'write', args, run: `await new Promise((resolve) => setTimeout(resolve, 500)); ${STEPS}` },
  forgiving: {
    mode: 'write',
    args,
    run: `for (const text of input.steps) await ctx.call('create', { text }).catch(() => undefined);
      throw Object.defineProperty(Object.assign(new Error('again'), { code: 'BEDS_TEMPLATE_BUSY', status: 'overloaded',
        verdict: 'ack', retryable: true }), Symbol.for('beds.error'), { value: true });`,
  },
  through: { mode: 'write', args, run: `return ctx.domain('tasks').call('steps', input);` },
} as const;

async function plane(): Promise<DataPlane> {
  const made = makeDataPlane(adapter);
  const bundle = notesBundle({ form: 'folder', operations, peers: ['tasks'] });
  await made.prepare(bundle, { ...bundle, domain: 'tasks' });
  made.registry.apply([
    { domain: 'notes', active: 1 },
    { domain: 'tasks', active: 2 },
  ]);
  const operation = made.registry.route('notes')?.active?.operations.get('repeatable');
  Object.assign(operation ?? {}, { repeatable: true });
  return made;
}

async function failureOf(made: DataPlane, op: keyof typeof operations, steps: readonly string[]): Promise<ReplyError> {
  const reply = await made.ask({ op, payload: { steps: [...steps] }, meta: { client: 'c', deadlineMs: 150 } });
  assert.ok(!reply.ok, `${op} ${steps.join()} succeeded`);
  return reply.error;
}

const cases: readonly [
  what: string,
  op: keyof typeof operations,
  steps: readonly string[],
  code: string,
  retryable: boolean,
][] = [
  ['the deadline passes while its statement runs', 'steps', ['hang'], 'BEDS_REQUEST_INDETERMINATE', false],
  ['the deadline passes after one statement', 'steps', ['ok', 'hang'], 'BEDS_REQUEST_INDETERMINATE', false],
  ['the deadline passes in a transaction', 'atomic', ['hang'], 'BEDS_REQUEST_INDETERMINATE', false],
  ['the deadline passes in another domain', 'through', ['hang'], 'BEDS_REQUEST_INDETERMINATE', false],
  ['the deadline passes before any statement', 'wait', ['ok'], 'BEDS_REQUEST_DEADLINE_EXCEEDED', true],
  ['the deadline passes and it may run twice', 'repeatable', ['hang'], 'BEDS_REQUEST_DEADLINE_EXCEEDED', true],
  ['the first statement finds no database', 'steps', ['BEDS_STORE_UNAVAILABLE'], 'BEDS_STORE_UNAVAILABLE', true],
  ['the first statement is told to stop', 'steps', ['BEDS_STORE_TIMEOUT'], 'BEDS_STORE_TIMEOUT', true],
  ['the second finds no place', 'steps', ['ok', 'BEDS_STORE_OVERLOADED'], 'BEDS_STORE_OVERLOADED', false],
  ['the second gives way', 'steps', ['ok', 'BEDS_STORE_DEADLOCK'], 'BEDS_STORE_DEADLOCK', false],
  ['the second finds the host stopping', 'steps', ['ok', 'BEDS_STORE_CLOSED'], 'BEDS_STORE_CLOSED', false],
  ['one fails while another runs', 'together', ['hang', 'BEDS_STORE_UNAVAILABLE'], 'BEDS_STORE_UNAVAILABLE', false],
  ['the second fails in another domain', 'through', ['ok', 'BEDS_STORE_DEADLOCK'], 'BEDS_STORE_DEADLOCK', false],
  ['the second fails and it may run twice', 'repeatable', ['ok', 'BEDS_STORE_DEADLOCK'], 'BEDS_STORE_DEADLOCK', true],
  ['its transaction is rolled back', 'atomic', ['ok', 'BEDS_STORE_DEADLOCK'], 'BEDS_STORE_DEADLOCK', true],
  ['its code says so after a statement', 'forgiving', ['ok'], 'BEDS_TEMPLATE_BUSY', false],
  ['its code says so and nothing was kept', 'forgiving', ['BEDS_STORE_CONFLICT'], 'BEDS_TEMPLATE_BUSY', true],
  ['nobody knows how a statement ended', 'forgiving', ['BEDS_STORE_INDETERMINATE'], 'BEDS_TEMPLATE_BUSY', false],
  ['the database says what nobody knows', 'forgiving', ['BEDS_STORE_FAULT'], 'BEDS_TEMPLATE_BUSY', false],
];

describe('a write that fails', () => {
  for (const [what, op, steps, code, retryable] of cases) {
    it(`is ${retryable ? '' : 'not '}called retryable when ${what}`, async () => {
      const failure = await failureOf(await plane(), op, steps);
      assert.deepEqual([failure.code, failure.retryable], [code, retryable], failure.message);
      if (!retryable) assert.match(failure.hint ?? '', /[Rr]ead/);
    });
  }

  it('is in doubt, and done once, when the database is slower than its deadline', async (t) => {
    const host = await startTestHost(t, { services });
    const slow = `await ctx.call('create', { text: 'kept', mark: 'kept' }); await ctx.call('slow', { ms: 800 });`;
    await writeBundle(
      host.pluginsDirectory,
      notesBundle({ operations: { late: { mode: 'write', run: `${slow} return 'done';` } } }),
    );
    await host.active('notes', '1.0.0');
    const notes = (await host.connectClient()).domain('notes');
    await assert.rejects(notes.call('late', {}, { deadlineMs: 300 }), {
      code: 'BEDS_REQUEST_INDETERMINATE',
      retryable: false,
    });
    await eventually('the record that the caller is told to look for', async () => {
      return (await notes.fetch({ where: { mark: 'kept' } })).rows.length === 1;
    });
  });
});
