import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { t, type Json, type Manifest, type ValueDescription } from '@beds/sdk';
import { z } from 'zod';
import { checkManifest, compileChecker, describeType, VALUE_TYPES } from '#sdk/template';
import { compareManifests, type ContractChange } from '../host/deploy/compatibility/compare-manifests.js';
import type { Caller } from '../host/deploy/compatibility/caller-ledger.js';
import { diffVersions, breakingFindings, joinCallers } from '../host/deploy/compatibility/gate.js';
import { contractCases, inputOf, lookup, manifest } from './support/contract-cases.js';

/** `!` marks what breaks, `+` what lets somebody do or see more. */
function lines(changes: readonly ContractChange[]): readonly string[] {
  const mark = ({ breaking, loosens }: ContractChange): string => (breaking ? '! ' : loosens === true ? '+ ' : '  ');
  return changes.map((change) => `${mark(change)}${change.operation}: ${change.message}`);
}

describe('the comparison of two manifests', () => {
  for (const { what, live, next, there, back } of contractCases) {
    it(`sees a change of ${what}`, () => {
      assert.deepEqual(lines(compareManifests(live, next)), there);
      assert.deepEqual(lines(compareManifests(next, live)), back);
    });
  }

  it('finds nothing between a manifest and itself, or a copy with its names in another order', () => {
    for (const { live, next } of contractCases) {
      for (const each of [live, next]) {
        assert.deepEqual(compareManifests(each, each), []);
        assert.deepEqual(compareManifests(each, reversed(each) as Manifest), []);
      }
    }
  });

  it('takes what says nothing of access for what the host is configured to', () => {
    const open = lookup({}, { access: 'anyone' });
    assert.deepEqual(compareManifests(lookup({}), open), []);
    assert.deepEqual(lines(compareManifests(lookup({}), open, 'signed-in')), [
      '+ lookup: access changed from every user to anyone: whoever is not signed in may now',
    ]);
  });

  it('puts what breaks first, then goes by operation', () => {
    const read = { mode: 'read', idempotent: true, input: inputOf({}) } as const;
    const live = manifest({ operations: { a: read, z: read } });
    const optional = inputOf({ more: t.int().optional() });
    const next = manifest({
      store: 'x',
      operations: { a: { ...read, input: optional }, b: read },
    });
    assert.deepEqual(lines(compareManifests(live, next)), [
      '! z: the operation is gone',
      '  *: store changed from main to x',
      '  a: optional argument more was added',
      '  b: the operation was added',
    ]);
  });

  it('is tried with manifests that a host admits', () => {
    const invalid = contractCases.flatMap(({ live, next }) => [live, next]).flatMap((each) => checkManifest(each));
    assert.deepEqual(
      invalid.filter(({ field }) => field !== 'entry'),
      [],
    );
  });
});

/** The same with the members of every object in the opposite order. */
function reversed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, member]) => [name, reversed(member)]),
  );
}

/** Values at the edges of what descriptions tell apart; a whole number is text only beyond 2^53, as the protocol has it. */
const SAMPLES: readonly Json[] = [
  null,
  ...[
    '',
    'a',
    'abc',
    'abcdefghijk',
    'AAE=',
    'AAECAwQF',
    '2026-01-31',
    '2026-01-31T23:59:59Z',
    '12.50',
    '9007199254740993',
  ],
  ...[0, 1, 5, 7.5, 10, 1e300, -1, true, false],
  ...[[], [1], [1, 2], ['a'], {}, { a: 1 }, { a: null }, { a: 1.5 }],
];

function facetsOf(type: ValueDescription['type']): readonly Partial<ValueDescription>[] {
  const lengths = type === 'string' || type === 'binary' ? [{ maxLength: 3 }, { maxLength: 10 }] : [];
  const isNumber = ['integer', 'number', 'decimal'].includes(type);
  return [{}, { optional: true }, ...lengths, ...(isNumber ? [{ min: 1 }, { max: 5 }, { min: 0, max: 10 }] : [])];
}

describe('the comparison of arguments against the check that hosts make of them', () => {
  const parts: Readonly<Partial<Record<ValueDescription['type'], readonly Partial<ValueDescription>[]>>> = {
    enum: [{ values: ['a', 'abc'] }, { values: ['a'] }],
    list: [{ items: { type: 'integer' } }, { items: { type: 'json' }, maxItems: 1 }],
    object: [
      { fields: {} },
      { fields: { a: { type: 'integer' } } },
      { fields: { a: { type: 'number', optional: true } } },
    ],
  };
  const schemas = [
    ...[
      z.string(),
      z.string().min(2),
      z.string().min(1).max(3),
      z.string().regex(/^a/),
      z.string().regex(/^a/).regex(/c$/),
    ],
    ...[z.iso.date(), z.base64(), z.enum(['a', 'abc']), z.literal('a'), z.string().nullable(), z.string().optional()],
    ...[z.number(), z.number().positive(), z.number().min(0), z.number().lt(10), z.number().multipleOf(5)],
    ...[z.int(), z.int().positive(), z.int().min(1), z.int().lt(7), z.boolean(), z.boolean().default(true)],
    ...[z.array(z.int()), z.array(z.int()).min(1), z.array(z.int()).max(1), z.array(z.string())],
    ...[z.object({}), z.strictObject({}), z.looseObject({}), z.object({}).catchall(z.int())],
    ...[z.object({ a: z.number() }), z.strictObject({ a: z.number() }), z.record(z.string(), z.number())],
    ...[
      z.object({ a: z.number().nullable() }),
      z.object({ a: z.number().nullish() }),
      z.object({ a: z.int().optional() }),
    ],
  ].map((schema) => describeType(schema));
  const all = VALUE_TYPES.filter((type) => type !== 'schema').flatMap((type) =>
    (parts[type] ?? [{}]).flatMap((part) =>
      facetsOf(type).map((facet): ValueDescription => ({ type, ...part, ...facet })),
    ),
  );
  const described: readonly ValueDescription[] = [...all, ...schemas];

  it('calls every change breaking that refuses what was accepted', () => {
    const missed = described.flatMap((live) => {
      const taken = accepted(live);
      return described
        .filter((next) => taken.some((given) => !accepts(next, given)))
        .filter((next) => !compareManifests(taking(live), taking(next)).some(({ breaking }) => breaking))
        .map((next) => `${JSON.stringify(live)} → ${JSON.stringify(next)}`);
    });
    assert.deepEqual(missed, []);
  });
});

function taking(x: ValueDescription): Manifest {
  return lookup({}, { input: { type: 'object', fields: { x } } });
}

type Given = Readonly<Record<string, Json>>;

function accepts(description: ValueDescription, given: Given): boolean {
  return compileChecker({ x: description })(given).ok;
}

/** n.b. members that a schema takes and drops are nothing that a caller passes. */
function accepted(description: ValueDescription): readonly Given[] {
  const size = (value: Json | undefined): number => Object.keys(value ?? {}).length;
  return [{}, ...SAMPLES.map((x): Given => ({ x }))].filter((given) => {
    const checked = compileChecker({ x: description })(given);
    return checked.ok && size(checked.value['x']) >= size(given['x']);
  });
}

function ledgerOf(callers: Readonly<Record<string, readonly Caller[]>>, countedDays = 14) {
  return {
    callersOf: (domain: string, operation: string) => callers[`${domain}.${operation}`] ?? [],
    countedDays: () => countedDays,
  };
}

/** The message of the only finding for an operation that is gone. */
function messageFor(callers: readonly Caller[], countedDays = 14): string | undefined {
  const changes = compareManifests(lookup({}), manifest());
  const findings = breakingFindings(
    joinCallers(changes, 'cities', ledgerOf({ 'cities.lookup': callers }, countedDays)),
  );
  assert.equal(findings.length, 1);
  return findings[0]?.message;
}

const caller = (client: string, callsPerDay: number): Caller => ({ client, callsPerDay });

describe('the contract gate', () => {
  it('makes a finding of each change that breaks, with its callers and what to do', () => {
    const changes = compareManifests(lookup({ a: t.int() }), lookup({ limit: t.int(), more: t.string().optional() }));
    const joined = joinCallers(changes, 'cities', ledgerOf({ 'cities.lookup': [caller('billing', 1_204.4)] }));
    assert.deepEqual(
      joined.map(({ callers }) => callers.length),
      [1, 1, 1],
    );
    const findings = breakingFindings(joined);
    assert.deepEqual(
      findings.map(({ code, message }) => `${code} ${message}`),
      [
        'BEDS_ROLLOUT_BREAKING lookup: argument a was removed; breaks billing (1,204 calls/day)',
        'BEDS_ROLLOUT_BREAKING lookup: argument limit was added without a default; breaks billing (1,204 calls/day)',
      ],
    );
    assert.match(findings[0]?.hint ?? '', /--allow-breaking/);
  });

  it('names the busiest callers and counts the others', () => {
    const two = [caller('billing', 1_204), caller('web', 12)];
    assert.match(messageFor(two) ?? '', /; breaks billing \(1,204 calls\/day\) and web \(12 calls\/day\)$/);
    const five = [...two, caller('a', 1), caller('b', 1), caller('c', 1)];
    assert.match(messageFor(five) ?? '', /; breaks billing \(1,204 calls\/day\), web \(12 calls\/day\) and 3 more$/);
  });

  it('has words for callers without a name, for all others, for few calls, and none for a terminal', () => {
    assert.match(
      messageFor([caller('', 1), caller('*', 0.1)]) ?? '',
      /breaks callers without a name \(1 call\/day\) and others \(less than 1 call\/day\)$/,
    );
    assert.match(messageFor([caller('\u001b[2Jweb\n', 2)]) ?? '', /breaks \?\[2Jweb\? \(2 calls\/day\)$/);
  });

  it('says that nobody called only for as long as it counted', () => {
    assert.match(messageFor([]) ?? '', /; nobody called it in the last 14 days$/);
    assert.match(messageFor([], 1.9) ?? '', /; nobody called it in the last day$/);
    assert.match(messageFor([], 0.9) ?? '', /; nobody called it, but callers have been counted for less than a day$/);
  });

  it('makes no finding of what is compatible', () => {
    const changes = compareManifests(manifest(), lookup({}));
    assert.deepEqual(breakingFindings(joinCallers(changes, 'cities', ledgerOf({}))), []);
  });
});

describe('the difference of two kept versions', () => {
  it('is plain data: versions, changes with their callers, and files', () => {
    const file = (digit: string) => ({ sha256: digit.repeat(64), bytes: 1 });
    const files = { 'index.js': file('a'), 'old.js': file('b'), 'same.js': file('c') };
    const from = { manifest: { ...lookup({}), files }, hash: 'h1' };
    const nextFiles = { 'same.js': file('c'), 'index.js': file('d'), 'new.js': file('e') };
    const to = { manifest: manifest({ version: '2.0.0', files: nextFiles }), hash: 'h2' };
    const diff = diffVersions(from, to, {
      ledger: ledgerOf({ 'cities.lookup': [caller('web', 3)] }, 2),
      defaultAccess: 'anyone',
    });
    assert.deepEqual(structuredClone(diff), {
      domain: 'cities',
      from: { version: '1.0.0', hash: 'h1' },
      to: { version: '2.0.0', hash: 'h2' },
      changes: [
        {
          breaking: true,
          operation: 'lookup',
          message: 'the operation is gone',
          callers: [{ client: 'web', callsPerDay: 3 }],
          countedDays: 2,
        },
      ],
      files: [
        { name: 'index.js', change: 'changed' },
        { name: 'new.js', change: 'added' },
        { name: 'old.js', change: 'removed' },
      ],
    });
  });
});
