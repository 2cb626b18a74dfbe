import type {
  Access,
  Problem,
  Json,
  JsonObject,
  Manifest,
  ObjectManifest,
  OperationMode,
  Template,
  TemplateContext,
  ValueDescription,
} from '@beds/sdk';
import {
  allows,
  type CheckedResult,
  compileArguments,
  compileInput,
  compileResult,
  CORE_OPERATIONS,
  DESCRIBE,
  describeDomain,
  checkQueryForm,
  hasQueryForm,
  sayProblems,
  type RequestEnvelope,
  type ServedBy,
  templateErrors,
} from '#sdk/template';
import { meant } from '#sdk/nearest';
import { requestErrors } from '../errors/request.js';
import { storeErrors } from '../errors/store.js';
import { checkPage, checkRecord, encodeServedBy, type OperationResult } from './encode.js';
import { type CallerBook, type Callers, OperationUsage } from './observations.js';
import { type Authority, requireUser } from './request-scope.js';

/** The part of an envelope that an operation reads. */
export type OperationInput = Pick<RequestEnvelope, 'payload' | 'query' | 'key'>;

/** One operation of one generation, with everything that can be prepared once already done. */
export interface Operation {
  readonly name: string;
  readonly mode: OperationMode;
  /** Whether a message that may have been worked on already is run again. */
  readonly repeatable: boolean;
  /** Who may call it; undefined: anyone. */
  readonly access: OperationAccess | undefined;
  /** Who calls it. */
  readonly callers: Callers;
  /** How often, how fast, and with which objects. */
  readonly usage: OperationUsage;
  /** The `by` of its replies. */
  readonly byJson: string;
  /** Starts the template's code; what it gives, or promises, goes through `resultOf`. Throws for input that does not fit. */
  run(input: OperationInput, ctx: TemplateContext): unknown;
  /** Throws BEDS_REQUEST_BAD_RESULT for what the operation must not give. */
  resultOf(value: unknown): OperationResult;
}

/** Who may call an operation. */
export interface OperationAccess {
  readonly rule: Access;
  /** Of `fetch`: by the views that have a rule of their own. */
  readonly views: ReadonlyMap<string, Access>;
}

export interface Compiling {
  readonly manifest: Manifest;
  /** Who may call what the template says nothing of. */
  readonly defaultAccess: Access;
  readonly book: CallerBook;
  readonly by: ServedBy;
}

/** The operations of a template by the name they have on the wire. */
export function compileOperations(
  template: Template,
  { manifest, book, by, defaultAccess }: Compiling,
): ReadonlyMap<string, Operation> {
  const operations = new Map<string, Operation>();
  const add = (name: string, code: Pick<Operation, 'mode' | 'repeatable' | 'run' | 'resultOf'>): void => {
    const { mode, repeatable } = code;
    const byJson = encodeServedBy({ ...by, mode: mode === 'write' && repeatable ? 'idempotent' : mode });
    const access = name === DESCRIBE ? undefined : accessOf(name, manifest, defaultAccess);
    const usage = new OperationUsage();
    operations.set(name, { name, ...code, access, callers: book.of(manifest.domain, name), usage, byJson });
  };
  const core = coreOperations(template, manifest);
  for (const name of CORE_OPERATIONS) {
    const mode = name === 'fetch' ? 'read' : 'write';
    const repeatable = mode === 'read' || manifest.operations[name]?.idempotent === true;
    const resultOf = coreResult(name, template.definition.operations[name]?.output);
    add(name, { mode, repeatable, run: core[name], resultOf });
  }
  for (const [name, custom] of Object.entries(template.operations)) {
    const check = compileInput(custom.input);
    const read = compileResult(custom.output);
    const isCode = manifest.operations[name]?.access === 'code';
    add(name, {
      mode: custom.mode,
      repeatable: custom.mode === 'read' || custom.idempotent,
      run: (input, ctx) => {
        refuse(input, ['query', 'key']);
        const checked = check(input.payload ?? {});
        if (!checked.ok) throw invalid(`payload.${checked.problem.field}`, checked.problem.message);
        if (isCode) requireByCode(template, name, { ctx, input: checked.value });
        return custom.run(checked.value, ctx);
      },
      resultOf: (value) => ({ data: accept(read(value)) }),
    });
  }
  // n.b. as text: it is made once, and code of other domains that gets it gets one of its own.
  let description: string | undefined;
  add(DESCRIBE, {
    ...{ mode: 'read', repeatable: true },
    run: (input) => {
      refuse(input, ['payload', 'query', 'key']);
      description ??= JSON.stringify(
        describeDomain(manifest, { generation: by.generation ?? 0, errors: CALLER_ERRORS }),
      );
      return JSON.parse(description) as unknown;
    },
    resultOf: (value) => ({ data: value as Json }),
  });
  return operations;
}

function accessOf(name: string, { operations, objects }: Manifest, byDefault: Access): OperationAccess | undefined {
  const rule = operations[name]?.access ?? byDefault;
  const views = new Map<string, Access>();
  if (name === 'fetch') {
    for (const [alias, object] of Object.entries(objects)) {
      if (object.kind === 'view' && object.access !== undefined) views.set(alias, object.access);
    }
  }
  return rule === 'anyone' && views.size === 0 ? undefined : { rule, views };
}

/**
 * Throws BEDS_REQUEST_SIGN_IN or BEDS_REQUEST_FORBIDDEN where the rule of the operation does not let this one pass, before anything else is
 * looked at. n.b. where code decides it is asked by `run`, once the input has been checked.
 */
export function requireAccess({ access }: Operation, { query }: OperationInput, who: Authority): void {
  if (access === undefined) return;
  const view: unknown = query?.view;
  const rule = (typeof view === 'string' ? access.views.get(view) : undefined) ?? access.rule;
  if (rule === 'anyone' || (rule === 'host' && who.isHost)) return;
  if (rule === 'host') throw requestErrors.make('BEDS_REQUEST_FORBIDDEN');
  if (who.asDomain !== undefined && rule !== 'code') return;
  if (!allows(rule, requireUser(who))) throw requestErrors.make('BEDS_REQUEST_FORBIDDEN');
}

/** n.b. a promise is no consent: only true is. */
function requireByCode(
  { access = {} }: Template,
  name: string,
  { ctx, input }: { readonly ctx: TemplateContext; readonly input: JsonObject },
): void {
  const decide: unknown = Object.hasOwn(access, name) ? access[name] : undefined;
  const isAllowed = typeof decide === 'function' && ctx.user !== undefined && access[name]?.(ctx.user, input) === true;
  if (!isAllowed) throw requestErrors.make('BEDS_REQUEST_FORBIDDEN');
}

const FORM = { meant };

/** What a caller may be answered. */
const CALLER_ERRORS = Object.fromEntries(
  [requestErrors, storeErrors, templateErrors].flatMap(({ specs }) =>
    Object.entries(specs).map(([code, { status, retryable = false, message }]) => [
      code,
      { status, retryable, message },
    ]),
  ),
);

/** What asks the code of a template who may call one of the four, with input that has been checked; undefined: nothing to ask. */
function byCode(
  name: (typeof CORE_OPERATIONS)[number],
  template: Template,
  { operations }: Manifest,
): ((input: JsonObject, ctx: TemplateContext) => void) | undefined {
  if (operations[name]?.access !== 'code') return undefined;
  const object = template.definition.objects[name];
  const input = template.definition.operations[name]?.input;
  const check =
    object !== undefined && object.kind !== 'view'
      ? compileArguments(object.args)
      : compileInput(input ?? { type: 'schema' });
  return (given, ctx) => {
    const checked = name === 'fetch' ? undefined : check(given);
    if (checked?.ok === false) throw invalid(`payload.${checked.problem.field}`, checked.problem.message);
    requireByCode(template, name, { ctx, input: checked?.value ?? given });
  };
}

function coreOperations(
  template: Template,
  manifest: Manifest,
): Readonly<Record<(typeof CORE_OPERATIONS)[number], Operation['run']>> {
  const { key, objects } = manifest;
  const [create, fetch, update, remove] = CORE_OPERATIONS.map((name) => byCode(name, template, manifest));
  const isView = (alias: string): boolean => objects[alias]?.kind === 'view';
  const accessTo = (alias: string): Access | undefined => {
    const object = objects[alias];
    return object?.kind === 'view' ? object.access : undefined;
  };
  const fetchable = new Set(['fetch', ...Object.keys(objects).filter((alias) => isFetchableView(objects[alias]))]);
  return {
    create: (input, ctx) => {
      refuse(input, ['query', 'key']);
      const payload = required(input.payload, 'payload');
      create?.(payload, ctx);
      return template.createRecord(payload, ctx);
    },
    fetch: (input, ctx) => {
      refuse(input, ['payload']);
      if (input.key !== undefined && input.query !== undefined) throw invalid('key', 'excludes query');
      if (input.key !== undefined) {
        const asked = { where: { [key]: input.key }, limit: 1 };
        fetch?.(asked, ctx);
        return template.fetchRecords(asked, ctx);
      }
      const query = input.query ?? {};
      const alias = typeof query.view === 'string' ? query.view : 'fetch';
      const isRight = hasQueryForm(query);
      if (fetchable.has(alias)) {
        if (alias !== 'fetch' && accessTo(alias) === 'code')
          requireByCode(template, alias, { ctx, input: query as JsonObject });
        else if (alias === 'fetch' || accessTo(alias) === undefined) fetch?.(query as JsonObject, ctx);
        if (alias === 'fetch' && isRight) return template.fetchRecords(query, ctx);
        // n.b. what is wrong is said together with what the columns of the view have to say.
        if (isView(alias)) return ctx.view(alias, query);
      }
      const problems: Problem[] = [];
      if (!isRight) checkQueryForm(query, problems, FORM);
      if (!fetchable.has(alias)) problems.push(notFetchable(alias, fetchable));
      throw invalidQuery(problems);
    },
    update: (input, ctx) => {
      refuse(input, ['query']);
      const payload = required(input.payload, 'payload');
      const keyed = withKey(payload, key, input.key);
      update?.(keyed, ctx);
      return template.updateRecord(keyed, ctx);
    },
    delete: (input, ctx) => {
      refuse(input, ['query', 'payload']);
      const id = required(input.key, 'key');
      remove?.({ [key]: id }, ctx);
      return template.deleteRecord(id, ctx);
    },
  };
}

function isFetchableView(object: ObjectManifest | undefined): boolean {
  return object?.kind === 'view' && object.fetchable === true;
}

function notFetchable(alias: string, fetchable: ReadonlySet<string>): Problem {
  const message = `is no view that callers may fetch${meant(alias, fetchable)}; there are: ${[...fetchable].join(', ')}`;
  return { field: 'query.view', message };
}

/** Makes (does not throw) the error that says everything that is wrong with a query. */
export function invalidQuery(problems: readonly Problem[]): Error {
  const { message, details } = sayProblems(problems);
  return requestErrors.make('BEDS_REQUEST_INVALID', message, details);
}

/** What the four must give: where code serves them, what it declares; what an object gives has been read by its `returns`. */
function coreResult(name: string, output: ValueDescription | undefined): (value: unknown) => OperationResult {
  if (output === undefined) return name === 'fetch' ? checkPage : (value) => ({ data: checkRecord(value) });
  const read = compileResult(output);
  if (name !== 'fetch') return (value) => ({ data: accept(read(value)) });
  return (value) => {
    const page = checkPage(value);
    return { data: accept(read(page.data)), cursor: page.cursor, count: page.count };
  };
}

function accept(checked: CheckedResult): Json {
  if ('value' in checked) return checked.value;
  const { message, details } = sayProblems(checked.problems);
  throw requestErrors.make('BEDS_REQUEST_BAD_RESULT', message, details);
}

function withKey(payload: JsonObject, column: string, key: OperationInput['key']): JsonObject {
  if (key === undefined) {
    if (Object.hasOwn(payload, column)) return payload;
    throw invalid('key', 'is required');
  }
  if (Object.hasOwn(payload, column) && payload[column] !== key) throw invalid('key', `differs from payload.${column}`);
  // n.b. in this order: V8 takes thirty times as long for an object that begins with a spread and goes on.
  return { [column]: key, ...payload };
}

function required<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw invalid(field, 'is required');
  return value;
}

function refuse(input: OperationInput, fields: readonly (keyof OperationInput)[]): void {
  for (const field of fields) {
    if (input[field] !== undefined) throw invalid(field, 'is not accepted by this operation');
  }
}

function invalid(field: string, problem: string): Error {
  return requestErrors.make('BEDS_REQUEST_INVALID', `${field} ${problem}.`, { field });
}
