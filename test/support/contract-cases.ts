import { type Fields, type Manifest, type OperationManifest, procedure, t, view } from '@beds/sdk';
import { CORE_OPERATIONS, describeFields, describeResult, describeWhole } from '#sdk/template';
import { z } from 'zod';

/** The four as code serves them that takes the key at most. */
const CODED: Manifest['operations'] = {
  create: { mode: 'write', idempotent: false, input: { type: 'object', fields: {} } },
  fetch: { mode: 'read', idempotent: true, output: { type: 'list', items: { type: 'json' } } },
  update: { mode: 'write', idempotent: false, input: { type: 'schema' } },
  delete: { mode: 'write', idempotent: false, input: { type: 'schema' } },
};

/** What stays of them where an object serves them. */
function served({ mode, idempotent }: OperationManifest): OperationManifest {
  return { mode, idempotent };
}

const BUNDLE = { 'index.js': { sha256: 'a'.repeat(64), bytes: 1 } };

/** A manifest with nothing in it but the four operations. */
export function manifest(part: Partial<Manifest> = {}): Manifest {
  const base = {
    manifestVersion: 2,
    contract: 2,
    domain: 'cities',
    version: '1.0.0',
    store: 'main',
    key: 'id',
  } as const;
  const rest = { objects: {}, peers: [], entry: 'index.js', files: BUNDLE, sdk: '0.1.0' };
  const objects = part.objects ?? {};
  const core = CORE_OPERATIONS.map((name) => [
    name,
    name in objects ? served(CODED[name] as OperationManifest) : CODED[name],
  ]);
  const operations = {
    ...(Object.fromEntries(core) as Manifest['operations']),
    ...part.operations,
    ...(part.operations?.['update'] && { update: { ...CODED['update'], ...part.operations['update'] } }),
  };
  return { ...base, ...rest, ...part, operations };
}

export function inputOf(args: Fields): NonNullable<OperationManifest['input']> {
  return { type: 'object', fields: describeFields(args) };
}

/** A manifest with one operation more. */
export function lookup(args: Fields, more: Partial<OperationManifest> = {}): Manifest {
  return manifest({
    operations: { lookup: { mode: 'read', idempotent: more.mode !== 'write', input: inputOf(args), ...more } },
  });
}

const integer = t.int();
const text = t.string();

function fetching(columns: Fields): Manifest {
  return manifest({ objects: { fetch: view('city_list', { id: integer, ...columns }).manifest } });
}

function creating(args: Fields): Manifest {
  return manifest({ objects: { create: procedure('city_create', args).manifest } });
}

export interface ContractCase {
  readonly what: string;
  readonly live: Manifest;
  readonly next: Manifest;
  /** Changes from live to next; `!` marks what breaks. */
  readonly there: readonly string[];
  /** From next to live. */
  readonly back: readonly string[];
}

const operationCases: readonly ContractCase[] = [
  {
    what: 'an operation',
    live: lookup({}),
    next: manifest(),
    there: ['! lookup: the operation is gone'],
    back: ['  lookup: the operation was added'],
  },
  {
    what: 'the mode of an operation',
    live: lookup({}),
    next: lookup({}, { mode: 'write' }),
    there: [
      '! lookup: mode changed from read to write: callers send it to the other queue, and it is no longer repeated',
    ],
    back: ['! lookup: mode changed from write to read: callers send it to the other queue, and it may be repeated'],
  },
  {
    what: 'the repeatability of a write',
    live: lookup({}, { mode: 'write', idempotent: true }),
    next: lookup({}, { mode: 'write' }),
    there: ['! lookup: is no longer idempotent: what is delivered twice is not run again, and fails as indeterminate'],
    back: ['  lookup: became idempotent: what is delivered twice is run again'],
  },
  {
    what: 'the repeatability of a core operation',
    live: manifest({ operations: { update: { mode: 'write', idempotent: true } } }),
    next: manifest(),
    there: ['! update: is no longer idempotent: what is delivered twice is not run again, and fails as indeterminate'],
    back: ['  update: became idempotent: what is delivered twice is run again'],
  },
  {
    what: 'the repeatability of a read, which is not for anyone to say',
    live: lookup({}, { idempotent: true }),
    next: lookup({}),
    there: [],
    back: [],
  },
];

const argumentCases: readonly ContractCase[] = [
  {
    what: 'a required argument',
    live: lookup({}),
    next: lookup({ limit: integer }),
    there: ['! lookup: argument limit was added without a default'],
    back: ['! lookup: argument limit was removed'],
  },
  {
    what: 'an optional argument',
    live: lookup({}),
    next: lookup({ limit: t.int().optional() }),
    there: ['  lookup: optional argument limit was added'],
    back: ['! lookup: argument limit was removed'],
  },
  {
    what: 'an argument with a default',
    live: lookup({}),
    next: lookup({ limit: t.int().default(5) }),
    there: ['  lookup: argument limit was added with the default 5'],
    back: ['! lookup: argument limit was removed'],
  },
  {
    what: 'an argument of a name that every object of JavaScript has',
    live: lookup({}),
    next: lookup({ toString: integer }),
    there: ['! lookup: argument toString was added without a default'],
    back: ['! lookup: argument toString was removed'],
  },
  {
    what: 'whether an argument may be left out or null',
    live: lookup({ limit: t.int().optional() }),
    next: lookup({ limit: integer }),
    there: ['! lookup: argument limit became required'],
    back: ['  lookup: argument limit became optional'],
  },
  {
    what: 'whether an argument that may be left out may be null as well',
    live: lookup({ limit: t.int().optional() }),
    next: lookup({ limit: t.int().omittable() }),
    there: ['! lookup: argument limit may no longer be null'],
    back: ['  lookup: argument limit may be null now'],
  },
  {
    what: 'whether an argument has a default',
    live: lookup({ limit: t.int().default(5) }),
    next: lookup({ limit: integer }),
    there: ['! lookup: argument limit became required'],
    back: ['  lookup: argument limit became optional'],
  },
  {
    what: 'the default of an optional argument',
    live: lookup({ limit: t.int().optional().default(5) }),
    next: lookup({ limit: t.int().optional() }),
    there: ['  lookup: default of argument limit (5) is gone'],
    back: ['  lookup: default of argument limit was set to 5'],
  },
  {
    what: 'the value of a default',
    live: lookup({ filter: t.json().default({ a: [1] }) }),
    next: lookup({ filter: t.json().default({ a: 'x'.repeat(60) }) }),
    there: [`  lookup: default of argument filter changed from {"a":[1]} to {"a":"${'x'.repeat(34)}…`],
    back: [`  lookup: default of argument filter changed from {"a":"${'x'.repeat(34)}… to {"a":[1]}`],
  },
  {
    what: 'the type of an argument, to one that takes the same and more',
    live: lookup({ day: t.date() }),
    next: lookup({ day: text }),
    there: ['  lookup: argument day was widened from date to string'],
    back: ['! lookup: argument day was narrowed from string to date'],
  },
  {
    what: 'the type of an argument, whole numbers and numbers',
    live: lookup({ size: integer }),
    next: lookup({ size: t.number() }),
    there: ['  lookup: argument size was widened from integer to number'],
    back: ['! lookup: argument size was narrowed from number to integer'],
  },
  {
    what: 'the type of an argument, whole numbers of any size',
    live: lookup({ size: integer }),
    next: lookup({ size: t.bigint() }),
    there: ['  lookup: argument size was widened from integer to bigint'],
    back: ['! lookup: argument size was narrowed from bigint to integer'],
  },
  {
    what: 'the values of an enum that is passed',
    live: lookup({ kind: t.enum(['town']) }),
    next: lookup({ kind: t.enum(['town', 'city']) }),
    there: ['  lookup: argument kind may be city now'],
    back: ['! lookup: argument kind has no city any more'],
  },
  {
    what: 'an enum and text',
    live: lookup({ kind: t.enum(['town']) }),
    next: lookup({ kind: t.string({ max: 3 }) }),
    there: [
      '! lookup: maxLength of argument kind was lowered from 4 to 3',
      '  lookup: argument kind was widened from enum to string',
    ],
    back: [
      '! lookup: argument kind was narrowed from string to enum',
      '  lookup: maxLength of argument kind (3) is gone',
    ],
  },
  {
    what: 'the items of a list that is passed',
    live: lookup({ all: t.list({ id: integer, name: text }, { max: 10 }) }),
    next: lookup({ all: t.list({ id: t.number(), more: text.optional() }, { max: 5 }) }),
    there: [
      '! lookup: each of argument all.name was removed',
      '! lookup: maxItems of argument all was lowered from 10 to 5',
      '  lookup: each of argument all.id was widened from integer to number',
      '  lookup: optional each of argument all.more was added',
    ],
    back: [
      '! lookup: each of argument all.id was narrowed from number to integer',
      '! lookup: each of argument all.more was removed',
      '! lookup: each of argument all.name was added without a default',
      '  lookup: maxItems of argument all was raised from 5 to 10',
    ],
  },
  {
    what: 'the type of an argument, to one that takes other values',
    live: lookup({ code: text }),
    next: lookup({ code: integer }),
    there: ['! lookup: argument code changed from string to integer'],
    back: ['! lookup: argument code changed from integer to string'],
  },
  {
    what: 'the length of an argument',
    live: lookup({ name: t.string({ max: 60 }) }),
    next: lookup({ name: t.string({ max: 20 }) }),
    there: ['! lookup: maxLength of argument name was lowered from 60 to 20'],
    back: ['  lookup: maxLength of argument name was raised from 20 to 60'],
  },
  {
    what: 'whether the length of an argument is bound',
    live: lookup({ name: text }),
    next: lookup({ name: t.string({ max: 20 }) }),
    there: ['! lookup: maxLength of argument name was set to 20'],
    back: ['  lookup: maxLength of argument name (20) is gone'],
  },
  {
    what: 'the range of an argument',
    live: lookup({ top: t.int({ min: 0, max: 50 }) }),
    next: lookup({ top: t.int({ min: 1, max: 20 }) }),
    there: [
      '! lookup: min of argument top was raised from 0 to 1',
      '! lookup: max of argument top was lowered from 50 to 20',
    ],
    back: [
      '  lookup: min of argument top was lowered from 1 to 0',
      '  lookup: max of argument top was raised from 20 to 50',
    ],
  },
];

const coreCases: readonly ContractCase[] = [
  {
    what: 'an argument of the procedure behind create',
    live: creating({ name: text }),
    next: creating({ name: text, country: text }),
    there: ['! create: argument country was added without a default'],
    back: ['! create: argument country was removed'],
  },
  {
    what: 'a condition of a fetch by procedure',
    live: manifest({
      objects: { fetch: procedure('find', { name: t.string().optional() }, t.list({ id: integer })).manifest },
    }),
    next: manifest({ objects: { fetch: procedure('find', { name: text }, t.list({ id: integer })).manifest } }),
    there: ['! fetch: argument name became required'],
    back: ['  fetch: argument name became optional'],
  },
  {
    what: 'the key of the procedure behind delete, which is all that callers pass',
    live: manifest({ objects: { delete: procedure('remove', { id: integer, why: t.string().optional() }).manifest } }),
    next: manifest({ objects: { delete: procedure('remove', { id: text }).manifest } }),
    there: ['! delete: argument id changed from integer to string'],
    back: ['! delete: argument id changed from string to integer'],
  },
  {
    what: 'the key of a domain',
    live: manifest({ objects: { delete: procedure('remove', { id: integer }).manifest } }),
    next: manifest({ key: 'code', objects: { delete: procedure('remove', { code: integer }).manifest } }),
    there: [
      '! delete: the key changed from id to code',
      '! fetch: the key changed from id to code',
      '! update: the key changed from id to code',
    ],
    back: [
      '! delete: the key changed from code to id',
      '! fetch: the key changed from code to id',
      '! update: the key changed from code to id',
    ],
  },
  {
    what: 'a column',
    live: fetching({ population: integer }),
    next: fetching({}),
    there: ['! fetch: result column population is gone'],
    back: ['  fetch: result column population was added'],
  },
  {
    what: 'the type of a column, whole numbers and numbers',
    live: fetching({ size: t.number() }),
    next: fetching({ size: t.int() }),
    there: ['  fetch: result column size was narrowed from number to integer'],
    back: ['! fetch: result column size was widened from integer to number'],
  },
  {
    what: 'the type of a column, JSON and anything',
    live: fetching({ size: t.json() }),
    next: fetching({ size: t.string() }),
    there: ['  fetch: result column size was narrowed from json to string'],
    back: ['! fetch: result column size was widened from string to json'],
  },
  {
    what: 'the type of a column, text and what is written as text',
    live: fetching({ founded: t.string() }),
    next: fetching({ founded: t.date() }),
    there: ['! fetch: result column founded was narrowed from string to date, so it can no longer be searched as text'],
    back: ['! fetch: result column founded was widened from date to string'],
  },
  {
    what: 'the type of a column, to another',
    live: fetching({ size: t.boolean() }),
    next: fetching({ size: t.int() }),
    there: ['! fetch: result column size changed from boolean to integer'],
    back: ['! fetch: result column size changed from integer to boolean'],
  },
  {
    what: 'the bounds of a column, where a reader may meet more',
    live: fetching({ name: t.string({ max: 20 }) }),
    next: fetching({ name: t.string({ max: 60 }) }),
    there: ['! fetch: maxLength of result column name was raised from 20 to 60'],
    back: ['  fetch: maxLength of result column name was lowered from 60 to 20'],
  },
  {
    what: 'whether a column may be null',
    live: fetching({ name: text }),
    next: fetching({ name: t.string().optional() }),
    there: ['! fetch: result column name may be null now'],
    back: ['  fetch: result column name is never null now'],
  },
  {
    what: 'whether reads are shared, which changes nothing that was promised',
    live: fetching({}),
    next: manifest({ objects: { fetch: view('city_list', { id: integer }, { share: true }).manifest } }),
    there: [],
    back: [],
  },
  {
    what: 'the kind of the object behind fetch',
    live: fetching({}),
    next: manifest({
      objects: { fetch: procedure('city_list', { id: t.int().optional() }, t.list({ id: integer })).manifest },
    }),
    there: ['! fetch: is served by a procedure now instead of a view: orders, pages and comparisons are refused'],
    back: ['! fetch: is served by a view now instead of a procedure: rows come in pages'],
  },
  {
    what: 'whether an object or code serves an operation',
    live: creating({ name: text }),
    next: manifest({
      operations: {
        create: {
          mode: 'write',
          idempotent: false,
          input: inputOf({ name: text }),
          output: { type: 'object', fields: { affected: { type: 'integer' } } },
        },
      },
    }),
    there: ['  create: is served by code now'],
    back: ['  create: has the procedure city_create now; before, code served it'],
  },
  {
    what: 'a further view that callers may fetch from',
    live: manifest(),
    next: manifest({ objects: { towns: { ...view('town_list', { id: integer }).manifest, fetchable: true } } }),
    there: ['  fetch: the view towns can be fetched from now'],
    back: ['! fetch: the view towns can no longer be fetched from'],
  },
  {
    what: 'a column of a further view',
    live: manifest({ objects: { towns: { ...view('t', { id: integer, a: text }).manifest, fetchable: true } } }),
    next: manifest({ objects: { towns: { ...view('t', { id: integer }).manifest, fetchable: true } } }),
    there: ['! fetch: column towns.a is gone'],
    back: ['  fetch: column towns.a was added'],
  },
];

function answering(output: OperationManifest['output']): Manifest {
  return lookup({}, output === undefined ? {} : { output });
}

const resultCases: readonly ContractCase[] = [
  {
    what: 'whether a result is declared',
    live: answering(undefined),
    next: answering({ type: 'integer' }),
    there: ['  lookup: the result is declared now'],
    back: ['! lookup: the result is no longer declared: it may be anything'],
  },
  {
    what: 'a field of a result',
    live: answering(inputOf({ count: integer })),
    next: answering(inputOf({ count: integer, more: text })),
    there: ['  lookup: result field more was added'],
    back: ['! lookup: result field more is gone'],
  },
  {
    what: 'the type of a result',
    live: answering({ type: 'number' }),
    next: answering({ type: 'integer' }),
    there: ['  lookup: the result was narrowed from number to integer'],
    back: ['! lookup: the result was widened from integer to number'],
  },
  {
    what: 'whether a result may be null, with or without a default',
    live: answering(inputOf({ a: integer, b: integer.default(1) })),
    next: answering(inputOf({ a: integer.omittable(), b: integer })),
    there: ['! lookup: result field a may be null now'],
    back: ['  lookup: result field a is never null now'],
  },
  {
    what: 'the values of an enum that comes back',
    live: answering(inputOf({ kind: t.enum(['town', 'city']) })),
    next: answering(inputOf({ kind: t.enum(['town']) })),
    there: ['  lookup: result field kind has no city any more'],
    back: ['! lookup: result field kind may be city now'],
  },
  {
    what: 'the rows of a result',
    live: answering({ type: 'list', items: inputOf({ id: integer, name: text }), maxItems: 5 }),
    next: answering({ type: 'list', items: inputOf({ id: text }), maxItems: 9 }),
    there: [
      '! lookup: each of the result.id changed from integer to string',
      '! lookup: each of the result.name is gone',
      '! lookup: maxItems of the result was raised from 5 to 9',
    ],
    back: [
      '! lookup: each of the result.id changed from string to integer',
      '  lookup: each of the result.name was added',
      '  lookup: maxItems of the result was lowered from 9 to 5',
    ],
  },
  {
    what: 'the row that create answers',
    live: manifest({ objects: { create: procedure('c', {}, { id: integer, name: text }).manifest } }),
    next: manifest({ objects: { create: procedure('c', {}, { id: integer }).manifest } }),
    there: ['! create: result field name is gone'],
    back: ['  create: result field name was added'],
  },
  {
    what: 'a schema of another library, by what its JSON Schema says',
    live: lookup({ name: z.string().max(10), size: z.int().optional() }),
    next: lookup({ name: z.string().max(5), size: z.int() }),
    there: ['! lookup: maxLength of argument name was lowered from 10 to 5', '! lookup: argument size became required'],
    back: ['  lookup: maxLength of argument name was raised from 5 to 10', '  lookup: argument size became optional'],
  },
  {
    what: 'a schema of another library that may be null',
    live: lookup({ name: z.string().nullable() }),
    next: lookup({ name: z.string() }),
    there: ['! lookup: argument name became required'],
    back: ['  lookup: argument name became optional'],
  },
  {
    what: 'a part of a schema, beside one that cannot be compared',
    live: lookup({}, { input: describeWhole(z.object({ mail: z.email(), name: z.string() })) }),
    next: lookup({}, { input: describeWhole(z.object({ mail: z.email(), size: z.int() })) }),
    there: ['! lookup: argument name was removed', '! lookup: argument size was added without a default'],
    back: ['! lookup: argument size was removed', '! lookup: argument name was added without a default'],
  },
  {
    what: 'a schema of what further members are',
    live: lookup({ by: z.object({}).catchall(z.string()) }),
    next: lookup({ by: z.object({}).catchall(z.number()) }),
    there: ['! lookup: each further member of argument by changed from string to number'],
    back: ['! lookup: each further member of argument by changed from number to string'],
  },
  {
    what: 'what a schema makes of a result',
    live: lookup({}, { output: describeResult({ size: z.string().default('none') }) }),
    next: lookup({}, { output: describeResult({ size: z.string().optional() }) }),
    there: ['! lookup: result field size may be null now'],
    back: ['  lookup: result field size is never null now'],
  },
  {
    what: 'text of a bounded length, and what is written as text',
    live: lookup({}, { output: describeResult({ day: t.string({ max: 20 }), kind: t.string({ max: 3 }) }) }),
    next: lookup({}, { output: describeResult({ day: t.date(), kind: t.enum(['a', 'bcd']) }) }),
    there: [
      '  lookup: result field day was narrowed from string to date',
      '  lookup: maxLength of result field day was lowered from 20 to 10',
      '  lookup: result field kind was narrowed from string to enum',
    ],
    back: [
      '! lookup: result field day was widened from date to string',
      '! lookup: result field kind was widened from enum to string',
      '  lookup: maxLength of result field day was set to 20',
      '  lookup: maxLength of result field kind was set to 3',
    ],
  },
  {
    what: 'a schema that says more than can be compared',
    live: lookup({ name: z.union([z.string(), z.int(), z.boolean()]) }),
    next: lookup({ name: z.union([z.string(), z.int()]).optional() }),
    there: [
      '  lookup: argument name is described by a schema that cannot be compared',
      '  lookup: argument name became optional',
    ],
    back: [
      '! lookup: argument name became required',
      '  lookup: argument name is described by a schema that cannot be compared',
    ],
  },
  {
    what: 'the least that a schema takes',
    live: lookup({ name: z.string(), tags: z.array(z.string()), share: z.number().min(0), size: z.int().positive() }),
    next: lookup({
      name: z.string().min(1),
      tags: z.array(z.string()).min(2),
      share: z.number().positive(),
      size: z.int().min(2),
    }),
    there: [
      '! lookup: minLength of argument name was set to 1',
      '! lookup: minItems of argument tags was set to 2',
      '! lookup: min of argument share changed from 0 to more than 0',
      '! lookup: min of argument size was raised from 1 to 2',
    ],
    back: [
      '  lookup: minLength of argument name (1) is gone',
      '  lookup: minItems of argument tags (2) is gone',
      '  lookup: min of argument share changed from more than 0 to 0',
      '  lookup: min of argument size was lowered from 2 to 1',
    ],
  },
  {
    what: 'the least that a schema gives',
    live: lookup({}, { output: describeResult({ name: z.string().min(1) }) }),
    next: lookup({}, { output: describeResult({ name: z.string() }) }),
    there: ['! lookup: minLength of result field name (1) is gone'],
    back: ['  lookup: minLength of result field name was set to 1'],
  },
  {
    what: 'the patterns of a schema',
    live: lookup({ name: z.string().regex(/^a/), size: z.int() }),
    next: lookup({ name: z.string().regex(/^a/).regex(/b$/), size: z.int().multipleOf(5) }),
    there: ['! lookup: argument name has the pattern "b$" now', '! lookup: argument size has the multipleOf 5 now'],
    back: [
      '  lookup: argument name no longer has the pattern "b$"',
      '  lookup: argument size no longer has the multipleOf 5',
    ],
  },
  {
    what: 'a pattern for another',
    live: lookup({}, { output: describeResult({ code: z.string().regex(/^a/) }) }),
    next: lookup({}, { output: describeResult({ code: z.string().regex(/^b/) }) }),
    there: [
      '! lookup: result field code no longer has the pattern "^a"',
      '  lookup: result field code has the pattern "^b" now',
    ],
    back: [
      '! lookup: result field code no longer has the pattern "^b"',
      '  lookup: result field code has the pattern "^a" now',
    ],
  },
  {
    what: 'a form of text, by its shortened pattern',
    live: lookup({ day: t.date() }),
    next: lookup({ day: z.iso.date() }),
    there: [
      '! lookup: argument day has the format "date" now',
      '! lookup: argument day has the pattern "^(?:(?:\\\\d\\\\d[2468][048]|\\\\d\\\\d… now',
      '  lookup: argument day was widened from date to string',
    ],
    back: [
      '! lookup: argument day was narrowed from string to date',
      '  lookup: argument day no longer has the format "date"',
      '  lookup: argument day no longer has the pattern "^(?:(?:\\\\d\\\\d[2468][048]|\\\\d\\\\d…',
    ],
  },
  {
    what: 'further members of a strict object',
    live: lookup({}, { input: describeWhole(z.object({ a: z.object({}) })) }),
    next: lookup({}, { input: describeWhole(z.strictObject({ a: z.strictObject({}) })) }),
    there: [
      '! lookup: argument a has no further members any more',
      '! lookup: the input has no further members any more',
    ],
    back: ['  lookup: argument a may have further members now', '  lookup: the input may have further members now'],
  },
  {
    what: 'further members of a result',
    live: lookup({}, { output: describeResult(z.looseObject({})) }),
    next: lookup({}, { output: describeResult(z.object({})) }),
    there: ['! lookup: the result has no further members any more'],
    back: ['  lookup: the result may have further members now'],
  },
  {
    what: 'a member that may be null, and left out or not',
    live: lookup({ by: z.object({ a: z.string().nullish() }) }),
    next: lookup({ by: z.object({ a: z.string().nullable(), b: z.string().nullable() }) }),
    there: ['! lookup: argument by.a may no longer be left out', '! lookup: argument by.b was added without a default'],
    back: ['! lookup: argument by.b was removed', '  lookup: argument by.a may be left out now'],
  },
];

const insideCases: readonly ContractCase[] = [
  {
    what: 'the name of a core object',
    live: manifest({ objects: { create: procedure('create_1', {}).manifest } }),
    next: manifest({ objects: { create: procedure('create_2', {}).manifest } }),
    there: ['  create: the procedure is create_2 now, and was create_1'],
    back: ['  create: the procedure is create_1 now, and was create_2'],
  },
  {
    what: 'an object that only code uses',
    live: manifest({ objects: { totals: procedure('totals_1', { a: integer }).manifest } }),
    next: manifest({ objects: { totals: procedure('totals_2', { b: integer }).manifest } }),
    there: ['  *: the procedure behind totals is totals_2 now, and was totals_1'],
    back: ['  *: the procedure behind totals is totals_1 now, and was totals_2'],
  },
  {
    what: 'the store and the domains that are called',
    live: manifest({ store: 'main', peers: ['countries', 'people'] }),
    next: manifest({ store: 'other', peers: ['people', 'rivers'] }),
    there: ['  *: store changed from main to other', '  *: calls rivers now', '  *: calls countries no longer'],
    back: ['  *: store changed from other to main', '  *: calls countries now', '  *: calls rivers no longer'],
  },
  {
    what: 'nothing but version, notes, build and bytes',
    live: manifest(),
    next: manifest({ version: '2.0.0', notes: 'New.', sdk: '9.9.9', entry: 'a.js', files: {} }),
    there: [],
    back: [],
  },
];

const ordersOf = (where?: { readonly owner?: 'user.id' | 'user.roles' }): Manifest =>
  manifest({
    objects: {
      fetch: view('order_list', { id: integer, owner: text }, where === undefined ? {} : { where }).manifest,
    },
  });
const closing = procedure('order_close', { id: integer, owner: text.optional() });

const accessCases: readonly ContractCase[] = [
  {
    what: 'who may call an operation, from anyone to users',
    live: lookup({}),
    next: lookup({}, { access: 'signed-in' }),
    there: ['! lookup: access changed from anyone to every user: whoever is not signed in may no longer'],
    back: ['+ lookup: access changed from every user to anyone: whoever is not signed in may now'],
  },
  {
    what: 'who may call an operation, from users to roles',
    live: lookup({}, { access: 'signed-in' }),
    next: lookup({}, { access: ['clerk'] }),
    there: ['! lookup: access changed from every user to the roles clerk: every user may no longer'],
    back: ['+ lookup: access changed from the roles clerk to every user: every user may now'],
  },
  {
    what: 'the roles that may call an operation',
    live: lookup({}, { access: ['clerk', 'admin'] }),
    next: lookup({}, { access: ['admin', 'auditor'] }),
    there: [
      '! lookup: access changed from the roles admin, clerk to the roles admin, auditor: clerk may no longer',
      '+ lookup: access changed from the roles admin, clerk to the roles admin, auditor: auditor may now',
    ],
    back: [
      '! lookup: access changed from the roles admin, auditor to the roles admin, clerk: auditor may no longer',
      '+ lookup: access changed from the roles admin, auditor to the roles admin, clerk: clerk may now',
    ],
  },
  {
    what: 'who may call an operation, from roles to code, which cannot be compared',
    live: lookup({}, { access: ['clerk'] }),
    next: lookup({}, { access: 'code' }),
    there: [
      '! lookup: access changed from the roles clerk to whom its code lets: others may no longer',
      '+ lookup: access changed from the roles clerk to whom its code lets: others may now',
    ],
    back: [
      '! lookup: access changed from whom its code lets to the roles clerk: others may no longer',
      '+ lookup: access changed from whom its code lets to the roles clerk: others may now',
    ],
  },
  {
    what: 'the rows that there are for a user',
    live: ordersOf(),
    next: ordersOf({ owner: 'user.id' }),
    there: ['! fetch: rows are bound by owner = user.id now'],
    back: ['+ fetch: rows are no longer bound by owner = user.id'],
  },
  {
    what: 'an argument that is filled in from the user',
    live: manifest({ objects: { close: closing.manifest } }),
    next: manifest({ objects: { close: closing.bind({ owner: 'user.id' }).manifest } }),
    there: ['  *: close: argument owner is user.id now'],
    back: ['+ *: close: argument owner is no longer user.id'],
  },
  {
    what: 'in whose name a domain is called',
    live: manifest({ peers: ['stock'] }),
    next: manifest({ peers: ['stock'], asDomain: ['stock'] }),
    there: ['+ *: calls stock in its own name now, whoever is signed in'],
    back: [],
  },
];

/** One change of each class, in both directions. */
export const contractCases: readonly ContractCase[] = [
  ...operationCases,
  ...argumentCases,
  ...coreCases,
  ...resultCases,
  ...insideCases,
  ...accessCases,
];
