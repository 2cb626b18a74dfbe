import type { ValueType } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';

/** The collection that the DBA describes the named objects of a database in. */
export const CATALOGUE = 'beds_objects';

/** What `beds db apply` has put into a database. */
export const APPLIED = 'beds_applied';

// https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
const COLLECTION = /^(?!system\.|\.)[^$\0]{1,120}$/;

/** Why this names no collection that objects may use; undefined where it does. */
export function collectionProblem(name: unknown): string | undefined {
  if (typeof name !== 'string' || !COLLECTION.test(name)) return 'must be the name of a collection';
  return name === CATALOGUE || name === APPLIED ? `must not be ${name}, which is of BEDS itself` : undefined;
}

/** What a bound argument gives: its BSON value, or nothing where the DBA lets it fall away. */
export type Arguments = ReadonlyMap<string, unknown>;

/** A part of a body, ready to be filled in. */
export type Part = (args: Arguments) => unknown;

/** Stands for a part that falls away because its optional argument was left out. */
export const ABSENT: unique symbol = Symbol('absent');

/** What is learned of a body while it is compiled. */
export interface Compilation {
  readonly declared: ReadonlySet<string>;
  readonly optional: ReadonlySet<string>;
  /** Arguments that are whole numbers. */
  readonly whole: ReadonlySet<string>;
  readonly used: Set<string>;
  readonly problems: string[];
  /** Collections that a pipeline reads besides its own. */
  readonly reads: Set<string>;
}

export interface Context {
  readonly into: Compilation;
  /** Where in the body, for messages. */
  readonly at: string;
  /** Whether `absent: 'omit'` may be used here. */
  readonly mayOmit: boolean;
}

export type PlainObject = Readonly<Record<string, unknown>>;

/** Whether a node is a document, not a BSON value such as a date or an ObjectId. */
export function isDocument(node: unknown): node is PlainObject {
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return false;
  const prototype: unknown = Object.getPrototypeOf(node);
  return (prototype === Object.prototype || prototype === null) && !('_bsontype' in node);
}

function isArgument(node: unknown): node is PlainObject {
  return isDocument(node) && '$arg' in node;
}

function inside(context: Context, key: string | number): Context {
  return { ...context, at: `${context.at}.${key}` };
}

function problem(context: Context, text: string): Part {
  context.into.problems.push(`${context.at}: ${text}`);
  return () => undefined;
}

/** `{ $arg: name }` or `{ $arg: name, absent: 'omit' }`. */
function argument(node: PlainObject, context: Context, wrap: (value: unknown, name: string) => unknown): Part {
  const { $arg: name, absent, ...rest } = node;
  if (typeof name !== 'string') return problem(context, '$arg must be the name of an argument');
  if (Object.keys(rest).length > 0) return problem(context, `$arg ${name} stands with other keys than absent`);
  if (absent !== undefined && absent !== 'omit') return problem(context, `absent of $arg ${name} knows only 'omit'`);
  if (!context.into.declared.has(name)) return problem(context, `$arg names ${name}, which args does not declare`);
  context.into.used.add(name);
  if (absent === 'omit') {
    if (!context.mayOmit) return problem(context, `$arg ${name} must not be omitted here`);
    if (!context.into.optional.has(name)) return problem(context, `$arg ${name} is omitted but is not optional`);
    return (args) => (args.get(name) === null ? ABSENT : wrap(args.get(name), name));
  }
  return (args) => wrap(args.get(name), name);
}

/** A document whose fields are compiled one by one. What lost all its fields to absent arguments is absent itself. */
function documentOf(parts: readonly (readonly [string, Part])[]): Part {
  return (args) => {
    const entries = parts.map(([key, part]) => [key, part(args)] as const).filter(([, value]) => value !== ABSENT);
    return entries.length === 0 && parts.length > 0 ? ABSENT : Object.fromEntries(entries);
  };
}

function listOf(parts: readonly Part[]): Part {
  return (args) => {
    const items = parts.map((part) => part(args)).filter((value) => value !== ABSENT);
    return items.length === 0 && parts.length > 0 ? ABSENT : items;
  };
}

function constant(node: unknown): Part {
  return () => node;
}

/** A part in which no argument can stand. */
function fixed(node: unknown, context: Context): Part {
  if (isArgument(node)) return problem(context, 'an argument cannot stand here');
  const children = Array.isArray(node) ? [...node.entries()] : isDocument(node) ? Object.entries(node) : [];
  for (const [key, child] of children) fixed(child, inside(context, key));
  return constant(node);
}

/** A part in which every node is a plain value: documents to store, values to compare with. */
function value(node: unknown, context: Context): Part {
  if (isArgument(node)) return argument(node, context, (bound) => bound);
  if (Array.isArray(node)) return listOf(node.map((item, index) => value(item, inside(context, index))));
  if (!isDocument(node)) return constant(node);
  return documentOf(Object.entries(node).map(([key, child]) => [key, value(child, inside(context, key))]));
}

/** The text that a regular expression matches only literally. */
export function quotePattern(text: string): string {
  // n.b. a pattern travels as a C string: it cannot hold NUL itself.
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&').replaceAll('\0', '\\x00');
}

/** A caller's text in a pattern is text: it matches itself. */
function pattern(node: unknown, context: Context): Part {
  if (!isArgument(node)) return fixed(node, context);
  return argument(node, context, (bound, name) => {
    if (typeof bound === 'string') return quotePattern(bound);
    throw storeErrors.make('BEDS_STORE_INVALID_VALUE', 'A value must be text.', { field: name });
  });
}

const INT32_MAX = 2_147_483_647;

/** A whole number from `least`, such as a limit, or what stands for one that was left out. */
function wholeNumber(least: number, otherwise?: unknown): (node: unknown, context: Context) => Part {
  const isWhole = (node: unknown): boolean =>
    Number.isInteger(node) && Number(node) >= least && Number(node) <= INT32_MAX;
  return (node, context) => {
    if (!isArgument(node))
      return isWhole(node) ? constant(node) : problem(context, `must be a whole number from ${least}`);
    const { whole } = context.into;
    if (typeof node['$arg'] === 'string' && context.into.declared.has(node['$arg']) && !whole.has(node['$arg'])) {
      return problem(context, `$arg ${node['$arg']} must be declared as integer here`);
    }
    return argument(node, { ...context, mayOmit: false }, (bound, name) => {
      if (bound === null && otherwise !== undefined) return otherwise;
      if (isWhole(bound)) return bound;
      throw storeErrors.make('BEDS_STORE_INVALID_VALUE', `A value must be a whole number from ${least}.`, {
        field: name,
      });
    });
  };
}

const LOGICAL = ['$and', '$or', '$nor'];
const LISTS = ['$in', '$nin', '$all'];

/** A `$match` or a `filter`: arguments are values to compare with, never conditions. */
function query(node: unknown, context: Context): Part {
  if (!isDocument(node) || isArgument(node)) return problem(context, 'must be a document of conditions');
  return documentOf(Object.entries(node).map(([key, child]) => [key, condition(key, child, inside(context, key))]));
}

function condition(key: string, node: unknown, context: Context): Part {
  if (LOGICAL.includes(key)) {
    if (!Array.isArray(node)) return problem(context, 'must be a list of conditions');
    return listOf(node.map((item, index) => query(item, inside(context, index))));
  }
  if (key === '$expr') return expression(node, context);
  if (key === '$jsonSchema') return fixed(node, context);
  if (key.startsWith('$') && isArgument(node)) return problem(context, 'an argument cannot be a condition');
  return key.startsWith('$') ? value(node, context) : predicate(node, context);
}

function predicate(node: unknown, context: Context): Part {
  if (isArgument(node) || !isDocument(node) || !Object.keys(node).some((key) => key.startsWith('$'))) {
    return value(node, context);
  }
  return documentOf(Object.entries(node).map(([key, child]) => [key, comparison(key, child, inside(context, key))]));
}

function comparison(key: string, node: unknown, context: Context): Part {
  if (LISTS.includes(key)) return list(node, context);
  if (key === '$regex') return pattern(node, context);
  if (key !== '$not' && key !== '$elemMatch') return value(node, context);
  if (!isDocument(node)) return constant(node);
  if (isArgument(node)) return problem(context, 'an argument cannot be a condition');
  return Object.keys(node).some((name) => name.startsWith('$')) ? predicate(node, context) : query(node, context);
}

function list(node: unknown, context: Context): Part {
  if (!isArgument(node)) return value(node, context);
  return argument(node, context, (bound, name) => {
    if (Array.isArray(bound)) return bound as readonly unknown[];
    throw storeErrors.make('BEDS_STORE_INVALID_VALUE', 'A value must be a list.', { field: name });
  });
}

/** Their operand, or its `field`, is the name of a field. */
const FIELD_NAMES = ['$getField', '$setField', '$unsetField'];
const PATTERNS = ['$regexMatch', '$regexFind', '$regexFindAll'];

/**
 * An aggregation expression. There a string such as `$price` is the path of a field, so every argument is wrapped in
 * $literal: https://www.mongodb.com/docs/manual/reference/operator/aggregation/literal/
 */
function expression(node: unknown, context: Context): Part {
  const strict = { ...context, mayOmit: false };
  if (isArgument(node)) return argument(node, strict, (bound) => ({ $literal: bound }));
  if (Array.isArray(node)) return listOf(node.map((item, index) => expression(item, inside(strict, index))));
  if (!isDocument(node)) return constant(node);
  return documentOf(Object.entries(node).map(([key, child]) => [key, operand(key, child, inside(strict, key))]));
}

function operand(key: string, node: unknown, context: Context): Part {
  if (key === '$literal') return value(node, context);
  if (FIELD_NAMES.includes(key))
    return isArgument(node) ? fixed(node, context) : operands(node, context, { field: fixed });
  return PATTERNS.includes(key) ? operands(node, context, { regex: literalPattern }) : expression(node, context);
}

/** Expressions all, but for the operands named. */
function operands(
  node: unknown,
  context: Context,
  special: Readonly<Record<string, (node: unknown, context: Context) => Part>>,
): Part {
  if (!isDocument(node)) return expression(node, context);
  return documentOf(
    Object.entries(node).map(([name, child]) => {
      const compile = Object.hasOwn(special, name) ? special[name] : undefined;
      return [name, (compile ?? expression)(child, inside(context, name))];
    }),
  );
}

function literalPattern(node: unknown, context: Context): Part {
  if (!isArgument(node)) return expression(node, context);
  const quoted = pattern(node, context);
  return (args) => ({ $literal: quoted(args) });
}

type Stage = (node: unknown, context: Context) => Part;

/** A stage that is a document, each field of which has its own kind; other fields are fixed. */
function fields(kinds: Readonly<Record<string, Stage>>, rest: Stage): Stage {
  return (node, context) => {
    if (!isDocument(node) || isArgument(node)) return rest(node, context);
    return documentOf(
      Object.entries(node).map(([key, child]) => {
        const kind = Object.hasOwn(kinds, key) ? kinds[key] : undefined;
        return [key, (kind ?? rest)(child, inside(context, key))];
      }),
    );
  };
}

const shaped: Stage = (node, context) =>
  isArgument(node) ? problem(context, 'an argument cannot be a whole stage') : expression(node, context);

const strictValue: Stage = (node, context) => value(node, { ...context, mayOmit: false });

/** What a pipeline may hold, and what arguments mean in it. A stage that is not here is refused. */
const stages: Readonly<Record<string, Stage>> = {
  $match: query,
  $limit: wholeNumber(1),
  $skip: wholeNumber(0, 0),
  $sample: fields({ size: wholeNumber(1) }, fixed),
  $sort: fixed,
  $count: fixed,
  $unset: fixed,
  $unwind: fixed,
  $project: shaped,
  $addFields: shaped,
  $set: shaped,
  $group: shaped,
  $bucket: shaped,
  $bucketAuto: shaped,
  $sortByCount: shaped,
  $replaceRoot: shaped,
  $replaceWith: shaped,
  $redact: shaped,
  $setWindowFields: shaped,
  $densify: fixed,
  $fill: shaped,
  $geoNear: fields({ query, near: strictValue, maxDistance: strictValue, minDistance: strictValue }, fixed),
  $facet: (node, context) => {
    if (!isDocument(node) || isArgument(node)) return problem(context, 'must be a document of pipelines');
    return documentOf(
      Object.entries(node).map(([key, child]) => [key, pipelineWithin(child, inside(context, key), stages)]),
    );
  },
  $lookup: (node, context) => {
    readsFrom(node, 'from', context);
    return fields({ let: shaped, pipeline: (child, at) => pipelineWithin(child, at, stages) }, fixed)(node, context);
  },
  $unionWith: (node, context) => {
    readsFrom(typeof node === 'string' ? { coll: node } : node, 'coll', context);
    return fields({ pipeline: (child, at) => pipelineWithin(child, at, stages) }, fixed)(node, context);
  },
  $graphLookup: (node, context) => {
    readsFrom(node, 'from', context);
    const kinds = { startWith: expression, restrictSearchWithMatch: query, maxDepth: strictValue };
    return fields(kinds, fixed)(node, context);
  },
};

const UPDATE_STAGES = ['$addFields', '$set', '$project', '$unset', '$replaceRoot', '$replaceWith'];

const updateStages = Object.fromEntries(Object.entries(stages).filter(([name]) => UPDATE_STAGES.includes(name)));

/** n.b. some servers take `{ db, coll }` for a collection elsewhere. */
function readsFrom(node: unknown, key: string, context: Context): void {
  const from = isDocument(node) ? node[key] : undefined;
  const wrong = collectionProblem(from);
  if (wrong !== undefined) problem(inside(context, key), wrong);
  else context.into.reads.add(String(from));
  if (isDocument(node) && node['db'] !== undefined) problem(inside(context, 'db'), 'is not allowed');
}

/** The pipeline of a view or of the operation `aggregate`. */
function pipeline(node: unknown, context: Context): Part {
  return pipelineWithin(node, context, stages);
}

/** An update written as a pipeline. */
function updatePipeline(node: unknown, context: Context): Part {
  return pipelineWithin(node, context, updateStages);
}

function pipelineWithin(node: unknown, context: Context, known: Readonly<Record<string, Stage>>): Part {
  if (!Array.isArray(node)) return problem(context, 'must be a list of stages');
  const list = listOf(node.map((item: unknown, index) => stage(item, inside(context, index), known)));
  return (args) => {
    const bound = list(args);
    return bound === ABSENT ? [] : bound;
  };
}

function stage(node: unknown, context: Context, known: Readonly<Record<string, Stage>>): Part {
  const entries = isDocument(node) ? Object.entries(node) : [];
  const [first] = entries;
  if (first === undefined || entries.length !== 1) return problem(context, 'must be a document with one stage');
  const [name, child] = first;
  const kind = Object.hasOwn(known, name) ? known[name] : undefined;
  if (kind === undefined) return problem(context, `the stage ${name} is not allowed`);
  return documentOf([[name, kind(child, inside(context, name))]]);
}

type Compile = (node: unknown, context: Context) => Part;

interface Operation {
  readonly mode: 'read' | 'write';
  /** Actions of MongoDB's roles that it needs on its collection. */
  readonly actions: readonly string[];
  readonly required: Readonly<Record<string, Compile>>;
  readonly optional: Readonly<Record<string, Compile>>;
  /** Whether a failure half-way leaves some documents changed. */
  readonly many?: true;
}

const filter: Compile = query;

/** A filter of a write: one that an absent argument widens would change documents that nobody meant. */
const strictFilter: Compile = (node, context) => query(node, { ...context, mayOmit: false });

const document: Compile = (node, context) => {
  if (isArgument(node)) return argument(node, context, storedDocument);
  return isDocument(node) ? value(node, context) : problem(context, 'must be a document or an argument');
};

const documents: Compile = (node, context) => {
  if (isArgument(node)) return argument(node, context, storedDocuments);
  if (!Array.isArray(node)) return problem(context, 'must be a list or an argument');
  return listOf(node.map((item, index) => document(item, inside(context, index))));
};

/** n.b. of anything else the driver would make a document of its own: `{}` of a number, `{ 0: 'a' }` of a text or a list. */
function storedDocument(bound: unknown, name: string): unknown {
  if (isDocument(bound)) return bound;
  throw storeErrors.make('BEDS_STORE_INVALID_VALUE', 'A value must be a JSON object.', { field: name });
}

function storedDocuments(bound: unknown, name: string): unknown {
  if (Array.isArray(bound) && bound.length > 0 && bound.every(isDocument)) return bound;
  throw storeErrors.make('BEDS_STORE_INVALID_VALUE', 'A value must be a list of JSON objects, with at least one.', {
    field: name,
  });
}

const choice =
  (...known: readonly unknown[]): Compile =>
  (node, context) =>
    known.includes(node) ? constant(node) : problem(context, `knows only ${known.join(', ')}`);

const update: Compile = (node, context) => {
  if (Array.isArray(node)) return updatePipeline(node, context);
  if (!isDocument(node) || isArgument(node)) return problem(context, 'must be a document of update operators');
  return documentOf(
    Object.entries(node).map(([operator, changes]) => [operator, change(operator, changes, inside(context, operator))]),
  );
};

function change(operator: string, node: unknown, context: Context): Part {
  if (!operator.startsWith('$')) return problem(context, 'is not an update operator; replaceOne replaces a document');
  // The caller would choose which fields to change.
  if (!isDocument(node) || isArgument(node)) return problem(context, 'must name the fields that it changes');
  if (operator === '$rename') return fixed(node, context);
  return value(node, context);
}

const arrayFilters: Compile = (node, context) =>
  Array.isArray(node)
    ? listOf(node.map((item, index) => strictFilter(item, inside(context, index))))
    : problem(context, 'must be a list of conditions');

const common = { collation: fixed, hint: fixed };
const flag = choice(true, false);

/** The operations a catalogue entry may name: what its body holds, and what arguments mean in each part of it. */
export const OPERATIONS = {
  aggregate: { mode: 'read', actions: ['find'], required: { pipeline }, optional: common },
  find: {
    mode: 'read',
    actions: ['find'],
    required: { filter },
    optional: {
      ...common,
      projection: fixed,
      sort: fixed,
      limit: wholeNumber(1, ABSENT),
      skip: wholeNumber(0, ABSENT),
    },
  },
  count: { mode: 'read', actions: ['find'], required: { filter }, optional: common },
  insertOne: { mode: 'write', actions: ['insert'], required: { document }, optional: {} },
  insertMany: { mode: 'write', actions: ['insert'], required: { documents }, optional: {}, many: true },
  updateOne: {
    mode: 'write',
    actions: ['update'],
    required: { filter: strictFilter, update },
    optional: { ...common, upsert: flag, arrayFilters },
  },
  updateMany: {
    mode: 'write',
    actions: ['update'],
    required: { filter: strictFilter, update },
    optional: { ...common, upsert: flag, arrayFilters },
    many: true,
  },
  replaceOne: {
    mode: 'write',
    actions: ['update'],
    required: { filter: strictFilter, replacement: document },
    optional: { ...common, upsert: flag },
  },
  deleteOne: { mode: 'write', actions: ['remove'], required: { filter: strictFilter }, optional: common },
  deleteMany: { mode: 'write', actions: ['remove'], required: { filter: strictFilter }, optional: common, many: true },
  findOneAndUpdate: {
    mode: 'write',
    actions: ['find', 'update'],
    required: { filter: strictFilter, update },
    optional: { ...common, sort: fixed, upsert: flag, arrayFilters, returnDocument: choice('after', 'before') },
  },
  findOneAndDelete: {
    mode: 'write',
    actions: ['find', 'remove'],
    required: { filter: strictFilter },
    optional: { ...common, sort: fixed },
  },
  // What the rules of a domain say of an operation: see operations.ts.
  ask: { mode: 'read', actions: [], required: { rules: fixed, operation: fixed }, optional: { together: fixed } },
  act: { mode: 'write', actions: [], required: { rules: fixed, operation: fixed }, optional: { together: fixed } },
} as const satisfies Readonly<Record<string, Operation>>;

export type OperationName = keyof typeof OPERATIONS;

export function isOperation(name: unknown): name is OperationName {
  return typeof name === 'string' && Object.hasOwn(OPERATIONS, name);
}

export function operationOf(name: OperationName): Operation {
  return OPERATIONS[name];
}

/** The parts of a body, ready to be filled in, by the name the driver calls them. */
export type CompiledBody = Readonly<Record<string, Part>>;

export interface CompileResult {
  readonly parts: CompiledBody;
  readonly problems: readonly string[];
  /** Collections that the body reads besides its own. */
  readonly reads: readonly string[];
}

/** Run code in the server, write elsewhere, or look behind the collection. */
const FORBIDDEN = new Set(['$out', '$merge', '$function', '$accumulator', '$where']);

export interface BodySource {
  readonly op: OperationName;
  readonly body: unknown;
  /** The arguments, and which of them may be left out. */
  readonly args: ReadonlyMap<string, { readonly optional: boolean; readonly type: ValueType }>;
}

/** Reads a body once: what arguments mean in it, and everything that is wrong with it. */
export function compileBody({ op, body, args }: BodySource): CompileResult {
  const into: Compilation = {
    declared: new Set(args.keys()),
    optional: new Set([...args].filter(([, arg]) => arg.optional).map(([name]) => name)),
    whole: new Set([...args].filter(([, arg]) => arg.type === 'integer').map(([name]) => name)),
    used: new Set(),
    problems: [],
    reads: new Set(),
  };
  const context: Context = { into, at: 'body', mayOmit: true };
  const parts = isDocument(body) ? compileParts(op, body, context) : {};
  if (!isDocument(body)) problem(context, 'must be a document');
  findForbidden(body, context);
  for (const name of into.declared) {
    if (!into.used.has(name)) into.problems.push(`args.${name}: is declared but the body does not use it`);
  }
  return { parts, problems: into.problems, reads: [...into.reads] };
}

function compileParts(op: OperationName, body: PlainObject, context: Context): CompiledBody {
  const { required, optional } = operationOf(op);
  for (const name of Object.keys(required)) {
    if (!Object.hasOwn(body, name)) problem(context, `${op} needs ${name}`);
  }
  const known = { ...required, ...optional };
  return Object.fromEntries(
    Object.entries(body).map(([name, node]) => {
      const compile = Object.hasOwn(known, name) ? known[name] : undefined;
      const at = inside(context, name);
      return [name, compile === undefined ? problem(at, `${op} does not know this part`) : compile(node, at)];
    }),
  );
}

function findForbidden(node: unknown, context: Context): void {
  if (Array.isArray(node)) {
    for (const [index, item] of node.entries()) findForbidden(item, inside(context, index));
    return;
  }
  if (typeof node !== 'object' || node === null) return;
  if ((node as { _bsontype?: unknown })._bsontype === 'Code') problem(context, 'holds JavaScript');
  if (!isDocument(node)) return;
  for (const [key, child] of Object.entries(node)) {
    if (FORBIDDEN.has(key)) problem(inside(context, key), 'is not allowed');
    findForbidden(child, inside(context, key));
  }
}
