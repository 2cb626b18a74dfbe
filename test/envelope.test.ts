import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BedsError, isBedsError } from '@beds/sdk';
import { decodeMessage } from '../host/request/decode.js';

const LIMITS = { maxBodyBytes: 10_000, maxDepth: 8, maxKeys: 100, maxBatch: 3 } as const;
const JSON_TYPE = { contentType: 'application/json' } as const;
const valid = { v: 1, id: 'a', domain: 'cities', op: 'fetch', query: { limit: 1 }, meta: { client: 'test' } } as const;

function decode(
  body: unknown,
  properties: Parameters<typeof decodeMessage>[1] = JSON_TYPE,
): ReturnType<typeof decodeMessage> {
  return decodeMessage(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), properties, LIMITS);
}

/** Names of one letter and a number. */
function letters(count: number): readonly (readonly [string, number])[] {
  return Array.from({ length: count }, (_, index) => [`x${String(index)}`, index]);
}

function refusal(work: () => unknown): BedsError {
  try {
    work();
  } catch (error) {
    assert.ok(isBedsError(error), String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'it was accepted' });
}

describe('decoding a message', () => {
  it('accepts one envelope and an array of them', () => {
    assert.deepEqual(decode(valid), { requests: [valid], isBatch: false });
    assert.deepEqual(decode([valid, valid]), { requests: [valid, valid], isBatch: true });
  });

  it('accepts a message without content type, as plain clients send it', () => {
    assert.equal(decode(valid, {}).requests.length, 1);
  });

  const wrong: readonly [what: string, body: unknown, code: string, field?: string][] = [
    ['no JSON', '{', 'BEDS_REQUEST_MALFORMED'],
    ['a number', '7', 'BEDS_REQUEST_MALFORMED'],
    ['null in a batch', '[null]', 'BEDS_REQUEST_MALFORMED', '[0]'],
    ['an empty batch', '[]', 'BEDS_REQUEST_TOO_COMPLEX'],
    ['a batch that is too long', [valid, valid, valid, valid], 'BEDS_REQUEST_TOO_COMPLEX'],
    ['another version', { ...valid, v: 2 }, 'BEDS_REQUEST_MALFORMED', 'v'],
    ['a missing id', { ...valid, id: undefined }, 'BEDS_REQUEST_MALFORMED', 'id'],
    ['an empty domain', { ...valid, domain: '' }, 'BEDS_REQUEST_MALFORMED', 'domain'],
    ['an id that is too long', { ...valid, id: 'x'.repeat(256) }, 'BEDS_REQUEST_MALFORMED', 'id'],
    ['an unknown field', { ...valid, extra: 1 }, 'BEDS_REQUEST_MALFORMED', 'extra'],
    ['a field whose name is none', { ...valid, 'no name': 1 }, 'BEDS_REQUEST_MALFORMED'],
    ['a field named like a method of objects', { ...valid, toString: 1 }, 'BEDS_REQUEST_MALFORMED', 'toString'],
    ['a list as query', { ...valid, query: [{}] }, 'BEDS_REQUEST_MALFORMED', 'query'],
    [
      'a time of sending in seconds',
      { ...valid, meta: { client: 'x', sentAt: 1_764_000_000 } },
      'BEDS_REQUEST_MALFORMED',
      'meta.sentAt',
    ],
    [
      'a time of sending as text',
      { ...valid, meta: { client: 'x', sentAt: '2026-01-01T00:00:00Z' } },
      'BEDS_REQUEST_MALFORMED',
      'meta.sentAt',
    ],
    ['an array as payload', { ...valid, payload: [] }, 'BEDS_REQUEST_MALFORMED', 'payload'],
    ['an object as key', { ...valid, key: {} }, 'BEDS_REQUEST_MALFORMED', 'key'],
    ['a number as client', { ...valid, meta: { client: 7 } }, 'BEDS_REQUEST_MALFORMED', 'meta.client'],
    ['null where something is needed', { ...valid, id: null }, 'BEDS_REQUEST_MALFORMED', 'id'],
    ['an unknown name that is null', { ...valid, Query: null }, 'BEDS_REQUEST_MALFORMED', 'Query'],
    ['unknown meta', { ...valid, meta: { client: 'x', y: 1 } }, 'BEDS_REQUEST_MALFORMED', 'meta.y'],
    [
      'a deadline in the past',
      { ...valid, meta: { client: 'x', deadlineMs: 0 } },
      'BEDS_REQUEST_MALFORMED',
      'meta.deadlineMs',
    ],
    ['a wrong field in a batch', [valid, { ...valid, op: 3 }], 'BEDS_REQUEST_MALFORMED', '[1].op'],
    ['deep nesting', `${'['.repeat(9)}${']'.repeat(9)}`, 'BEDS_REQUEST_TOO_COMPLEX'],
    ['many elements', JSON.stringify(Array.from({ length: 200 }, () => 0)), 'BEDS_REQUEST_TOO_COMPLEX'],
    ['a large body', `"${'x'.repeat(10_001)}"`, 'BEDS_REQUEST_TOO_LARGE'],
    [
      '__proto__ as a key',
      '{"v":1,"id":"a","domain":"d","op":"create","payload":{"__proto__":{"x":1}}}',
      'BEDS_REQUEST_FORBIDDEN_KEY',
    ],
    ['constructor deep inside', { ...valid, payload: { a: [{ constructor: 1 }] } }, 'BEDS_REQUEST_FORBIDDEN_KEY'],
    [
      'prototype written with escapes',
      '{"v":1,"id":"a","domain":"d","op":"create","payload":{"pr\\u006ftotype":1}}',
      'BEDS_REQUEST_FORBIDDEN_KEY',
    ],
  ];
  for (const [what, body, code, field] of wrong) {
    it(`refuses ${what} with ${code}`, () => {
      const error = refusal(() => decode(body));
      assert.equal(error.code, code);
      assert.equal(error.field, field);
      assert.equal(error.verdict, 'reject');
    });
  }

  it('accepts forbidden names as values', () => {
    assert.equal(decode({ ...valid, payload: { name: '__proto__' } }).requests.length, 1);
  });

  it('is not misled by brackets and quotes inside strings', () => {
    assert.equal(decode({ ...valid, payload: { text: `${'['.repeat(50)}"\\"{` } }).requests.length, 1);
  });

  it('refuses other content types, encodings and bytes that are not UTF-8', () => {
    assert.equal(refusal(() => decode(valid, { contentType: 'text/plain' })).code, 'BEDS_REQUEST_CONTENT_TYPE');
    assert.equal(refusal(() => decode(valid, { contentEncoding: 'gzip' })).code, 'BEDS_REQUEST_CONTENT_TYPE');
    const latin1 = Buffer.from('{"v":1,"id":"\xe9"}', 'latin1');
    assert.equal(refusal(() => decodeMessage(latin1, JSON_TYPE, LIMITS)).code, 'BEDS_REQUEST_CONTENT_TYPE');
  });

  it('never repeats a value in an error, nor a name that may be one', () => {
    const names = ['secret name', 'secret@example.org', 'x'.repeat(65), '7secret', 'sécret', ''];
    const odd = Object.fromEntries(names.map((name) => [name, 'secret-value']));
    for (const body of [
      { ...valid, extra: 'secret-value' },
      { ...valid, ...odd },
      { ...valid, meta: { client: 'secret-value', ...odd } },
    ]) {
      const error = refusal(() => decode(body));
      assert.doesNotMatch(JSON.stringify([error.code, error.message, error.field, error.hint]), /s[eé]cret|xxx/);
    }
  });

  it('costs little where thousands of names are unknown, alone or in a batch', () => {
    const limits = { maxBodyBytes: 2_000_000, maxDepth: 32, maxKeys: 20_000, maxBatch: 500 };
    const names = (count: number): object =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`x${index}`.padEnd(64, 'y'), 1]));
    const bodies = [
      { ...valid, ...names(19_900) },
      { ...valid, meta: names(19_900) },
      Array.from({ length: 100 }, () => ({ ...valid, ...names(180) })),
    ];
    const before = process.cpuUsage();
    for (const body of bodies) {
      const { problems } = refusal(() => decodeMessage(Buffer.from(JSON.stringify(body)), JSON_TYPE, limits));
      assert.equal(problems?.length, 32);
    }
    const { user } = process.cpuUsage(before);
    assert.ok(user < 2_000_000, `${Math.round(user / 1_000)} ms`);
  });

  it('names all unknown fields at once, with what was meant and what there is', () => {
    const { message } = refusal(() => decode({ ...valid, querry: {}, meta: { client: 'x', Session: 's' } }));
    for (const named of [
      'querry is unknown (did you mean query?)',
      'meta.Session is unknown (did you mean session?)',
    ]) {
      assert.ok(message.includes(named), message);
    }
  });

  it('says all that is wrong in any request of a message at once, each with its field', () => {
    const bad = {
      v: 1,
      id: 7,
      domain: 'cities',
      payload: [],
      query: [],
      meta: { deadlineMs: '9' },
    };
    const { problems, message } = refusal(() => decode([valid, bad, 3]));
    assert.deepEqual(problems, [
      { field: '[1].op', message: 'is missing' },
      { field: '[1].id', message: 'must be a text of 1 to 255 characters' },
      { field: '[1].payload', message: 'must be a JSON object: {}, not []' },
      { field: '[1].query', message: 'must be a JSON object: {}, not []' },
      { field: '[1].meta.deadlineMs', message: 'must be a number of milliseconds above 0' },
      { field: '[2]', message: 'must be a JSON object' },
    ]);
    for (const { field, message: problem } of problems ?? [])
      assert.ok(message.includes(`${field} ${problem}`), message);
  });

  it('names so many problems and counts the others', () => {
    const { problems, message } = refusal(() => decode({ ...valid, ...Object.fromEntries(letters(40)) }));
    assert.equal(problems?.length, 32);
    assert.match(message, /; 8 more\./);
  });

  it('takes null for absent, but for values of records and filters', () => {
    const nulls = { payload: null, key: null, query: null, meta: null };
    assert.deepEqual(decode({ ...valid, ...nulls }).requests, [{ v: 1, id: 'a', domain: 'cities', op: 'fetch' }]);
    const query = { where: { name: null }, order: [{ column: 'id', direction: null }], limit: null, cursor: null };
    const meta = {
      client: null,
      session: null,
      deadlineMs: null,
      sentAt: null,
      idempotencyKey: null,
      traceparent: null,
    };
    const [request] = decode([{ ...valid, payload: { name: null }, query, meta }]).requests;
    assert.deepEqual(request, {
      ...valid,
      payload: { name: null },
      query: { where: { name: null }, order: [{ column: 'id' }] },
      meta: {},
    });
  });

  it('takes client and trace from the message where the request says neither', () => {
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const properties = { ...JSON_TYPE, appId: 'shop', headers: { traceparent: trace, other: 1 } };
    const metaOf = (meta: object | null): unknown => decode([{ ...valid, meta }], properties).requests[0]?.meta;
    assert.deepEqual(metaOf(null), { client: 'shop', traceparent: trace });
    assert.deepEqual(metaOf({ deadlineMs: 5 }), { client: 'shop', traceparent: trace, deadlineMs: 5 });
    assert.deepEqual(metaOf({ client: 'me', traceparent: 'mine' }), { client: 'me', traceparent: 'mine' });
    const odd = { ...JSON_TYPE, appId: '', headers: { traceparent: 7 } };
    assert.deepEqual(decode(valid, odd).requests, [valid]);
  });

  it('takes the session from the message where the request has none, and refuses what is none', () => {
    const { meta: _, ...bare } = valid;
    const sessions = (token: unknown): readonly unknown[] =>
      decode([valid, { ...valid, meta: { session: 'own' } }, bare], {
        ...JSON_TYPE,
        headers: { 'beds-session': token },
      }).requests.map(({ meta }) => meta);
    const session = 'x'.repeat(8_192);
    assert.deepEqual(sessions(session), [{ client: 'test', session }, { session: 'own' }, { session }]);
    for (const token of ['', 'x'.repeat(8_193), 7, null, { token: 'x' }]) {
      assert.equal(refusal(() => sessions(token)).code, 'BEDS_REQUEST_MALFORMED', JSON.stringify(token).slice(0, 9));
    }
  });

  it('says what in a body is no JSON, where a library is known to write it', () => {
    assert.match(refusal(() => decode(`\ufeff${JSON.stringify(valid)}`)).message, /byte order mark/);
    assert.match(refusal(() => decode('{"payload":{"x": NaN}}')).message, /NaN/);
    assert.doesNotMatch(refusal(() => decode('{"NaN"')).message, /NaN/);
  });

  it('says what is unknown before what is missing, which mostly is the same mistake', () => {
    assert.equal(refusal(() => decode({ V: 1, Id: 'a', Domain: 'cities', Op: 'fetch' })).field, 'V');
    assert.equal(refusal(() => decode({ ...valid, meta: { Client: 'x' } })).field, 'meta.Client');
  });

  it('survives 10,000 random bodies with nothing but typed errors', () => {
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      '"',
      '\\',
      ',',
      ':',
      'v',
      '1',
      'null',
      '"id"',
      '"a"',
      '\\u005f',
      '__proto__',
      ' ',
    ];
    let seed = 20_261_123;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed % below;
    };
    let refused = 0;
    for (let round = 0; round < 10_000; round++) {
      const body = Array.from({ length: random(30) }, () => pieces[random(pieces.length)]).join('');
      refusal(() => decode(body));
      refused += 1;
    }
    assert.equal(refused, 10_000);
  });
});
