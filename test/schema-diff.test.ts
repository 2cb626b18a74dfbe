import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JsonObject, ObjectManifest } from '@beds/sdk';
import { checkUse, narrowObject } from '../host/stores/check-use.js';
import type { NamedObject, NamedValue } from '../host/stores/contract.js';
import { checkObject } from '../host/stores/mongodb/catalogue.js';
import { conditionOf } from '../host/deploy/watch/schema-watch.js';
import { diffObjects } from '../host/deploy/watch/diff-objects.js';

const TEXT: NamedValue = { name: 'text', type: 'string', nativeType: 'varchar(200)', maxLength: 200, nullable: true };
const MARK: NamedValue = { name: 'mark', type: 'string', nativeType: 'varchar(64)', maxLength: 64, nullable: true };

function routine(args: readonly NamedValue[], native: JsonObject = {}): Exclude<NamedObject, { kind: 'view' }> {
  return { kind: 'procedure', name: 'note_create', args, native: { database: 'shop', ...native } };
}

function view(columns: readonly NamedValue[], native: JsonObject = {}): NamedObject {
  return { kind: 'view', name: 'note_list', columns, native: { database: 'shop', ...native } };
}

function entry(changes: JsonObject = {}): JsonObject {
  const fields = { id: { from: '_id', type: 'string', as: 'objectId' } };
  const grants = { problems: [], missingGrants: [] };
  return { op: 'insertOne', on: 'note', body: 'AAAA', args: {}, fields, servedBy: 'catalogue', ...grants, ...changes };
}

function lines(was: NamedObject, is: NamedObject | undefined): readonly string[] {
  return diffObjects(was, is).map(({ line }) => line);
}

describe('the difference between two descriptions of a named object', () => {
  const was = routine([TEXT, MARK]);
  const fn: NamedObject = { kind: 'function', name: 'note_count', args: [], native: { returns: 'integer' } };
  const mongo = routine([TEXT], entry());
  const cases: readonly [string, NamedObject, NamedObject | undefined, readonly string[]][] = [
    ['is nothing when nothing changed', was, routine([{ ...TEXT }, { ...MARK }]), []],
    ['names a routine that is gone', was, undefined, ['routine note_create is gone, or EXECUTE on it was revoked']],
    [
      'names a view that is gone, or rests on what is gone',
      view([TEXT]),
      undefined,
      ['view note_list is gone or no longer valid, or SELECT on it was revoked'],
    ],
    [
      'names a catalogue entry that is gone',
      mongo,
      undefined,
      ['routine note_create is gone from the catalogue, or the catalogue may no longer be read'],
    ],
    [
      'says both types of a parameter',
      was,
      routine([{ ...TEXT, nativeType: 'varchar(50)', maxLength: 50 }, MARK]),
      ['routine note_create: parameter text is varchar(50), was varchar(200)'],
    ],
    ['names a parameter that is gone', was, routine([TEXT]), ['routine note_create: parameter mark is gone']],
    [
      'names a parameter that is new',
      was,
      routine([TEXT, MARK, { name: 'by', type: 'integer', nativeType: 'int(11)' }]),
      ['routine note_create: parameter by (int(11)) is new'],
    ],
    [
      'does not name a new parameter that may be left out',
      was,
      routine([TEXT, MARK, { name: 'by', type: 'integer', nativeType: 'int', optional: true }]),
      [],
    ],
    [
      'says both orders of the parameters',
      was,
      routine([MARK, TEXT]),
      ['routine note_create: parameters are (mark, text), were (text, mark)'],
    ],
    [
      'tells a parameter that was renamed as one gone and one new',
      was,
      routine([{ ...TEXT, name: 'body' }, MARK]),
      ['routine note_create: parameter text is gone', 'routine note_create: parameter body (varchar(200)) is new'],
    ],
    [
      'says that a parameter gives a value back now',
      was,
      { ...routine([MARK]), gives: [{ ...TEXT, place: 0, isArgument: false }] },
      [
        'routine note_create: parameter text is gone',
        'routine note_create: it gives back text (varchar(200)), gave back nothing',
      ],
    ],
    [
      'says both results of a function',
      fn,
      { ...fn, native: { returns: 'string' } },
      ['routine note_count: its result is string, was integer'],
    ],
    [
      'says that a procedure became a function',
      was,
      { kind: 'function', name: 'note_create', args: [TEXT, MARK], native: {} },
      ['routine note_create is a function, was a procedure'],
    ],
    [
      'names columns that are gone, retyped or may be null, and none for their order',
      view([TEXT, MARK, { name: 'version', type: 'integer', nativeType: 'int(11)', nullable: false }]),
      view([
        { name: 'version', type: 'integer', nativeType: 'int(11)', nullable: true },
        { ...TEXT, nativeType: 'longtext' },
      ]),
      [
        'view note_list: column mark is gone',
        'view note_list: column text is longtext, was varchar(200)',
        'view note_list: column version may be null, was never',
      ],
    ],
    [
      'names a grant on a collection that was revoked',
      mongo,
      routine([TEXT], entry({ missingGrants: ['insert note'] })),
      ['routine note_create: insert on note was revoked'],
    ],
    [
      'says what was rewritten in a catalogue entry',
      mongo,
      routine([TEXT], entry({ op: 'updateOne', on: 'notes', body: 'BBBB' })),
      [
        'routine note_create: its operation is updateOne, was insertOne',
        'routine note_create: works on collection notes, worked on note',
        'routine note_create: its body was rewritten',
      ],
    ],
    [
      'says that the server serves a view itself now',
      view([TEXT], entry({ fields: { text: { from: 'text', type: 'string', as: 'string' } } })),
      view([TEXT], entry({ servedBy: 'view', fields: { text: { from: 't', type: 'string', as: 'string' } } })),
      [
        'view note_list: is served by a view of the server now',
        'view note_list: column text comes from field t, came from text',
      ],
    ],
    [
      'names the columns of a result',
      mongo,
      routine([TEXT], entry({ fields: { text: { from: 'text', type: 'string', as: 'string' } } })),
      ['routine note_create: result column id is gone', 'routine note_create: result column text is new'],
    ],
    [
      'says that whole documents are returned now',
      mongo,
      routine([TEXT], entry({ fields: null })),
      ['routine note_create: returns whole documents now'],
    ],
    [
      'tells no more of an entry that is wrong than where',
      mongo,
      routine([], entry({ problems: ['body.document: is needed'], body: 'BBBB' })),
      ['routine note_create: its catalogue entry is wrong at body.document: is needed'],
    ],
    [
      'says limits that the type does not',
      routine([{ ...TEXT, nativeType: 'string' }], entry()),
      routine([{ ...TEXT, nativeType: 'string', maxLength: 50, nullable: false }], entry()),
      [
        'routine note_create: parameter text has maxLength 50, had 200',
        'routine note_create: parameter text is never null, might be',
      ],
    ],
  ];
  for (const [name, before, now, expected] of cases) {
    it(name, () => {
      assert.deepEqual(lines(before, now), expected);
    });
  }
});

describe('the condition of a live version', () => {
  const string = { type: 'string' } as const;
  const create: ObjectManifest = { kind: 'procedure', name: 'note_create', args: { text: string, mark: string } };
  const fetch: ObjectManifest = { kind: 'view', name: 'note_list', columns: { text: string, mark: string } };
  const manifest = { objects: { create, fetch } } as unknown as Parameters<typeof conditionOf>[0]['manifest'];
  const now = (...objects: NamedObject[]): ReadonlyMap<string, NamedObject> =>
    new Map(objects.map((object) => [object.name, object]));
  const objects = {
    create: narrowObject(create, routine([TEXT, MARK])),
    fetch: narrowObject(fetch, view([TEXT, MARK])),
  };
  const condition = (...found: NamedObject[]): ReturnType<typeof conditionOf> =>
    conditionOf({ manifest, objects }, now(...found), checkUse);

  it('is sound when a view has another column, or its columns another order', () => {
    const found = view([MARK, { ...TEXT, name: 'other' }, TEXT]);
    assert.deepEqual(condition(routine([TEXT, MARK]), found), { state: 'sound' });
  });

  it('is changed while it fits, with fresh objects for all aliases', () => {
    const shorter = { ...TEXT, nativeType: 'varchar(50)', maxLength: 50 };
    const result = condition(routine([MARK, shorter]), view([TEXT, MARK]));
    assert.ok(result.state === 'changed');
    assert.deepEqual(
      result.findings.map(({ code, message }) => `${code} ${message}`),
      [
        'BEDS_SCHEMA_CHANGED routine note_create: parameter text is varchar(50), was varchar(200)',
        'BEDS_SCHEMA_CHANGED routine note_create: parameters are (mark, text), were (text, mark)',
      ],
    );
    assert.deepEqual(Object.keys(result.objects), ['create', 'fetch']);
    const again = conditionOf(
      { manifest, objects: result.objects },
      now(routine([MARK, shorter]), view([TEXT, MARK])),
      checkUse,
    );
    assert.deepEqual(again, { state: 'sound' });
  });

  it('is degraded as soon as the preflight would refuse something, and says what else changed', () => {
    const found = routine([
      { ...TEXT, type: 'integer', nativeType: 'int(11)' },
      { ...MARK, nativeType: 'varchar(9)' },
    ]);
    const result = condition(found, view([TEXT]));
    assert.ok(result.state === 'degraded');
    assert.deepEqual(
      result.findings.map(({ code, message }) => `${code} ${message}`),
      [
        'BEDS_PREFLIGHT_TYPE_MISMATCH routine note_create: parameter text is int(11), was varchar(200)',
        'BEDS_SCHEMA_CHANGED routine note_create: parameter mark is varchar(9), was varchar(64)',
        'BEDS_PREFLIGHT_COLUMN_MISSING view note_list: column mark is gone',
      ],
    );
    for (const { hint } of result.findings) assert.match(hint ?? '', /^\S.*\.$/);
  });

  it('says once what two aliases have in common', () => {
    const both = { manifest: { objects: { create, again: create } } as unknown as typeof manifest, objects };
    const result = conditionOf(
      { ...both, objects: { create: objects.create, again: objects.create } },
      now(),
      checkUse,
    );
    assert.ok(result.state === 'degraded');
    assert.deepEqual(
      result.findings.map(({ code }) => code),
      ['BEDS_PREFLIGHT_OBJECT_MISSING'],
    );
  });

  it('gives a revoked grant of MongoDB the code of a missing grant', () => {
    const source = {
      manifest: { objects: { create } } as unknown as typeof manifest,
      objects: { create: narrowObject(create, routine([TEXT, MARK], entry())) },
    };
    const found = now(routine([TEXT, MARK], entry({ missingGrants: ['insert note'] })));
    const result = conditionOf(source, found, checkObject);
    assert.ok(result.state === 'degraded');
    const [first] = result.findings;
    assert.equal(first?.code, 'BEDS_PREFLIGHT_GRANT_MISSING');
    assert.equal(first.message, 'routine note_create: insert on note was revoked');
    assert.equal(first.hint, 'Grant insert on note to the role of the runtime account.');
  });
});
