import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Json } from '@beds/sdk';
import { Access, type ResolveSession } from '../host/access/access.js';
import { ProgramPolicy } from '../host/access/programs.js';
import { requestErrors } from '../host/errors/request.js';
import { storeErrors } from '../host/errors/store.js';
import type { CallOptions, KeyedQuery, StoreAdapter } from '../host/stores/contract.js';
import type { BundleOptions } from './support/bundles.js';
import { type DataPlane, makeDataPlane, type PlaneOptions } from './support/data-plane.js';
import { eventually } from './support/eventually.js';

const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex');

interface Person {
  readonly id: string;
  readonly roles?: readonly string[];
}

/** What `sessions.resolve` answers, for tokens that are named like their users. */
function sessionOf({ id, roles = [] }: Person, more: Readonly<Record<string, Json>> = {}): Json {
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  return {
    user: { id, name: `${id} of Zug`, roles },
    session: `public-${id}`,
    expiresAt,
    idleUntil: expiresAt,
    ...more,
  };
}

const PEOPLE: readonly Person[] = [
  { id: 'ann' },
  { id: 'bob', roles: ['clerk'] },
  { id: 'eve', roles: ['admin', 'clerk'] },
];

/** Sessions of these people, and how often each was asked for. */
function sessions(): { readonly resolve: ResolveSession; readonly asked: string[] } {
  const asked: string[] = [];
  const resolve: ResolveSession = (tokenHash) => {
    const person = PEOPLE.find(({ id }) => hashOf(`token-of-${id}`) === tokenHash);
    asked.push(person?.id ?? 'nobody');
    return Promise.resolve(person === undefined ? null : sessionOf(person));
  };
  return { resolve, asked };
}

const as = (id: string): { readonly meta: { readonly session: string } } => ({ meta: { session: `token-of-${id}` } });

async function serving(
  bundle: BundleOptions,
  options: PlaneOptions = { resolve: sessions().resolve },
  adapter = {} as StoreAdapter,
): Promise<DataPlane> {
  const plane = makeDataPlane(adapter, [], options);
  await plane.prepare(bundle);
  plane.registry.apply([{ domain: 'notes', active: 1 }]);
  return plane;
}

/** What came of a request: its data, or the code of its error. */
async function outcome(plane: DataPlane, request: Parameters<DataPlane['ask']>[0]): Promise<unknown> {
  const reply = await plane.ask(request);
  return reply.ok ? reply.data : reply.error.code;
}

const [FORBIDDEN, SIGN_IN] = ['BEDS_REQUEST_FORBIDDEN', 'BEDS_REQUEST_SIGN_IN'];
const SAYS_WHO = { mode: 'read', run: 'return ctx.user ?? null;' } as const;
const GUARDED: BundleOptions = {
  operations: {
    open: SAYS_WHO,
    mine: SAYS_WHO,
    office: SAYS_WHO,
    inside: SAYS_WHO,
    big: { mode: 'read', args: { size: { type: 'integer' } }, run: 'return "done";' },
    later: { mode: 'read', run: 'return "done";' },
    broken: { mode: 'read', run: 'return "done";' },
  },
  access: {
    open: 'anyone',
    mine: 'signed-in',
    office: ['clerk', 'auditor'],
    inside: 'host',
    big: 'return user.id === "ann" && input.size > 2;',
    later: 'return Promise.resolve(true);',
    broken: 'return user.no.such.thing;',
    update: 'return input.id === user.id && !("hidden" in input);',
    delete: 'return input.id === user.id;',
  },
};

describe('who may call an operation', () => {
  it('is what its template says: anyone, users, roles, or code', async () => {
    const plane = await serving(GUARDED);
    const ann = { id: 'ann', name: 'ann of Zug', roles: [], session: 'public-ann' };
    assert.equal(await outcome(plane, { op: 'open' }), null);
    assert.deepEqual(await outcome(plane, { op: 'open', ...as('ann') }), ann);
    assert.equal(await outcome(plane, { op: 'mine' }), SIGN_IN);
    assert.deepEqual(await outcome(plane, { op: 'mine', ...as('ann') }), ann);
    assert.equal(await outcome(plane, { op: 'office' }), SIGN_IN);
    assert.equal(await outcome(plane, { op: 'office', ...as('ann') }), FORBIDDEN);
    assert.equal(((await outcome(plane, { op: 'office', ...as('bob') })) as Person).id, 'bob');
    const big = async (who: object, payload: object): Promise<unknown> =>
      outcome(plane, { op: 'big', payload: payload as never, ...who });
    assert.equal(await big({}, { size: 3 }), SIGN_IN);
    assert.equal(await big(as('ann'), { size: 3 }), 'done');
    assert.equal(await big(as('ann'), { size: 2 }), FORBIDDEN);
    assert.equal(await big(as('ann'), { size: 'many' }), 'BEDS_REQUEST_INVALID', 'code sees what has been checked');
    assert.equal(await big(as('bob'), { size: 3 }), FORBIDDEN);
    assert.equal(await outcome(plane, { op: 'later', ...as('ann') }), FORBIDDEN, 'a promise is no consent');
    assert.equal(await outcome(plane, { op: 'broken', ...as('ann') }), 'BEDS_REQUEST_TEMPLATE_FAULT');
  });

  it('holds for the four as well, before anything of them runs', async () => {
    const plane = await serving(GUARDED);
    const change = { op: 'update', payload: { text: 'x' } };
    assert.equal(await outcome(plane, { ...change, key: 'ann' }), SIGN_IN);
    assert.equal(await outcome(plane, { ...change, key: 'bob', ...as('ann') }), FORBIDDEN);
    assert.deepEqual(await outcome(plane, { ...change, key: 'ann', ...as('ann') }), { id: 'ann', text: 'x' });
    assert.equal(await outcome(plane, { op: 'delete', key: 'bob', ...as('ann') }), FORBIDDEN);
    assert.deepEqual(await outcome(plane, { op: 'delete', key: 'ann', ...as('ann') }), { id: 'ann' });
    assert.deepEqual(plane.entered.length > 0, true);
  });

  it('is what the host says where the template says nothing, and nobody is kept from the description', async () => {
    const silent = { operations: { plain: SAYS_WHO, open: SAYS_WHO }, access: { open: 'anyone' } };
    const { resolve } = sessions();
    const plane = await serving(silent, { resolve, config: { security: { defaultAccess: 'signed-in' } } });
    assert.equal(await outcome(plane, { op: 'plain' }), SIGN_IN);
    assert.equal(await outcome(plane, { op: 'fetch' }), SIGN_IN);
    assert.equal(await outcome(plane, { op: 'open' }), null);
    assert.equal(((await outcome(plane, { op: 'plain', ...as('ann') })) as Person).id, 'ann');
    const described = (await outcome(plane, { op: 'describe' })) as {
      operations: Record<string, { access?: unknown }>;
    };
    assert.deepEqual(
      [described.operations['open']?.access, described.operations['plain']?.access],
      ['anyone', undefined],
    );
  });

  it('of a view that may be fetched is its own, or that of fetch', async () => {
    const columns = { id: { type: 'integer' } };
    const view: StoreAdapter['view'] = ({ name }) => Promise.resolve({ rows: [{ id: name }] });
    const seen = (name: string, access?: unknown): object => ({
      ...{ kind: 'view', name, columns, fetchable: true },
      ...(access !== undefined && { access }),
    });
    const plane = await serving(
      {
        objects: {
          fetch: { kind: 'view', name: 'all', columns },
          open: seen('open', 'anyone'),
          office: seen('office', ['clerk']),
          same: seen('same'),
        },
        access: { fetch: 'signed-in' },
        body: { fetchRecords: `return ctx.view('fetch', query);` },
      },
      { resolve: sessions().resolve },
      { view } as StoreAdapter,
    );
    const fetch = async (viewed: string | undefined, who = {}): Promise<unknown> =>
      outcome(plane, { op: 'fetch', query: viewed === undefined ? {} : { view: viewed }, ...who });
    assert.deepEqual(await fetch('open'), [{ id: 'open' }]);
    assert.deepEqual([await fetch(undefined), await fetch('same'), await fetch('office')], [SIGN_IN, SIGN_IN, SIGN_IN]);
    assert.deepEqual(
      [await fetch(undefined, as('ann')), await fetch('same', as('ann'))],
      [[{ id: 'all' }], [{ id: 'same' }]],
    );
    assert.equal(await fetch('office', as('ann')), FORBIDDEN);
    assert.deepEqual(await fetch('office', as('bob')), [{ id: 'office' }]);
  });

  it('is hosts alone where it says so, whose account RabbitMQ has checked', async () => {
    const plane = await serving(GUARDED);
    assert.equal(await outcome(plane, { op: 'inside' }), FORBIDDEN);
    assert.equal(await outcome(plane, { op: 'inside', ...as('eve') }), FORBIDDEN);
    assert.equal(await outcome(plane, { op: 'inside', userId: 'shop' }), FORBIDDEN);
    assert.equal(await outcome(plane, { op: 'inside', userId: 'host' }), null);
  });

  it('is what both the program and the user may', async () => {
    const callers = { shop: { domains: ['notes'], operations: ['open', 'mine'] }, other: { domains: ['cities'] } };
    const plane = await serving(GUARDED, { resolve: sessions().resolve, config: { callers } });
    assert.equal(await outcome(plane, { op: 'open', userId: 'shop' }), null);
    assert.equal(await outcome(plane, { op: 'mine', userId: 'shop' }), SIGN_IN);
    assert.equal(await outcome(plane, { op: 'office', userId: 'shop', ...as('eve') }), FORBIDDEN);
    assert.equal(await outcome(plane, { op: 'open', userId: 'other' }), FORBIDDEN);
    assert.equal(await outcome(plane, { op: 'open', userId: 'unknown' }), FORBIDDEN);
    assert.equal(await outcome(plane, { op: 'open' }), FORBIDDEN, 'it does not say which program asks');
    assert.equal(await outcome(plane, { op: 'no-such', userId: 'other' }), FORBIDDEN, 'nor is it told what there is');
    assert.equal(await outcome(plane, { op: 'open', userId: 'host' }), null);
  });

  it('is of a copy that a host made what the original may, and a host alone can say so', async () => {
    const callers = { shop: { domains: ['notes'], operations: ['open'] }, other: { domains: ['cities'] } };
    const plane = await serving(GUARDED, { resolve: sessions().resolve, config: { callers } });
    const copy = (op: string, inNameOf: string, userId = 'host'): Promise<unknown> =>
      outcome(plane, { op, userId, inNameOf });
    assert.deepEqual([await copy('open', 'shop'), await copy('open', 'host')], [null, null]);
    assert.deepEqual([await copy('open', 'other'), await copy('open', '')], [FORBIDDEN, FORBIDDEN]);
    assert.deepEqual([await copy('inside', 'host'), await copy('inside', 'shop')], [null, FORBIDDEN]);
    assert.equal(await copy('open', 'shop', 'other'), FORBIDDEN);
    const named = { op: 'open', meta: { asDomain: 'orders' } };
    assert.equal(await outcome(plane, { ...named, userId: 'host' }), null);
    assert.equal(await outcome(plane, { ...named, userId: 'host', inNameOf: 'shop' }), FORBIDDEN);
    const programs = new ProgramPolicy({}, 'amqp://host:secret@localhost');
    const copied = programs.copyInNameOf({ userId: 'shop', headers: { 'beds-in-name-of': 'host' } });
    assert.deepEqual(copied, { userId: 'host', headers: { 'beds-in-name-of': 'shop' } });
    assert.deepEqual(programs.copyInNameOf(copied), copied, 'a copy of a copy is the same');
  });
});

describe('the session of a request', () => {
  it('counts also where anyone may ask: it is nobody’s, or cannot be found out', async () => {
    let isAway = false;
    const { resolve } = sessions();
    const plane = await serving(GUARDED, {
      resolve: (tokenHash, timeoutMs) =>
        isAway ? Promise.reject(storeErrors.make('BEDS_STORE_UNAVAILABLE')) : resolve(tokenHash, timeoutMs),
    });
    assert.equal(await outcome(plane, { op: 'open', ...as('mallory') }), SIGN_IN);
    assert.equal(
      await outcome(plane, { op: 'open', meta: { session: 'a.b.c' } }),
      SIGN_IN,
      'no provider is configured',
    );
    isAway = true;
    const reply = await plane.ask({ op: 'open', ...as('ann') });
    assert.deepEqual(!reply.ok && [reply.error.code, reply.error.retryable], [
      'BEDS_REQUEST_SESSION_UNAVAILABLE',
      true,
    ]);
    assert.equal(await outcome(plane, { op: 'open', ...as('mallory') }), SIGN_IN, 'what was said a moment ago');
    assert.equal(await outcome(plane, { op: 'open' }), null);
  });

  it('that has ended leaves it open whether a write that was delivered before was carried out', async () => {
    const plane = await serving(GUARDED);
    const change = { op: 'create', payload: {}, isWrite: true };
    assert.equal(await outcome(plane, { ...change, ...as('mallory') }), SIGN_IN);
    const again = { ...change, ...as('mallory'), redelivered: true };
    assert.equal(await outcome(plane, again), 'BEDS_REQUEST_INDETERMINATE');
    const away = await serving(GUARDED, { resolve: () => Promise.reject(storeErrors.make('BEDS_STORE_UNAVAILABLE')) });
    assert.equal(await outcome(away, again), 'BEDS_REQUEST_INDETERMINATE');
  });

  it('that nobody tells whose it is leaves time for an answer before the caller gives up', async () => {
    const plane = await serving(GUARDED, { resolve: () => new Promise(() => undefined) });
    const deadlineMs = 1_000;
    const answer = outcome(plane, { op: 'open', meta: { session: 'ann', deadlineMs } });
    // n.b. of two timers of one process the one that is due first ends first, however busy that is.
    assert.equal(await Promise.race([answer, delay(deadlineMs, 'too late')]), 'BEDS_REQUEST_DEADLINE_EXCEEDED');
  });

  it('may be as long as the tokens of providers are', async () => {
    const plane = await serving(GUARDED);
    assert.equal(await outcome(plane, { op: 'open', meta: { session: 'x'.repeat(8_192) } }), SIGN_IN);
    assert.equal(await outcome(plane, { op: 'open', meta: { session: 'x'.repeat(8_193) } }), 'BEDS_REQUEST_MALFORMED');
  });

  it('is asked for once by all who come at once, and kept', async () => {
    const { resolve, asked } = sessions();
    const plane = await serving(GUARDED, { resolve });
    await outcome(plane, { op: 'open', ...as('eve') });
    const all = Array.from({ length: 50 }, (_, n) =>
      outcome(plane, { op: n % 2 === 0 ? 'open' : 'mine', ...as('ann') }),
    );
    for (const user of await Promise.all(all)) assert.equal((user as Person).id, 'ann');
    await outcome(plane, { op: 'mine', ...as('ann') });
    assert.deepEqual(asked, ['eve', 'ann']);
  });

  it('is not what code can reach', async () => {
    const look = {
      mode: 'read',
      run: `
        const seen = [];
        const walk = (value, depth) => {
          if (typeof value === 'string') seen.push(value);
          if (depth > 5 || value === null || (typeof value !== 'object' && typeof value !== 'function')) return;
          for (let at = value; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at))
            for (const name of Reflect.ownKeys(at)) { try { walk(value[name], depth + 1); } catch {} }
        };
        walk(ctx, 0); walk(input, 0);
        return seen.some((text) => text.includes('token-of'));`,
    } as const;
    const plane = await serving({ operations: { look } });
    assert.equal(await outcome(plane, { op: 'look', ...as('ann') }), false);
  });

  it('gives code a user that it cannot change', async () => {
    const change = {
      mode: 'read',
      run: `try { ctx.user.id = 'eve'; } catch {} try { ctx.user.roles.push('admin'); } catch {} return ctx.user;`,
    } as const;
    const plane = await serving({ operations: { change } });
    for (let n = 0; n < 2; n += 1) {
      const user = (await outcome(plane, { op: 'change', ...as('ann') })) as Person;
      assert.deepEqual([user.id, user.roles], ['ann', []]);
    }
  });
});

describe('what is kept of sessions', () => {
  const security = { sessionCacheMs: 60_000, sessionCacheEntries: 3 };
  const made = (resolve: ResolveSession): Access => {
    const access: Access = new Access({ security, resolve, listen: () => access.listening(true) });
    return access;
  };

  it('is bounded, and tokens that are made up push out nobody', async () => {
    const access = made((tokenHash) =>
      Promise.resolve(['a', 'b', 'c', 'd'].map(hashOf).includes(tokenHash) ? sessionOf({ id: tokenHash }) : null),
    );
    for (const token of ['a', 'b', 'c', 'd']) await access.ask(token, 1_000);
    assert.equal(access.size, 3);
    for (let n = 0; n < 2_000; n += 1) await access.ask(`made-up-${String(n)}`, 1_000);
    assert.equal(access.size, 3);
    assert.deepEqual(access.known('d', performance.now())?.id, hashOf('d'));
    assert.equal(access.known('a', performance.now()), undefined);
  });

  it('ends with the session, and with a revocation of it or of its user', async () => {
    const access = made((tokenHash) =>
      Promise.resolve(
        sessionOf(
          { id: tokenHash === hashOf('b') ? 'b' : 'a' },
          {
            session: tokenHash.slice(0, 8),
            idleUntil: Date.now() + (tokenHash === hashOf('short') ? 50 : 60_000),
          },
        ),
      ),
    );
    for (const token of ['a1', 'a2', 'b']) await access.ask(token, 1_000);
    // n.b. the one that is asked for again and again is known more quickly, and forgotten as well.
    for (let time = 0; time < 2; time += 1) assert.equal(access.known('a1', performance.now())?.id, 'a');
    access.revoke({ session: hashOf('a1').slice(0, 8) });
    assert.deepEqual(
      [
        access.known('a1', performance.now()),
        access.known('a2', performance.now())?.id,
        access.known('b', performance.now())?.id,
      ],
      [undefined, 'a', 'b'],
    );
    access.revoke({ user: 'a' });
    assert.deepEqual(
      [access.known('a2', performance.now()), access.known('b', performance.now())?.id],
      [undefined, 'b'],
    );
    await access.ask('short', 1_000);
    assert.equal(access.known('short', performance.now())?.id, 'a');
    await eventually('it has ended', () => access.known('short', performance.now()) === undefined, 2_000);
  });

  it('is nothing of what was asked before a revocation and answered after it', async () => {
    const answers: ((answer: Json) => void)[] = [];
    const access = made(() => new Promise((resolve) => answers.push(resolve)));
    const before = access.ask('a', 1_000);
    await eventually('it is asked', () => answers.length === 1);
    access.revoke({ user: 'someone' });
    const after = access.ask('a', 1_000);
    await eventually('it is asked anew', () => answers.length === 2);
    answers[0]?.(sessionOf({ id: 'a' }));
    assert.equal((await before)?.id, 'a');
    assert.equal(access.known('a', performance.now()), undefined, 'that may have been true before');
    answers[1]?.(null);
    assert.equal(await after, undefined);
    assert.equal(access.known('a', performance.now()), null);
  });

  it('is nothing of what was asked in the turn of a revocation, and answered after another one', async () => {
    const answers: ((answer: Json) => void)[] = [];
    const access = made(() => new Promise((resolve) => answers.push(resolve)));
    const asked = access.ask('a', 1_000);
    access.revoke({ user: 'someone' });
    await eventually('it is asked', () => answers.length === 1);
    access.revoke({ user: 'a' });
    answers[0]?.(sessionOf({ id: 'a' }));
    assert.equal((await asked)?.id, 'a');
    assert.equal(access.known('a', performance.now()), undefined);
  });

  it('is nothing while revocations cannot be heard', async () => {
    let asked = 0;
    const access = made(() => {
      asked += 1;
      return Promise.resolve(sessionOf({ id: 'a' }));
    });
    await access.ask('a', 1_000);
    assert.equal(access.known('a', performance.now())?.id, 'a');
    access.listening(false);
    assert.equal(access.known('a', performance.now()), undefined);
    await access.ask('a', 1_000);
    assert.equal(access.known('a', performance.now()), undefined);
    access.listening(true);
    await access.ask('a', 1_000);
    assert.deepEqual([access.known('a', performance.now())?.id, asked], ['a', 3]);
  });

  it('is no answer that is not what was agreed', async () => {
    const wrong: readonly Json[] = [
      {},
      { user: { id: 'a' } },
      'yes',
      sessionOf({ id: '' }),
      sessionOf({ id: 'a ' }),
      sessionOf({ id: 'a', roles: [7.5] as never }),
      sessionOf({ id: 'a' }, { expiresAt: 'soon' }),
    ];
    for (const answer of wrong) {
      const access = made(() => Promise.resolve(answer));
      await assert.rejects(access.ask('a', 1_000), { code: 'BEDS_REQUEST_SESSION_UNAVAILABLE' });
    }
    const padded = made(() => Promise.resolve(sessionOf({ id: 'a', roles: ['admin ', 'clerk'] })));
    assert.deepEqual((await padded.ask('a', 1_000))?.roles, ['clerk'], 'a database takes both for the same');
    const over = made(() => Promise.resolve(sessionOf({ id: 'a' }, { expiresAt: Date.now() - 1 })));
    assert.equal(await over.ask('a', 1_000), undefined);
  });

  it('takes at most 20 MB for 10,000 sessions', async () => {
    const roles = ['customer', 'newsletter', 'beta'];
    const access: Access = new Access({
      security: { ...security, sessionCacheEntries: 10_000 },
      resolve: (id) => Promise.resolve(sessionOf({ id, roles })),
      listen: () => access.listening(true),
    });
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    gc();
    const before = process.memoryUsage().heapUsed;
    for (let n = 0; n < 10_000; n += 1) await access.ask(`bs_${String(n)}`, 1_000);
    gc();
    assert.equal(access.size, 10_000);
    assert.ok(process.memoryUsage().heapUsed - before < 20e6);
  });
});

describe('a domain that calls another one', () => {
  const peered = (asDomain: readonly string[] = []): BundleOptions => ({
    peers: ['notes'],
    ...(asDomain.length > 0 && { asDomain }),
    operations: {
      ...GUARDED.operations,
      through: {
        mode: 'read',
        args: { op: { type: 'string' } },
        run: `return ctx.domain('notes').call(input.op, input.op === 'big' ? { size: 3 } : {});`,
      },
    },
    access: { ...GUARDED.access, through: 'anyone' },
  });
  const through = (op: string, who = {}): Parameters<DataPlane['ask']>[0] => ({
    op: 'through',
    payload: { op },
    ...who,
  });

  it('calls it for the user, who gains nothing by it', async () => {
    const plane = await serving(peered());
    assert.equal(((await outcome(plane, through('mine', as('ann')))) as Person).id, 'ann');
    assert.equal(await outcome(plane, through('mine')), SIGN_IN);
    assert.equal(await outcome(plane, through('office', as('ann'))), FORBIDDEN);
    assert.equal(await outcome(plane, through('inside', { userId: 'host', ...as('eve') })), FORBIDDEN);
  });

  it('may call it in its own name, where its template says so: then there is no user', async () => {
    const plane = await serving(peered(['notes']));
    assert.equal(await outcome(plane, through('mine')), null);
    assert.equal(await outcome(plane, through('office', as('ann'))), null);
    assert.equal(await outcome(plane, through('big', as('ann'))), FORBIDDEN, 'code decides for users only');
    assert.equal(await outcome(plane, through('inside', as('eve'))), FORBIDDEN);
  });
});

describe('rows and arguments that are bound to the user', () => {
  const columns = { id: { type: 'integer' }, owner: { type: 'string' }, role: { type: 'string' } };
  const bundle: BundleOptions = {
    peers: ['notes'],
    asDomain: ['notes'],
    objects: {
      fetch: { kind: 'view', name: 'mine', columns, where: { owner: 'user.id' }, share: true },
      office: { kind: 'view', name: 'office', columns, where: { role: 'user.roles' }, fetchable: true },
      close: {
        kind: 'procedure',
        name: 'close',
        args: { id: { type: 'integer' } },
        bind: {
          owner: { from: 'user.id', value: { type: 'string' } },
          roles: { from: 'user.roles', value: { type: 'list', items: { type: 'string' } } },
        },
      },
      number: {
        kind: 'procedure',
        name: 'number',
        args: {},
        bind: { owner: { from: 'user.id', value: { type: 'integer' } } },
      },
    },
    body: { fetchRecords: `return ctx.view('fetch', query);` },
    operations: {
      inside: { mode: 'read', run: `return ctx.transaction(async (tx) => (await tx.view('fetch', {})).rows);` },
      crafted: { mode: 'read', run: `return (await ctx.view('fetch', { rows: { owner: 'bob' } })).rows;` },
      close: { mode: 'write', args: { id: { type: 'integer' } }, run: `return ctx.call('close', input);` },
      forge: { mode: 'write', run: `return ctx.call('close', { id: 1, owner: 'bob' });` },
      number: { mode: 'write', run: `return ctx.call('number', {});` },
      raised: { mode: 'read', run: `return (await ctx.domain('notes').fetch({})).rows;` },
    },
  };

  /** A store that answers with what it was asked. */
  function store(): { readonly adapter: StoreAdapter; readonly seen: KeyedQuery[] } {
    const seen: KeyedQuery[] = [];
    const view: StoreAdapter['view'] = async (_object, query) => {
      seen.push(query);
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { rows: [{ rows: (query.rows ?? null) as Json }] };
    };
    const call: StoreAdapter['call'] = (_object, args) =>
      Promise.resolve({ rows: [], sets: [], affected: 1, args } as never);
    const transaction: StoreAdapter['transaction'] = (work, options: CallOptions) =>
      work({
        call: (object, args) => call(object, args, options),
        view: (object, query) => view(object, query, options),
      });
    return { adapter: { view, call, transaction } as StoreAdapter, seen };
  }

  it('are bound for every read, and refused where nobody is signed in', async () => {
    const { adapter } = store();
    const plane = await serving(bundle, undefined, adapter);
    const mine = [{ rows: { owner: 'ann' } }];
    assert.deepEqual(await outcome(plane, { op: 'fetch', ...as('ann') }), mine);
    assert.deepEqual(await outcome(plane, { op: 'fetch', key: 7, ...as('ann') }), mine);
    assert.deepEqual(await outcome(plane, { op: 'inside', ...as('ann') }), mine);
    assert.deepEqual(await outcome(plane, { op: 'fetch', query: { view: 'office' }, ...as('eve') }), [
      { rows: { role: { in: ['admin', 'clerk'] } } },
    ]);
    for (const request of [{ op: 'fetch' }, { op: 'fetch', key: 7 }, { op: 'inside' }]) {
      assert.equal(await outcome(plane, request), SIGN_IN);
    }
    assert.equal(await outcome(plane, { op: 'raised', ...as('ann') }), FORBIDDEN, 'a domain is no user');
    assert.equal(await outcome(plane, { op: 'crafted', ...as('ann') }), 'BEDS_REQUEST_INVALID');
    const given = { rows: { owner: 'bob' } } as never;
    assert.equal(await outcome(plane, { op: 'fetch', query: given, ...as('ann') }), 'BEDS_REQUEST_INVALID');
  });

  it('are shared by nobody else, where reads are shared', async () => {
    const { adapter, seen } = store();
    const plane = await serving(bundle, undefined, adapter);
    for (const id of ['ann', 'bob']) await outcome(plane, { op: 'fetch', ...as(id) });
    seen.length = 0;
    const asked = ['ann', 'bob', 'ann', 'bob', 'bob'].map(
      async (id) => [id, await outcome(plane, { op: 'fetch', ...as(id) })] as const,
    );
    for (const [id, rows] of await Promise.all(asked)) assert.deepEqual(rows, [{ rows: { owner: id } }]);
    assert.equal(seen.length, 2);
  });

  it('are given by neither caller nor code', async () => {
    const passed: unknown[] = [];
    const call: StoreAdapter['call'] = (_object, args) => {
      passed.push(args);
      return Promise.resolve({ rows: [], sets: [], affected: 1 });
    };
    const plane = await serving(bundle, undefined, { call } as StoreAdapter);
    assert.deepEqual(await outcome(plane, { op: 'close', payload: { id: 1 }, ...as('eve') }), { affected: 1 });
    assert.deepEqual(passed, [{ id: 1, owner: 'eve', roles: ['admin', 'clerk'] }]);
    assert.equal(await outcome(plane, { op: 'close', payload: { id: 1 } }), SIGN_IN);
    assert.equal(
      await outcome(plane, { op: 'close', payload: { id: 1, owner: 'bob' }, ...as('ann') }),
      'BEDS_REQUEST_INVALID',
    );
    assert.equal(await outcome(plane, { op: 'forge', ...as('ann') }), 'BEDS_REQUEST_INVALID');
    assert.equal(await outcome(plane, { op: 'number', ...as('ann') }), FORBIDDEN, 'whose id is no number owns none');
    assert.equal(passed.length, 1);
  });
});

describe('a copy for a shadow', () => {
  it('is made for the same user, who may no more there', async () => {
    const plane = makeDataPlane({} as StoreAdapter, [], { resolve: sessions().resolve });
    const says = {
      mode: 'read',
      run: 'globalThis.seen = [...(globalThis.seen ?? []), ctx.user?.id]; return globalThis.seen;',
    } as const;
    await plane.prepare({ operations: { says } }, { operations: { says } });
    const candidate = { generation: 2, percent: 0, salt: 1, shadowPercent: 100 };
    plane.registry.apply([{ domain: 'notes', active: 1, candidate }]);
    await plane.ask({ op: 'says', ...as('ann') });
    await eventually('the copy has run', () => plane.entered.includes(2));
    plane.registry.apply([{ domain: 'notes', active: 2 }]);
    assert.deepEqual(await outcome(plane, { op: 'says', ...as('eve') }), ['ann', 'eve']);
  });
});

describe('the errors of access', () => {
  it('are one for whoever may not, whatever is there', () => {
    const { status, verdict, retryable } = requestErrors.make('BEDS_REQUEST_FORBIDDEN');
    assert.deepEqual([status, verdict, retryable], ['forbidden', 'ack', false]);
  });
});
