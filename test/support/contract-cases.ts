import { describeValues, routine, view, type Manifest, type OperationManifest, type ValuesSpec } from '@beds/sdk';

const CORE: Manifest['operations'] = {
  create: { mode: 'write', idempotent: false },
  fetch: { mode: 'read', idempotent: true },
  update: { mode: 'write', idempotent: false },
  delete: { mode: 'write', idempotent: false },
};

const BUNDLE = { 'index.js': { sha256: 'a'.repeat(64), bytes: 1 } };

/** A manifest with nothing in it but the four operations. */
export function manifest(part: Partial<Manifest> = {}): Manifest {
  const base = {
    manifestVersion: 1,
    contract: 1,
    domain: 'cities',
    version: '1.0.0',
    store: 'main',
    key: 'id',
  } as const;
  const rest = { objects: {}, domains: [], entry: 'index.js', files: BUNDLE, sdk: '0.1.0' };
  return { ...base, ...rest, ...part, operations: { ...CORE, ...part.operations } };
}

/** A manifest with one operation more. */
export function lookup(args: ValuesSpec, more: Partial<OperationManifest> = {}): Manifest {
  return manifest({ operations: { lookup: { mode: 'read', args: describeValues(args), ...more } } });
}

function fetching(columns: ValuesSpec): Manifest {
  return manifest({ objects: { fetch: view('city_list', { id: 'integer', ...columns }) } });
}

function creating(args: ValuesSpec): Manifest {
  return manifest({ objects: { create: routine('city_create', args) } });
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

const integer = { type: 'integer' } as const;
const text = { type: 'string' } as const;

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
    next: lookup({ limit: 'integer?' }),
    there: ['  lookup: optional argument limit was added'],
    back: ['! lookup: argument limit was removed'],
  },
  {
    what: 'an argument with a default',
    live: lookup({}),
    next: lookup({ limit: { ...integer, default: 5 } }),
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
    live: lookup({ limit: 'integer?' }),
    next: lookup({ limit: integer }),
    there: ['! lookup: argument limit became required'],
    back: ['  lookup: argument limit became optional'],
  },
  {
    what: 'whether an argument has a default',
    live: lookup({ limit: { ...integer, default: 5 } }),
    next: lookup({ limit: integer }),
    there: ['! lookup: argument limit became required'],
    back: ['  lookup: argument limit became optional'],
  },
  {
    what: 'the default of an optional argument',
    live: lookup({ limit: { ...integer, optional: true, default: 5 } }),
    next: lookup({ limit: 'integer?' }),
    there: ['  lookup: default of argument limit (5) is gone'],
    back: ['  lookup: default of argument limit was set to 5'],
  },
  {
    what: 'the value of a default',
    live: lookup({ filter: { type: 'json', default: { a: [1] } } }),
    next: lookup({ filter: { type: 'json', default: { a: 'x'.repeat(60) } } }),
    there: [`  lookup: default of argument filter changed from {"a":[1]} to {"a":"${'x'.repeat(34)}…`],
    back: [`  lookup: default of argument filter changed from {"a":"${'x'.repeat(34)}… to {"a":[1]}`],
  },
  {
    what: 'the type of an argument, to one that takes the same and more',
    live: lookup({ day: 'date' }),
    next: lookup({ day: text }),
    there: ['  lookup: argument day was widened from date to string'],
    back: ['! lookup: argument day was narrowed from string to date'],
  },
  {
    what: 'the type of an argument, whole numbers and numbers',
    live: lookup({ size: { ...integer, min: 0, max: 100 } }),
    next: lookup({ size: { type: 'number', min: 0, max: 100 } }),
    there: ['  lookup: argument size was widened from integer to number'],
    back: ['! lookup: argument size was narrowed from number to integer'],
  },
  {
    what: 'the type of an argument, whole numbers that may be beyond 2^53',
    live: lookup({ size: integer }),
    next: lookup({ size: 'number' }),
    there: ['! lookup: argument size changed from integer to number, which has no whole numbers beyond 2^53'],
    back: ['! lookup: argument size changed from number to integer'],
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
    live: lookup({ name: { ...text, maxLength: 60 } }),
    next: lookup({ name: { ...text, maxLength: 20 } }),
    there: ['! lookup: maxLength of argument name was lowered from 60 to 20'],
    back: ['  lookup: maxLength of argument name was raised from 20 to 60'],
  },
  {
    what: 'whether the length of an argument is bound',
    live: lookup({ name: text }),
    next: lookup({ name: { ...text, maxLength: 20 } }),
    there: ['! lookup: maxLength of argument name was set to 20'],
    back: ['  lookup: maxLength of argument name (20) is gone'],
  },
  {
    what: 'the range of an argument',
    live: lookup({ top: { ...integer, min: 0, max: 50 } }),
    next: lookup({ top: { ...integer, min: 1, max: 20 } }),
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
    what: 'an argument of the routine behind create',
    live: creating({ name: text }),
    next: creating({ name: text, country: text }),
    there: ['! create: argument country was added without a default'],
    back: ['! create: argument country was removed'],
  },
  {
    what: 'a condition of a fetch by routine',
    live: manifest({ objects: { fetch: routine('find', { name: 'string?' }) } }),
    next: manifest({ objects: { fetch: routine('find', { name: 'string' }) } }),
    there: ['! fetch: argument name became required'],
    back: ['  fetch: argument name became optional'],
  },
  {
    what: 'the key of the routine behind delete, which is all that callers pass',
    live: manifest({ objects: { delete: routine('remove', { id: 'integer', why: 'string?' }) } }),
    next: manifest({ objects: { delete: routine('remove', { id: 'string' }) } }),
    there: ['! delete: argument id changed from integer to string'],
    back: ['! delete: argument id changed from string to integer'],
  },
  {
    what: 'the key of a domain',
    live: manifest({ objects: { delete: routine('remove', { id: 'integer' }) } }),
    next: manifest({ key: 'code', objects: { delete: routine('remove', { code: 'integer' }) } }),
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
    live: fetching({ size: 'number' }),
    next: fetching({ size: 'integer' }),
    there: ['  fetch: result column size was narrowed from number to integer'],
    back: ['! fetch: result column size was widened from integer to number'],
  },
  {
    what: 'the type of a column, JSON and anything',
    live: fetching({ size: 'json' }),
    next: fetching({ size: 'string' }),
    there: ['  fetch: result column size was narrowed from json to string'],
    back: ['! fetch: result column size was widened from string to json'],
  },
  {
    what: 'the type of a column, text and what is written as text',
    live: fetching({ founded: 'string' }),
    next: fetching({ founded: 'date' }),
    there: ['! fetch: result column founded was narrowed from string to date, so it can no longer be searched as text'],
    back: ['! fetch: result column founded was widened from date to string'],
  },
  {
    what: 'the type of a column, to another',
    live: fetching({ size: 'boolean' }),
    next: fetching({ size: 'integer' }),
    there: ['! fetch: result column size changed from boolean to integer'],
    back: ['! fetch: result column size changed from integer to boolean'],
  },
  {
    what: 'the bounds of a column, where a reader may meet more',
    live: fetching({ name: { ...text, maxLength: 20 } }),
    next: fetching({ name: { ...text, maxLength: 60 } }),
    there: ['! fetch: maxLength of result column name was raised from 20 to 60'],
    back: ['  fetch: maxLength of result column name was lowered from 60 to 20'],
  },
  {
    what: 'whether a column is called optional, which promises nothing',
    live: fetching({ name: 'string' }),
    next: fetching({ name: 'string?' }),
    there: [],
    back: [],
  },
  {
    what: 'whether reads are shared, which changes nothing that was promised',
    live: fetching({}),
    next: manifest({ objects: { fetch: view('city_list', { id: 'integer' }, { share: true }) } }),
    there: [],
    back: [],
  },
  {
    what: 'the kind of the object behind fetch',
    live: fetching({}),
    next: manifest({ objects: { fetch: routine('city_list', { id: 'integer?' }) } }),
    there: ['! fetch: is served by a routine now instead of a view: orders, pages and comparisons are refused'],
    back: ['! fetch: is served by a view now instead of a routine: rows come in pages'],
  },
  {
    what: 'whether an object or code serves an operation',
    live: creating({ name: text }),
    next: manifest(),
    there: ['  create: is served by code now, whose input and result are not compared'],
    back: ['  create: has the routine city_create now; before, code served it'],
  },
];

const insideCases: readonly ContractCase[] = [
  {
    what: 'the name of a core object',
    live: manifest({ objects: { create: routine('create_1', {}) } }),
    next: manifest({ objects: { create: routine('create_2', {}) } }),
    there: ['  create: the routine is create_2 now, and was create_1'],
    back: ['  create: the routine is create_1 now, and was create_2'],
  },
  {
    what: 'an object that only code uses',
    live: manifest({ objects: { totals: routine('totals_1', { a: 'integer' }) } }),
    next: manifest({ objects: { totals: routine('totals_2', { b: 'integer' }) } }),
    there: ['  *: the routine behind totals is totals_2 now, and was totals_1'],
    back: ['  *: the routine behind totals is totals_1 now, and was totals_2'],
  },
  {
    what: 'the store and the domains that are called',
    live: manifest({ store: 'main', domains: ['countries', 'people'] }),
    next: manifest({ store: 'other', domains: ['people', 'rivers'] }),
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

/** One change of each class, in both directions. */
export const contractCases: readonly ContractCase[] = [
  ...operationCases,
  ...argumentCases,
  ...coreCases,
  ...insideCases,
];
