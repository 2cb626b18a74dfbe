import type { Access } from '../template/access.js';
import type { Json, JsonObject } from '../template/json.js';
import type { Manifest, ObjectManifest, Returns } from '../template/manifest.js';
import { takesNull, type ValueDescription, type ValueFields } from '../template/values.js';
import { CORE_OPERATIONS, type CallMode } from './envelope.js';

/** The operation that every domain answers besides its own: what it takes and gives. Whoever may call a domain may be let ask it. */
export const DESCRIBE = 'describe';

/** https://json-schema.org/draft/2020-12 */
export type JsonSchema = JsonObject;

export interface OperationDescription {
  readonly mode: CallMode;
  /** An object of the members that the envelope has beside `v`, `id`, `domain`, `op` and `meta`: `payload`, `query`, `key`. */
  readonly request: JsonSchema;
  /** The `data` of a reply. */
  readonly data: JsonSchema;
  /** Who may call it, where the domain says so. */
  readonly access?: Access;
}

export interface ErrorDescription {
  readonly status: string;
  readonly retryable: boolean;
  readonly message: string;
}

/** What a version of a domain says of itself to those who call it. Names of the database are no part of it. */
export interface DomainDescription {
  readonly domain: string;
  readonly version: string;
  /** Of the host that answers; another one counts for itself. */
  readonly generation: number;
  /** The field that identifies a record. */
  readonly key: string;
  readonly operations: Readonly<Record<string, OperationDescription>>;
  /** The rows of each view that may be fetched, by its name; `fetch` is the one without a name. */
  readonly views: Readonly<Record<string, JsonSchema>>;
  /** What a failed reply may say, by code. */
  readonly errors: Readonly<Record<string, ErrorDescription>>;
}

/** The description of a version, from its manifest alone. */
export function describeDomain(
  manifest: Pick<Manifest, 'domain' | 'version' | 'key' | 'operations' | 'objects'>,
  of: Pick<DomainDescription, 'generation' | 'errors'>,
): DomainDescription {
  const { domain, version, key } = manifest;
  const views = viewsOf(manifest);
  const operations = Object.entries(manifest.operations).map(([name, { mode, idempotent, access }]) => [
    name,
    {
      mode: mode === 'write' && idempotent ? 'idempotent' : mode,
      request: requestOf(name, manifest, views),
      data: dataOf(name, manifest, views),
      ...(access !== undefined && { access }),
    },
  ]);
  return {
    ...{ domain, version, generation: of.generation, key },
    operations: Object.fromEntries(operations) as DomainDescription['operations'],
    ...{ views, errors: of.errors },
  };
}

type Described = Pick<Manifest, 'key' | 'operations' | 'objects'>;
type Views = DomainDescription['views'];

function viewsOf({ objects, operations }: Described): Views {
  const views = Object.entries(objects).flatMap(([alias, object]): [string, JsonSchema][] =>
    object.kind === 'view' && (alias === 'fetch' || object.fetchable === true) ? [[alias, rowOf(object.columns)]] : [],
  );
  const fetched = objects['fetch'] === undefined ? operations['fetch']?.output : undefined;
  const ofCode: [string, JsonSchema][] = fetched?.items === undefined ? [] : [['fetch', given(fetched.items)]];
  return Object.fromEntries([...ofCode, ...views]);
}

/** The members that an operation takes. */
function requestOf(name: string, manifest: Described, views: Views): JsonSchema {
  const { key, operations } = manifest;
  const object = servedBy(name, manifest);
  const args = object === undefined || object.kind === 'view' ? undefined : object.args;
  const input = operations[name]?.input;
  const payload = args === undefined ? (input === undefined ? { type: 'object' } : taken(input)) : argumentsOf(args);
  switch (name) {
    case 'create':
      return members({ payload });
    case 'fetch':
      return members({ query: queryOf(object, views), key: keyOf(manifest, views) }, []);
    case 'update':
      return members({ key: keyOf(manifest, views), payload: without(payload, key) });
    case 'delete':
      return members({ key: keyOf(manifest, views) });
    default:
      return members({ payload }, Array.isArray(payload['required']) ? undefined : []);
  }
}

/** The object that serves one of the four. n.b. one of an operation's own name is something that its code calls. */
function servedBy(name: string, { objects }: Described): ObjectManifest | undefined {
  return (CORE_OPERATIONS as readonly string[]).includes(name) ? objects[name] : undefined;
}

function dataOf(name: string, manifest: Described, views: Views): JsonSchema {
  if (name === 'fetch') return { type: 'array', items: views['fetch'] ?? { type: 'object' } };
  const object = servedBy(name, manifest);
  const output = manifest.operations[name]?.output;
  if (object?.kind === 'procedure') return recordOf(object.returns);
  return output === undefined ? {} : given(output);
}

/** What a core operation answers: the row that its procedure returns, or how many it changed. */
function recordOf(returns: Returns | undefined): JsonSchema {
  if (returns === undefined) return members({ affected: { type: 'integer' } });
  return Array.isArray(returns) ? {} : given(returns as ValueDescription);
}

function keyOf({ key, objects }: Described, views: Views): JsonSchema {
  const column = (views['fetch']?.['properties'] as JsonObject | undefined)?.[key] as JsonSchema | undefined;
  const update = objects['update'];
  const argument = update === undefined || update.kind === 'view' ? undefined : update.args[key];
  if (argument !== undefined) return plainOf(argument);
  return column ?? { type: ['string', 'number', 'boolean'] };
}

function queryOf(object: ObjectManifest | undefined, views: Views): JsonSchema {
  if (object?.kind !== 'view') return { type: 'object' };
  const names = Object.keys(views);
  const rows = Object.values(views).map((row) => row['properties'] as JsonObject);
  const columns = Object.assign({}, ...rows) as JsonObject;
  const filters = { type: 'array', items: { type: 'object' } };
  const order = members({ column: { enum: Object.keys(columns) }, direction: { enum: ['asc', 'desc'] } }, ['column']);
  return members(
    {
      view: { enum: names.filter((name) => name !== 'fetch') },
      where: {
        type: 'object',
        properties: Object.fromEntries(Object.entries(columns).map(([name, value]) => [name, comparisonOf(value)])),
        additionalProperties: false,
      },
      ...{ and: filters, or: filters, not: { type: 'object' } },
      order: { type: 'array', items: order },
      limit: { type: 'integer', minimum: 0 },
      cursor: { type: 'string' },
      count: { type: 'boolean' },
    },
    [],
  );
}

function comparisonOf(value: Json | undefined): JsonSchema {
  const one = (value ?? {}) as JsonSchema;
  const list = { type: 'array', items: one };
  const comparisons = { ...{ eq: one, ne: one, lt: one, lte: one, gt: one, gte: one, in: list, between: list } };
  const ofTexts = { prefix: { type: 'string' }, contains: { type: 'string' }, isNull: { type: 'boolean' } };
  return { anyOf: [one, members({ ...comparisons, ...ofTexts }, [])] };
}

/** An object of these members and no others; `required`: default all. */
function members(properties: Readonly<Record<string, JsonSchema>>, required = Object.keys(properties)): JsonSchema {
  return { type: 'object', properties, ...(required.length > 0 && { required }), additionalProperties: false };
}

function without(object: JsonSchema, name: string): JsonSchema {
  const { properties, required, ...rest } = object;
  if (properties === undefined) return object;
  const { [name]: _, ...others } = properties as JsonObject;
  const still = Array.isArray(required) ? required.filter((one) => one !== name) : [];
  return { ...rest, properties: others, ...(still.length > 0 && { required: still }) };
}

function argumentsOf(fields: ValueFields): JsonSchema {
  const required = Object.entries(fields).filter(
    ([, { optional, default: by }]) => optional !== true && by === undefined,
  );
  const properties = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, taken(value)]));
  return members(
    properties,
    required.map(([name]) => name),
  );
}

function rowOf(fields: ValueFields): JsonSchema {
  return members(Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, given(value)])));
}

/** A value that callers pass: what may be left out may be null, too, unless that is the only way. */
function taken(value: ValueDescription): JsonSchema {
  const schema = nested(value, taken, argumentsOf);
  const known = value.default === undefined ? schema : { ...schema, default: value.default };
  const isNull = (value.optional === true && takesNull(value)) || value.default !== undefined;
  return isNull ? orNull(known) : known;
}

/** A value that a domain gives. */
function given(value: ValueDescription): JsonSchema {
  const schema = nested(value, given, rowOf);
  return value.optional === true ? orNull(schema) : schema;
}

function nested(
  value: ValueDescription,
  one: (value: ValueDescription) => JsonSchema,
  all: (fields: ValueFields) => JsonSchema,
): JsonSchema {
  if (value.type === 'object') return all(value.fields ?? {});
  if (value.type !== 'list') return plainOf(value);
  const { items = { type: 'json' }, maxItems } = value;
  return { type: 'array', items: one(items), ...(maxItems !== undefined && { maxItems }) };
}

function plainOf({ type, maxLength, min, max, values, schema }: ValueDescription): JsonSchema {
  const bounds = { ...(min !== undefined && { minimum: min }), ...(max !== undefined && { maximum: max }) };
  switch (type) {
    case 'string':
      return { type: 'string', ...ofLength(maxLength) };
    case 'integer':
    case 'number':
      return { type, ...bounds };
    case 'bigint':
      return { type: 'string', format: 'int', pattern: '^-?[0-9]+$' };
    case 'decimal':
      return { type: 'string', format: 'decimal', pattern: '^-?[0-9]+([.][0-9]+)?$' };
    case 'boolean':
      return { type: 'boolean' };
    case 'date':
      return { type: 'string', format: 'date' };
    case 'datetime':
      return { type: 'string', format: 'date-time' };
    case 'binary':
      return { type: 'string', contentEncoding: 'base64', ...ofLength(base64Length(maxLength)) };
    case 'enum':
      return { enum: values ?? [] };
    case 'schema':
      return schema ?? {};
    case 'json':
    case 'list':
    case 'object':
      return {};
  }
}

function ofLength(maxLength: number | undefined): JsonSchema {
  return maxLength === undefined ? {} : { maxLength };
}

/** Characters of the base64 of so many bytes. */
function base64Length(bytes: number | undefined): number | undefined {
  return bytes === undefined ? undefined : 4 * Math.ceil(bytes / 3);
}

function orNull(schema: JsonSchema): JsonSchema {
  const { type, enum: values } = schema;
  if (typeof type === 'string') return { ...schema, type: [type, 'null'] };
  if (Array.isArray(values)) return { ...schema, enum: [...(values as readonly Json[]), null] };
  return Object.keys(schema).length === 0 ? schema : { anyOf: [schema, { type: 'null' }] };
}
