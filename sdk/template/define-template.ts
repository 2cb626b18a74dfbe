import { assertDefinition } from './check-definition.js';
import { declareOperations } from './core-operations.js';
import type { ArgumentsByOperation, Complete, KeyOf, ResultsByOperation, TemplateDefinition } from './definition.js';
import { CONTRACT_VERSION, type OperationManifest } from './manifest.js';
import { TEMPLATE_MARK, type CustomOperation, type NamasteCore, type Template } from './namaste-core.js';
import type { TemplateObjects } from './objects.js';
import { SDK_VERSION } from './sdk-version.js';
import { describeValues, type ValuesSpec } from './values.js';

/** Carries the author's types, for callers typed by `typeof template`. */
declare const TYPES: unique symbol;

/** A template that remembers, in its type, its objects and the arguments and results of its operations. */
export type TypedTemplate<O, Args, Results, Key extends string = string> = Template & {
  readonly [TYPES]?: { readonly objects: O; readonly args: Args; readonly results: Results; readonly key: Key };
};

/** What `TypedTemplate` remembers. */
export type TypesOf<T> = T extends { readonly [TYPES]?: infer Types } ? Exclude<Types, undefined> : never;

/** What is left of a definition once the types have done their work. */
interface LooseDefinition extends Partial<NamasteCore>, Pick<Template, 'setup' | 'teardown' | 'selfTest'> {
  readonly domain: string;
  readonly version: string;
  readonly store: string;
  readonly key: string;
  readonly objects: Template['definition']['objects'];
  readonly domains?: readonly string[];
  readonly idempotent?: readonly string[];
  readonly operations?: Readonly<Record<string, LooseOperation>>;
  readonly notes?: NonNullable<Template['definition']['notes']>;
}

interface LooseOperation extends Pick<CustomOperation, 'mode' | 'run'> {
  readonly args: ValuesSpec;
  readonly idempotent?: boolean;
}

function describeOperations(definition: LooseDefinition): LooseDefinition {
  if (typeof definition?.operations !== 'object' || definition.operations === null) return definition;
  const described = Object.entries(definition.operations).map(([name, operation]): [string, LooseOperation] => [
    name,
    { ...operation, args: describeValues(operation?.args) },
  ]);
  return { ...definition, operations: Object.fromEntries(described) };
}

function customOperations(definition: LooseDefinition): Readonly<Record<string, CustomOperation>> {
  const entries = Object.entries(definition.operations ?? {}).map(([name, operation]): [string, CustomOperation] => [
    name,
    {
      mode: operation.mode,
      idempotent: operation.mode === 'read' || operation.idempotent === true,
      args: describeValues(operation.args),
      run: (input, ctx) => operation.run(input, ctx),
    },
  ]);
  return Object.fromEntries(entries);
}

function operationManifests(
  definition: LooseDefinition,
  custom: Readonly<Record<string, CustomOperation>>,
): Readonly<Record<string, OperationManifest>> {
  const core = (['create', 'update', 'delete'] as const).map((name): [string, OperationManifest] => [
    name,
    { mode: 'write', idempotent: definition.idempotent?.includes(name) === true },
  ]);
  const beyond = Object.entries(custom).map(([name, { mode, args, idempotent }]): [string, OperationManifest] => [
    name,
    { mode, args, idempotent },
  ]);
  return Object.fromEntries([...core, ['fetch', { mode: 'read', idempotent: true }], ...beyond]);
}

function describeTemplate(
  definition: LooseDefinition,
  operations: Readonly<Record<string, CustomOperation>>,
): Template['definition'] {
  return {
    manifestVersion: 1,
    contract: CONTRACT_VERSION,
    domain: definition.domain,
    version: definition.version,
    store: definition.store,
    key: definition.key,
    operations: operationManifests(definition, operations),
    objects: definition.objects,
    domains: definition.domains ?? [],
    sdk: SDK_VERSION,
    ...(definition.notes !== undefined && { notes: definition.notes }),
  };
}

/** Binds the author's own code to the definition it was written in, so that `this` works as it reads. */
function codeOf(definition: LooseDefinition): Partial<Template> {
  const { createRecord, fetchRecords, updateRecord, deleteRecord, setup, teardown, selfTest } = definition;
  const code = { createRecord, fetchRecords, updateRecord, deleteRecord, setup, teardown, selfTest };
  return Object.fromEntries(
    Object.entries(code).flatMap(([name, method]) => (method === undefined ? [] : [[name, method.bind(definition)]])),
  );
}

/**
 * Makes a template: the default export of `template.ts`. Objects named `create`, `fetch`, `update`, `delete` serve those
 * operations; methods override them; `operations` adds others. Throws BEDS_TEMPLATE_INVALID with everything that is wrong.
 */
export function defineTemplate<
  const O extends TemplateObjects,
  const Args extends ArgumentsByOperation = Readonly<Record<never, never>>,
  Results extends ResultsByOperation = Readonly<Record<never, never>>,
  const Domain extends string = never,
  Key extends KeyOf<O> = KeyOf<O>,
>(
  definition: TemplateDefinition<O, Domain, Args, Results> & { readonly key: Key } & Complete<O>,
): TypedTemplate<O, Args, Results, Key> {
  // The typed context is the plain one with narrower parameters, which no type can say of methods that receive it.
  const loose = describeOperations(definition as unknown as LooseDefinition);
  assertDefinition(loose);
  const operations = customOperations(loose);
  return Object.freeze({
    [TEMPLATE_MARK]: true,
    definition: describeTemplate(loose, operations),
    operations,
    ...declareOperations(loose.objects, loose.key),
    ...codeOf(loose),
  }) as unknown as TypedTemplate<O, Args, Results, Key>;
}

/** Recognises a template of any copy of the SDK. */
export function isTemplate(value: unknown): value is Template {
  return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[TEMPLATE_MARK] === true;
}
