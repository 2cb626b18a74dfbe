import type { JsonObject, ObjectManifest } from '@beds/sdk';
import { BSON, type Db, type Document, MongoServerError } from 'mongodb';
import { checkUse } from '../check-use.js';
import type { NamedObject, ObjectFinding } from '../contract.js';
import { refusalOf } from '../refusals.js';
import type { Deadline } from '../deadlines.js';
import {
  CATALOGUE,
  collectionProblem,
  isDocument,
  compileBody,
  type OperationName,
  isOperation,
  OPERATIONS,
  operationOf,
} from './body.js';
import { serverMs, signalOf } from './client.js';
import { packRules, readRules, type RulesEntry } from './operation-rules.js';
import { readPrivileges } from './server-profile.js';
import { type Field, type ParsedValue, parseValues } from './values.js';

/** What only this adapter knows of a named object. Plain data: the body travels as base64 of its BSON. */
export interface NativeObject extends JsonObject {
  readonly op: OperationName;
  readonly on: string;
  readonly body: string;
  readonly args: Readonly<Record<string, Field>>;
  /** Columns of a view, or what a routine returns; null where it returns whole documents. */
  readonly fields: Readonly<Record<string, Field>> | null;
  /** 'view' where the server itself serves the view. */
  readonly servedBy: 'catalogue' | 'view';
  /** What callers are told where no document is met; null: that is no failure. */
  readonly whenNone: string | null;
  readonly problems: readonly string[];
  /** Grants it needs, `action collection`, that the account does not have. An entry with problems needs none. */
  readonly missingGrants: readonly string[];
}

/** What the server says beside the catalogue. */
export interface ServerKnowledge {
  /** Names that the server lists as views: on a server with access control, those that the account may use. */
  readonly views: ReadonlySet<string>;
  readonly may: (action: string, collection: string) => boolean;
  readonly transactions?: boolean;
  /** Rules of domains, by the names of their entries. Absent: they are not at hand. */
  readonly rules?: ReadonlyMap<string, RulesEntry>;
}

const KEYS = ['_id', 'kind', 'on', 'op', 'args', 'columns', 'body', 'returns', 'native', 'whenNone', 'notes'];
const KINDS = ['view', 'procedure', 'function'] as const;
/** An entry that holds the specification of a domain, for the operations that name it. */
export const RULES = 'rules';

export function nativeOf(object: NamedObject): NativeObject {
  return object.native as NativeObject;
}

/** A catalogue entry as a named object. A wrong entry is one too: it carries its problems, and `check` reports them. */
export function parseEntry(entry: Readonly<Record<string, unknown>>, server: ServerKnowledge): NamedObject {
  const problems = Object.keys(entry)
    .filter((key) => !KEYS.includes(key))
    .map(() => `knows only ${KEYS.join(', ')}`)
    .slice(0, 1);
  const kind = KINDS.find((known) => known === entry['kind']);
  if (kind === undefined) problems.push(`kind: must be one of ${KINDS.join(', ')}`);
  if (typeof entry['_id'] !== 'string' || entry['_id'] === '') problems.push('_id: must be a name');
  return kind === 'view'
    ? viewOf(entry, server, problems)
    : routineOf(kind ?? 'procedure', entry, { server, problems });
}

function viewOf(entry: Readonly<Record<string, unknown>>, server: ServerKnowledge, problems: string[]): NamedObject {
  const name = String(entry['_id']);
  for (const key of ['op', 'args', 'returns', 'whenNone']) {
    if (entry[key] !== undefined) problems.push(`${key}: does not belong to a view`);
  }
  const columns = parseValues(entry['columns'], 'columns', problems);
  if (columns.length === 0) problems.push('columns: a view needs at least one');
  const served = servedView(name, entry, { server, problems });
  const native = nativeObject({ ...served, op: 'aggregate', args: [], fields: columns }, { server, problems });
  return { kind: 'view', name, columns: columns.map(({ value }) => value), native };
}

/** A native view where the server has it; the catalogued pipeline of the same entry where it does not. */
function servedView(
  name: string,
  entry: Readonly<Record<string, unknown>>,
  { server, problems }: Findings,
): Pick<Source, 'on' | 'body' | 'servedBy'> {
  const { on, body, native } = entry;
  const pipeline = { on, body, servedBy: 'catalogue' } as const;
  if (native !== undefined && typeof native !== 'boolean') problems.push('native: must be a boolean');
  if (native !== true) return pipeline;
  const view = { on: name, body: { pipeline: [] }, servedBy: 'view' } as const;
  const hasPipeline = body !== undefined;
  if (hasPipeline) problems.push(...pipelineProblems(on, body));
  if (server.views.has(name)) return view;
  if (hasPipeline && (typeof on !== 'string' || server.may('find', on))) return pipeline;
  // n.b. a view that is not granted is not listed either: then the grant is what is missing.
  if (server.may('find', name)) {
    problems.push('native: this server has no such view; create it, or add on and body to serve it from here');
  }
  return view;
}

/** What is wrong with the pipeline of a native view is wrong even while nobody reads it. */
function pipelineProblems(on: unknown, body: unknown): readonly string[] {
  const problem = collectionProblem(on);
  const { problems } = compileBody({ op: 'aggregate', body, args: new Map() });
  return [...(problem === undefined ? [] : [`on: ${problem}`]), ...problems];
}

function routineOf(
  kind: 'procedure' | 'function',
  entry: Readonly<Record<string, unknown>>,
  findings: Findings,
): NamedObject {
  const { problems } = findings;
  for (const key of ['columns', 'native']) {
    if (entry[key] !== undefined) problems.push(`${key}: belongs to a view only`);
  }
  const op = entry['op'];
  if (!isOperation(op)) problems.push(`op: must be one of ${Object.keys(OPERATIONS).join(', ')}`);
  else if (kind === 'function' && operationOf(op).mode === 'write') problems.push(`op: a function cannot ${op}`);
  const args = parseValues(entry['args'], 'args', problems);
  const returns = entry['returns'] === undefined ? null : parseValues(entry['returns'], 'returns', problems);
  const source: Source = {
    op: isOperation(op) ? op : 'find',
    on: entry['on'],
    body: isOperation(op) ? entry['body'] : { filter: {} },
    args,
    fields: returns,
    servedBy: 'catalogue',
  };
  if (op === 'ask' || op === 'act')
    return {
      kind,
      name: String(entry['_id']),
      args: args.map(({ value }) => value),
      native: carriedOut(entry, { op, args, returns }, findings),
    };
  const { whenNone } = entry;
  if (whenNone !== undefined) problems.push(...whenNoneProblems(entry));
  const native = { ...nativeObject(source, findings), whenNone: typeof whenNone === 'string' ? whenNone : null };
  const inParts = isOperation(op) && operationOf(op).many === true ? ({ inParts: true } as const) : {};
  return { kind, name: String(entry['_id']), args: args.map(({ value }) => value), ...inParts, native };
}

/** An operation of a domain whose rules are an entry of their own. */
function carriedOut(
  entry: Readonly<Record<string, unknown>>,
  { op, args, returns }: Pick<Source, 'args'> & { readonly op: 'ask' | 'act'; readonly returns: Source['fields'] },
  { server, problems }: Findings,
): NativeObject {
  const body = isDocument(entry['body']) ? entry['body'] : {};
  const { rules: name, operation, together, ...others } = body;
  for (const key of ['on', 'whenNone']) if (entry[key] !== undefined) problems.push(`${key}: does not belong to ${op}`);
  if (entry['kind'] === 'function') problems.push(`op: a function cannot ${op}`);
  if (typeof name !== 'string' || typeof operation !== 'string' || Object.keys(others).length > 0)
    problems.push('body: names its rules and its operation, and says what it needs a transaction for in together');
  if (typeof together === 'string' && server.transactions === false)
    problems.push(`body.together: ${together}. MongoDB keeps that in a transaction, for which it needs a replica set`);
  const rules = server.rules?.get(String(name));
  const read = server.rules === undefined ? undefined : readRules(rules, String(operation));
  if (read !== undefined && 'problem' in read) problems.push(`body.rules: ${read.problem}`);
  const collections = read !== undefined && 'collections' in read ? read.collections : [];
  const actions = op === 'ask' ? ['find'] : ['find', 'insert', 'update', 'remove'];
  return {
    ...{ op, on: '', servedBy: 'catalogue', whenNone: null, problems: [...new Set(problems)] },
    body: Buffer.from(BSON.serialize({ rules: packRules(rules), operation: String(operation) })).toString('base64'),
    args: fieldsOf(args),
    fields: returns === null ? null : fieldsOf(returns),
    missingGrants: (problems.length > 0 ? [] : collections)
      .flatMap((collection) => actions.map((action) => [action, collection] as const))
      .filter(([action, collection]) => !server.may(action, collection))
      .map(([action, collection]) => `${action} ${collection}`),
  };
}

/** n.b. what is added is always there, and with `upsert` what is changed. */
function whenNoneProblems({ op, body, whenNone }: Readonly<Record<string, unknown>>): readonly string[] {
  if (op === 'insertOne' || op === 'insertMany' || op === 'count') return [`whenNone: ${op} always gives something`];
  if (isDocument(body) && body['upsert'] === true) return ['whenNone: with upsert there is always a document'];
  return typeof whenNone === 'string' && refusalOf(whenNone) !== undefined
    ? []
    : ['whenNone: must be a text such as "[conflict] The seat is taken."'];
}

interface Source {
  readonly op: OperationName;
  readonly on: unknown;
  readonly body: unknown;
  readonly args: readonly ParsedValue[];
  readonly fields: readonly ParsedValue[] | null;
  readonly servedBy: 'catalogue' | 'view';
}

interface Findings {
  readonly server: ServerKnowledge;
  readonly problems: string[];
}

function nativeObject(source: Source, { server, problems }: Findings): NativeObject {
  const { op, body, servedBy } = source;
  const problem = collectionProblem(source.on);
  if (problem !== undefined) problems.push(`${servedBy === 'view' ? '_id' : 'on'}: ${problem}`);
  const on = problem === undefined ? String(source.on) : '';
  const args = new Map(
    source.args.map(({ value }) => [value.name, { optional: value.optional === true, type: value.type }]),
  );
  const compiled = compileBody({ op, body, args });
  problems.push(...compiled.problems);
  const needed = [
    ...operationOf(op).actions.map((action) => [action, on] as const),
    ...compiled.reads.map((collection) => ['find', collection] as const),
    ...(isDocument(body) && body['upsert'] === true ? [['insert', on] as const] : []),
  ];
  return {
    op,
    on,
    body: Buffer.from(BSON.serialize(isDocument(body) ? body : {})).toString('base64'),
    args: fieldsOf(source.args),
    fields: source.fields === null ? null : fieldsOf(source.fields),
    servedBy,
    whenNone: null,
    problems: [...new Set(problems)],
    // n.b. a grant on the collection '' is one on all of the database.
    missingGrants: (problems.length > 0 ? [] : needed)
      .filter(([action, collection]) => !server.may(action, collection))
      .map(([action, collection]) => `${action} ${collection}`),
  };
}

function fieldsOf(values: readonly ParsedValue[]): Readonly<Record<string, Field>> {
  return Object.fromEntries(values.map(({ value, field }) => [value.name, field]));
}

/** What is wrong with the catalogue entry itself and with its grants, else what the template gets wrong about it. */
export function checkObject(use: ObjectManifest, found: NamedObject | undefined): readonly ObjectFinding[] {
  if (found === undefined) return checkUse(use, found);
  const { problems, missingGrants } = nativeOf(found);
  if (problems.length > 0) {
    return problems.map((text) => ({
      code: 'BEDS_PREFLIGHT_NOT_SUPPORTED',
      object: use.name,
      message: `The entry ${use.name} of ${CATALOGUE} is wrong at ${text}.`,
      hint: `Correct the entry ${use.name}; the template activates itself then.`,
    }));
  }
  if (use.kind !== 'view' && use.prefix !== undefined) {
    const message = `${use.name} has no parameters with a prefix: its entry of ${CATALOGUE} names its arguments itself.`;
    return [{ code: 'BEDS_PREFLIGHT_NOT_SUPPORTED', object: use.name, message, hint: 'Leave out the prefix.' }];
  }
  const denied = missingGrants.map((grant): ObjectFinding => {
    const [action, ...collection] = grant.split(' ');
    return {
      code: 'BEDS_PREFLIGHT_GRANT_MISSING',
      object: use.name,
      message: `${use.name} needs the action ${action} on ${collection.join(' ')}, which the runtime account does not have.`,
      hint: `Grant ${action} on ${collection.join(' ')} to the role of the runtime account.`,
    };
  });
  return [...denied, ...checkUse(use, found)];
}

const UNAUTHORIZED = 13;

/** The entries of these names, each as the server at hand can serve it. */
export async function describeObjects(
  db: Db,
  names: readonly string[],
  { deadline, transactions }: { readonly deadline: Deadline; readonly transactions: boolean },
): Promise<ReadonlyMap<string, NamedObject>> {
  const limits = { signal: signalOf(deadline), maxTimeMS: serverMs(deadline) };
  const find = (wanted: readonly string[]): Promise<readonly Document[]> =>
    unlessDenied<Document[]>(
      db
        .collection<{ readonly _id: string }>(CATALOGUE)
        .find({ _id: { $in: [...new Set(wanted)] } }, limits)
        .toArray(),
      [],
    );
  const entries = await find(names);
  if (entries.length === 0) return new Map();
  const rulesNamed = entries.flatMap(({ body }) =>
    isDocument(body) && typeof body['rules'] === 'string' ? [body['rules']] : [],
  );
  const found = rulesNamed.length === 0 ? [] : await find(rulesNamed);
  const rules = rulesIn(found);
  const [views, may] = await Promise.all([listViews(db, signalOf(deadline)), readPrivileges(db)]);
  return new Map(
    entries.map((entry) => {
      const object = parseEntry(entry, { views, may, transactions, rules });
      return [object.name, object];
    }),
  );
}

/** The rules among these entries. */
export function rulesIn(entries: readonly Document[]): ReadonlyMap<string, RulesEntry> {
  const rules = entries.filter(({ kind }) => kind === RULES);
  return new Map(
    rules.map(({ _id, ...entry }) => {
      const { body, beside } = entry as RulesEntry;
      return [String(_id), { body, beside }];
    }),
  );
}

/** The names of all entries, in their order. */
export async function listNames(db: Db, deadline: Deadline): Promise<readonly string[]> {
  const limits = { signal: signalOf(deadline), maxTimeMS: serverMs(deadline) };
  const entries = db
    .collection<{ readonly _id: string }>(CATALOGUE)
    .find({ kind: { $ne: RULES } }, { ...limits, projection: { _id: 1 } })
    .toArray();
  return (await unlessDenied(entries, [])).map(({ _id }) => _id).sort();
}

/**
 * What the server itself calls views. A server that takes `viewOn` and ignores it lists a plain collection.
 * `authorizedCollections` asks for no more rights than the account has:
 * https://www.mongodb.com/docs/manual/reference/command/listCollections/
 */
export async function listViews(db: Db, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const options = { nameOnly: true, authorizedCollections: true, signal } as const;
  const listed = await unlessDenied(db.listCollections({}, options).toArray(), []);
  return new Set(listed.filter(({ type }) => type === 'view').map(({ name }) => name));
}

async function unlessDenied<T>(work: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof MongoServerError && error.code === UNAUTHORIZED) return otherwise;
    throw error;
  }
}
