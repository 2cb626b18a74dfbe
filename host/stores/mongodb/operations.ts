import type { Context, Part } from './body.js';
import {
  ABSENT,
  constant,
  documentOf,
  fixed,
  inside,
  isArgument,
  isDocument,
  listOf,
  problem,
  value,
  wholeNumber,
} from './body.js';
import { pipeline, updatePipeline } from './pipeline.js';
import { query } from './query.js';

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

const document: Compile = (node, context) =>
  isDocument(node) ? value(node, context) : problem(context, 'must be a document or an argument');

const documents: Compile = (node, context) =>
  isArgument(node) || Array.isArray(node) ? value(node, context) : problem(context, 'must be a list or an argument');

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
} as const satisfies Readonly<Record<string, Operation>>;

export type OperationName = keyof typeof OPERATIONS;

export function isOperation(name: unknown): name is OperationName {
  return typeof name === 'string' && Object.hasOwn(OPERATIONS, name);
}

export function operationOf(name: OperationName): Operation {
  return OPERATIONS[name];
}
