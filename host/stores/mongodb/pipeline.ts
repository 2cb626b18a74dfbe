import type { Context, Part } from './body.js';
import {
  ABSENT,
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
import { collectionProblem } from './collection-name.js';
import { expression } from './expression.js';
import { query } from './query.js';

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
export function pipeline(node: unknown, context: Context): Part {
  return pipelineWithin(node, context, stages);
}

/** An update written as a pipeline. */
export function updatePipeline(node: unknown, context: Context): Part {
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
