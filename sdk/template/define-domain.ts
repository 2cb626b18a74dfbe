import type { AccessCheck, AccessRule } from './access.js';
import { coreOperations } from './core-operations.js';
import { checkDefined, DefinitionProblems, RESERVED, RESERVED_PROBLEM } from './definition-rules.js';
import type { Domain, DomainTypes } from './domain-types.js';
import { type HandlerCall, handlerCallOf } from './handler-call.js';
import type { Json, JsonObject } from './json.js';
import { CONTRACT_VERSION, type ObjectManifest, type OperationManifest } from './manifest.js';
import { ADMITTED_MARK, TEMPLATE_MARK, type CustomOperation, type Template } from './namaste-core.js';
import type {
  ArgsOf,
  Procedure,
  RecordResult,
  ReturnsOf,
  StoreFunction,
  StoreObject,
  View,
  ViewRow,
} from './objects.js';
import type { CodedOperation } from './operations.js';
import {
  type Calls,
  type CallTerms,
  type OperationInput,
  type OperationMakers,
  type OperationResult,
  operationsOf,
  type Peer,
  type Surrounded,
  type Surroundings,
} from './operations.js';
import type { Scalar } from './query.js';
import { SDK_VERSION } from './sdk-version.js';
import { templateErrors } from './template-errors.js';
import type { ShownOf } from './types.js';
import type { ValueDescription } from './values.js';
import { CORE_OPERATIONS } from '../wire/envelope.js';

type Operations = Readonly<Record<string, CodedOperation<unknown, unknown, never>>>;
/** Operations whose code works with these surroundings. */
type OperationsOf<S extends Surroundings> = Readonly<Record<string, CodedOperation<unknown, unknown, Calls<S>>>>;
type Views = Readonly<Record<string, View>>;
type Objects = Readonly<Record<string, Procedure | StoreFunction | View>>;
type PeersByName = Readonly<Record<string, Peer>>;
type Nothing = Readonly<Record<never, never>>;

type Core = 'create' | 'fetch' | 'update' | 'delete';

/** Those of the four that no object serves. */
type Unserved<S extends Surroundings> = { [K in Core]: [S[K]] extends [undefined] ? K : never }[Core];

declare const UNSERVED: unique symbol;

/** No object serves these: give objects of these names, or operations. */
export interface NothingServes<Names> {
  readonly operations: unknown;
  readonly [UNSERVED]?: Names;
}

/** Turns an operation that neither an object nor code serves into a compile error that says which. */
type Complete<Names> = [Names] extends [never] ? unknown : NothingServes<Names>;

/** Where `fetch` is a view: its columns. The key is one of them. */
type KeyOf<F> = F extends View ? keyof ViewRow<F> & string : string;

/** The parts of a definition that its code works with: each inferred by itself, and handed on as one. */
interface Around<
  Key extends string,
  C extends Procedure | undefined,
  F extends View | Procedure | undefined,
  U extends Procedure | undefined,
  D extends Procedure | undefined,
  V extends Views,
  O extends Objects,
  R extends PeersByName,
> {
  readonly key: Key;
  readonly create: C;
  readonly fetch: F;
  readonly update: U;
  readonly delete: D;
  readonly views: V;
  readonly objects: O;
  readonly peers: R;
}

type Definable = Around<
  string,
  Procedure | undefined,
  View | Procedure | undefined,
  Procedure | undefined,
  Procedure | undefined,
  Views,
  Objects,
  PeersByName
>;

type Code<P, Name extends string> = P extends { readonly [K in Name]: infer Operation } ? Operation : never;
type FetchedRow<F, P> = F extends View
  ? ViewRow<F>
  : F extends Procedure
    ? ShownOf<ReturnsOf<F>> extends readonly (infer Row)[]
      ? Row
      : JsonObject
    : OperationResult<Code<P, 'fetch'>>;
type AsObject<T> = Extract<T, object>;
type Payload<S extends Surroundings, P, Name extends Core> = AsObject<
  S[Name] extends Procedure ? ArgsOf<S[Name]> : OperationInput<Code<P, Name>>
>;
type Result<S extends Surroundings, P, Name extends Core> = S[Name] extends Procedure
  ? RecordResult<ReturnsOf<S[Name]>>
  : OperationResult<Code<P, Name>>;
type KeyType<Row, Key> = [Row] extends [never]
  ? Scalar
  : Row extends { readonly [K in Key & string]: infer V }
    ? Extract<V, Scalar>
    : Scalar;

/** What callers of the domain see. */
interface TypesFor<Name extends string, S extends Definable, P> extends DomainTypes {
  readonly name: Name;
  readonly key: S['key'];
  readonly create: { readonly payload: Payload<S, P, 'create'>; readonly result: Result<S, P, 'create'> };
  readonly update: {
    readonly payload: Omit<Payload<S, P, 'update'>, S['key']>;
    readonly result: Result<S, P, 'update'>;
  };
  readonly delete: {
    readonly id: KeyType<FetchedRow<S['fetch'], P>, S['key']>;
    readonly result: Result<S, P, 'delete'>;
  };
  readonly views: { readonly fetch: AsObject<FetchedRow<S['fetch'], P>> } & {
    readonly [K in keyof S['views']]: AsObject<ViewRow<S['views'][K]>>;
  };
  readonly operations: {
    readonly [K in Exclude<keyof P, Core>]: {
      readonly input: AsObject<OperationInput<P[K]>>;
      readonly result: OperationResult<P[K]>;
    };
  };
}

/** What `defineDomain` takes; `S`: its objects and peers. */
export interface DomainDefinition<Name extends string, S extends Definable, P extends Operations> {
  /** Lower-case letters, digits and -, at most 63. First word of the routing key. */
  readonly name: Name;
  /** Semantic version. */
  readonly version: string;
  /** The configured store that the objects live in. */
  readonly store: string;
  /** The column that identifies a record. */
  readonly key: S['key'];
  /** The objects that serve the four operations; what none serves is an operation of that name, in `operations`. */
  readonly create?: S['create'];
  readonly fetch?: S['fetch'];
  readonly update?: S['update'];
  readonly delete?: S['delete'];
  /** Further views that callers may fetch from: `fetch({ view: 'capitals' })`. */
  readonly views?: S['views'];
  /** Objects that the code calls, by alias. */
  readonly objects?: S['objects'];
  /** Other domains that the code calls, by their names. */
  readonly peers?: S['peers'];
  /**
   * Who may call which operation, or fetch from which of `views`: `{ fetch: 'anyone', create: 'signed-in', delete: ['admin'] }`, or a
   * function of the user and the input. What is not named here is as open as the host's `security.defaultAccess` says.
   */
  readonly access?: Readonly<Record<string, AccessRule>>;
  /** Operations by code; the makers know the objects and peers above. */
  readonly operations?: (makers: OperationMakers<S>) => P & { readonly [K in Unserved<S>]: Operations[string] };
  /** Free text for people: who, why, from which commit. */
  readonly notes?: Json;
  /** Runs on each broker thread before this version takes traffic. A throw refuses the version. */
  readonly setup?: (call: CallTerms<S>) => Promise<void> | void;
  /** Runs on each broker thread after the last request of this version. */
  readonly teardown?: () => Promise<void> | void;
  /** Runs once per version, before it is loaded anywhere and without databases. A throw refuses the version. */
  readonly selfTest?: () => Promise<void> | void;
}

type DefinedDomain<Name extends string, S extends Definable, P> = Domain<TypesFor<Name, S, P>> & Surrounded<S>;

/** A definition once the types have done their work. */
type LooseDefinition = DomainDefinition<string, Definable, Operations>;

const HOOKS = ['setup', 'teardown', 'selfTest'] as const;
const PARTS: readonly string[] = [
  ...['name', 'version', 'store', 'key', 'views', 'objects', 'peers', 'access', 'operations', 'notes'],
  ...CORE_OPERATIONS,
  ...HOOKS,
];

type Members = Readonly<Record<string, unknown>>;
type ObjectsByAlias = Readonly<Record<string, ObjectManifest>>;

/** The members of a part that may be left out; what is no object is named. */
function membersOf(problems: DefinitionProblems, definition: Members, part: string): Members {
  const value = definition[part] ?? {};
  return problems.record(part, value) ? value : {};
}

/** All named objects by alias, as the manifest lists them. */
function objectsOf(problems: DefinitionProblems, definition: Members): ObjectsByAlias {
  const objects: Record<string, ObjectManifest> = {};
  const add = (field: string, alias: string, object: unknown): void => {
    const manifest = (object as Partial<StoreObject> | null | undefined)?.manifest;
    if (manifest === undefined) problems.add(field, 'must be made with procedure(…), fn(…) or view(…)');
    else if (Object.hasOwn(objects, alias)) problems.add(field, `has a name that another object has: ${alias}`);
    else objects[alias] = manifest;
  };
  for (const alias of CORE_OPERATIONS) if (definition[alias] !== undefined) add(alias, alias, definition[alias]);
  for (const alias of ['update', 'delete']) {
    const object = objects[alias];
    if (object !== undefined) objects[alias] = withKey(object, definition['key']);
  }
  for (const [alias, view] of Object.entries(membersOf(problems, definition, 'views'))) {
    const manifest = (view as Partial<View> | null | undefined)?.manifest;
    if (manifest?.kind !== 'view') problems.add(`views.${alias}`, 'must be made with view(…)');
    else add(`views.${alias}`, alias, { manifest: { ...manifest, fetchable: true } });
  }
  for (const [alias, object] of Object.entries(membersOf(problems, definition, 'objects'))) {
    add(`objects.${alias}`, alias, object);
  }
  return objects;
}

/** A record is always named: `city.partial()` leaves out columns, not the key. */
function withKey(object: ObjectManifest, key: unknown): ObjectManifest {
  if (object.kind === 'view' || typeof key !== 'string') return object;
  const declared = object.args[key];
  if (declared?.optional !== true) return object;
  const { optional: _, ...required } = declared;
  return { ...object, args: { ...object.args, [key]: required } };
}

/** The operation with what its object takes and gives; undefined where there is no such object, or one with another kind of result. */
function ofObject(operation: Operations[string], objects: Objects): Operations[string] | undefined {
  const { object: alias = '' } = operation;
  const object = Object.hasOwn(objects, alias) ? objects[alias] : undefined;
  const manifest = (object as Partial<StoreObject> | null | undefined)?.manifest;
  if (object === undefined || manifest === undefined || manifest.kind === 'view') return undefined;
  const { args, returns = AFFECTED } = manifest;
  if (!('type' in returns)) return undefined;
  const isRow = manifest.kind === 'procedure' && returns.type === 'object' && returns !== AFFECTED;
  return operation.with({
    kind: 'handler',
    isIdempotent: operation.isIdempotent || ('isIdempotent' in object && object.isIdempotent),
    input: { type: 'object', fields: args },
    output: isRow ? { ...returns, optional: true } : returns,
  });
}

const AFFECTED: ValueDescription = { type: 'object', fields: { affected: { type: 'integer' } } };

function codedOperations(problems: DefinitionProblems, definition: LooseDefinition): Operations {
  const { operations, objects = {} } = definition;
  if (operations === undefined) return {};
  if (typeof operations !== 'function') {
    problems.add('operations', 'must be a function: ({ query, mutation }) => ({ … })');
    return {};
  }
  const made: unknown = operations(operationsOf());
  if (!problems.record('operations', made)) return {};
  const coded: Record<string, Operations[string]> = {};
  for (const [name, operation] of Object.entries(made as Operations)) {
    const field = `operations.${name}`;
    const { handler, kind, object } = (operation ?? {}) as Partial<Operations[string]>;
    const isCore = CORE_OPERATIONS.some((core) => core === name);
    if (RESERVED.has(name)) problems.add(field, RESERVED_PROBLEM);
    if (kind === undefined) problems.add(field, 'must be made with query(…), mutation(…) or pages(…)');
    else if (typeof handler !== 'function') problems.add(field, 'must have a function that does it');
    else if (kind === 'pages' && name !== 'fetch')
      problems.add(field, 'must be made with query(…): pages(…) is for fetch');
    else if (kind === 'unsupported' && !isCore) problems.add(field, 'is none of the four: leave it out');
    const known = kind === 'object' ? ofObject(operation, objects) : operation;
    if (known === undefined)
      problems.add(
        field,
        `is made of "${String(object)}": that must be a procedure or function in objects, with one result`,
      );
    else coded[name] = known;
  }
  if (problems.found.length > 0) return {};
  // n.b. the maker does not know which of the four it refuses.
  const { fetch } = coded;
  if (fetch?.kind !== 'unsupported') return coded;
  const output = { type: 'list', items: { type: 'json' } } as const;
  return { ...coded, fetch: fetch.with({ mode: 'read', input: undefined, output }) };
}

function operationManifests(definition: LooseDefinition, coded: Operations): Record<string, OperationManifest> {
  const manifests: Record<string, OperationManifest> = {};
  for (const name of CORE_OPERATIONS) {
    const object = definition[name];
    if (object === undefined) continue;
    const isRead = name === 'fetch';
    const idempotent = isRead || ('isIdempotent' in object && object.isIdempotent);
    manifests[name] = { mode: isRead ? 'read' : 'write', idempotent };
  }
  for (const [name, { mode, isIdempotent, input, output }] of Object.entries(coded)) {
    const parts = { ...(input !== undefined && { input }), ...(output !== undefined && { output }) };
    if (Object.hasOwn(manifests, name)) continue;
    manifests[name] = { mode, idempotent: isIdempotent, ...parts };
  }
  return manifests;
}

/** What the manifest says of a rule that code is. */
const manifestOf = (rule: AccessRule): OperationManifest['access'] => (typeof rule === 'function' ? 'code' : rule);

/** Puts the rules where they hold: at the operations, and at views that callers may fetch from. */
function withAccess(
  problems: DefinitionProblems,
  rules: Members,
  { operations, objects }: Pick<Template['definition'], 'operations' | 'objects'>,
): Pick<Template['definition'], 'operations' | 'objects'> {
  const [ruled, viewed] = [{ ...operations }, { ...objects }];
  for (const [name, rule] of Object.entries(rules)) {
    const access = manifestOf(rule as AccessRule);
    const [operation, object] = [own(ruled, name), own(viewed, name)];
    if (operation !== undefined) ruled[name] = { ...operation, ...(access !== undefined && { access }) };
    else if (object?.kind === 'view' && object.fetchable === true) {
      viewed[name] = { ...object, ...(access !== undefined && { access }) };
    } else problems.add(`access.${name}`, 'is neither an operation nor one of views');
  }
  return { operations: ruled, objects: viewed };
}

function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/** Says of each of the four what serves it twice, or not at all. */
function checkServed(problems: DefinitionProblems, definition: Members, coded: Operations): void {
  for (const name of CORE_OPERATIONS) {
    const isObject = definition[name] !== undefined;
    const isCode = Object.hasOwn(coded, name);
    if (isObject && isCode)
      problems.add(`operations.${name}`, `is served by the object ${name} already: give one of them`);
    if (!isObject && !isCode) problems.add(name, `is missing: give an object, or an operation named ${name}`);
  }
}

function refuse({ found }: Pick<DefinitionProblems, 'found'>): never {
  const lines = found.map(({ field, message }) => `- ${field} ${message}`);
  throw templateErrors.make('BEDS_TEMPLATE_INVALID', `The definition of the domain is wrong:\n${lines.join('\n')}`);
}

/** A path in the manifest as the path in the definition: `objects.create.args` is written as `create`. */
function asWritten(field: string, definition: Members): string {
  if (field === 'domain') return 'name';
  const [, alias = '', rest = ''] = /^objects\.([^.]+)(.*)$/.exec(field) ?? [];
  if (CORE_OPERATIONS.some((core) => core === alias) && definition[alias] !== undefined) return `${alias}${rest}`;
  return Object.hasOwn(definition['views'] ?? {}, alias) ? `views.${alias}${rest}` : field;
}

/** The definition as the manifest says it. Throws BEDS_TEMPLATE_INVALID with everything that is wrong. */
function describe(definition: LooseDefinition): { manifest: Template['definition']; coded: Operations } {
  const problems = new DefinitionProblems();
  const members: unknown = definition;
  if (!problems.record('definition', members)) return refuse(problems);
  problems.unknownKeys('', members, PARTS);
  for (const hook of HOOKS) {
    if (members[hook] !== undefined && typeof members[hook] !== 'function') problems.add(hook, 'must be a function');
  }
  const named = objectsOf(problems, members);
  const peersByName = membersOf(problems, members, 'peers') as PeersByName;
  const peers = Object.keys(peersByName);
  const asDomain = peers.filter((name) => peersByName[name]?.isAsDomain === true);
  const coded = codedOperations(problems, definition);
  checkServed(problems, members, coded);
  const { operations, objects } = withAccess(problems, membersOf(problems, members, 'access'), {
    operations: operationManifests(definition, coded),
    objects: named,
  });
  const manifest: Template['definition'] = {
    manifestVersion: 2,
    contract: CONTRACT_VERSION,
    domain: definition.name,
    version: definition.version,
    store: definition.store,
    key: definition.key,
    operations,
    objects,
    peers,
    ...(asDomain.length > 0 && { asDomain }),
    sdk: SDK_VERSION,
    ...(definition.notes !== undefined && { notes: definition.notes }),
  };
  const before = problems.found.length;
  if (before === 0 && ADMITTED_MARK in globalThis) return { manifest, coded };
  checkDefined(problems, { ...manifest });
  // n.b. of what is missing the check of manifests says that the operation is not there.
  const missing = new Set(problems.found.slice(0, before).map(({ field }) => `operations.${field}`));
  const found = problems.found
    .filter(({ field }) => !missing.has(field))
    .map(({ field, message }) => ({ field: asWritten(field, members), message }));
  return found.length === 0 ? { manifest, coded } : refuse({ found });
}

type Run = CustomOperation['run'];

function runOf({ handler }: Operations[string], Call: HandlerCall): Run {
  const handle = handler as (call: object) => ReturnType<Run>;
  return (input, ctx) => handle(new Call(input, ctx));
}

function customOperations(coded: Operations, runs: Readonly<Record<string, Run>>): Template['operations'] {
  const core: readonly string[] = CORE_OPERATIONS;
  return Object.fromEntries(
    Object.entries(coded).flatMap(([name, { mode, isIdempotent, input, output }]): [string, CustomOperation][] =>
      core.includes(name) || input === undefined
        ? []
        : [[name, { mode, idempotent: isIdempotent, input, ...(output && { output }), run: runs[name] as Run }]],
    ),
  );
}

/**
 * Makes a domain: the default export of `template.ts`. `create`, `fetch`, `update` and `delete` name the objects of the store
 * that serve them; `operations` adds code, beyond the four or in place of one. Throws BEDS_TEMPLATE_INVALID with everything that
 * is wrong.
 */
export function defineDomain<
  const Name extends string,
  const Key extends KeyOf<F>,
  C extends Procedure | undefined = undefined,
  F extends View | Procedure | undefined = undefined,
  U extends Procedure | undefined = undefined,
  D extends Procedure | undefined = undefined,
  V extends Views = Nothing,
  O extends Objects = Nothing,
  R extends PeersByName = Nothing,
  P extends OperationsOf<Around<Key, C, F, U, D, V, O, R>> = Nothing,
>(
  definition: DomainDefinition<Name, Around<Key, C, F, U, D, V, O, R>, P> &
    Complete<Unserved<Around<Key, C, F, U, D, V, O, R>>>,
): DefinedDomain<Name, Around<Key, C, F, U, D, V, O, R>, P> {
  const loose = definition as unknown as LooseDefinition;
  const { manifest, coded } = describe(loose);
  const Call = handlerCallOf(manifest.objects, manifest.peers);
  const code = Object.fromEntries(Object.entries(coded).map(([name, operation]) => [name, runOf(operation, Call)]));
  const { key, objects, operations } = manifest;
  const { setup, teardown, selfTest, access = {} } = loose;
  const checks = Object.entries(access).filter(([, rule]) => typeof rule === 'function');
  const begin = setup as ((call: object) => Promise<void> | void) | undefined;
  return Object.freeze({
    [TEMPLATE_MARK]: true,
    definition: manifest,
    operations: customOperations(coded, code),
    ...(checks.length > 0 && { access: Object.fromEntries(checks) as Readonly<Record<string, AccessCheck>> }),
    ...coreOperations({ key, objects, operations, code }),
    ...(begin !== undefined && { setup: (ctx: Parameters<Run>[1]) => begin(new Call(undefined, ctx)) }),
    ...(teardown !== undefined && { teardown }),
    ...(selfTest !== undefined && { selfTest }),
  }) as unknown as DefinedDomain<Name, Around<Key, C, F, U, D, V, O, R>, P>;
}

/** Recognises a template of any copy of the SDK. */
export function isTemplate(value: unknown): value is Template {
  return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[TEMPLATE_MARK] === true;
}
