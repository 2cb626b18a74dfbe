import { didYouMean } from '../nearest.js';
import type {
  AnsweredRecord,
  CheckedAction,
  CheckedArgument,
  CheckedQuery,
  CheckedRule,
  CheckedStep,
  Formula,
  NamedFormula,
  OrderItem,
  Type,
} from './checked.js';
import { assignment, checkBounds, checkWords } from './check-records.js';
import type { Findings } from './findings.js';
import type { ActionSpec, ArgumentSpec, EachItemStep, EachRowStep, QuerySpec, RuleSpec, Step } from './language.js';
import { FORMULA_WORDS } from './parse-formula.js';
import { argumentsOf, emptyScope, type ShapedField, type Shapes } from './shapes.js';
import { type NamedValueShape, partsOf, type Scope, typeName, unitOf } from './type-formula.js';

interface Context {
  readonly findings: Findings;
  readonly shapes: Shapes;
}

/** An action before the others are known: without its locks. */
export type ActionDraft = Omit<CheckedAction, 'locks' | 'writes' | 'withoutTransactions'>;

/* Arguments */

function checkArguments(
  { findings, shapes }: Context,
  path: string,
  specs: readonly ArgumentSpec[] | undefined,
): readonly CheckedArgument[] {
  const scope = emptyScope(shapes, 'a bound or default, which knows constants, @user, @now and @today,');
  return argumentsOf(specs).map((argument) => {
    const { spec, type } = argument;
    const at = `${path}.args.${argument.name}`;
    for (const reference of [spec, ...(spec.type === 'list' ? spec.columns : [])]) {
      if (reference.type !== 'reference' || shapes.has(reference.references)) continue;
      findings.error(`${at}.references`, 'unknown-name', {
        message: `there is no record ${reference.references}.${didYouMean(reference.references, shapes.keys())}`,
        known: [...shapes.keys()],
      });
    }
    if (spec.type === 'reference' && shapes.get(spec.references)?.keys.length !== 1 && shapes.has(spec.references)) {
      const keys = shapes.get(spec.references)?.keys.join(' and ') ?? '';
      findings.error(`${at}.references`, 'reference', {
        message: `${spec.references} is named by ${keys} together, and a reference is one value.`,
        example: 'one argument for each',
      });
    }
    for (const one of [spec, ...(spec.type === 'list' ? spec.columns : [])]) checkWords(findings, `${at}.values`, one);
    const own = { type: type.kind === 'list' ? type.of : type, nullable: false, ...unitOf(spec) };
    const bound = (name: 'min' | 'max' | 'multiple_of'): Formula | undefined => {
      const text = (spec as { readonly [key in typeof name]?: string })[name];
      return text === undefined ? undefined : findings.valueOf(`${at}.${name}`, text, { scope, wanted: own });
    };
    const [min, max, multipleOf] = [bound('min'), bound('max'), bound('multiple_of')];
    const value =
      spec.default === undefined
        ? undefined
        : findings.valueOf(`${at}.default`, spec.default, { scope, wanted: { ...own, type } });
    checkBounds(findings, at, { min, max, multipleOf, value });
    return {
      ...argument,
      ...(value === undefined ? {} : { default: value }),
      ...(min === undefined ? {} : { min }),
      ...(max === undefined ? {} : { max }),
      ...(multipleOf === undefined ? {} : { multipleOf }),
    };
  });
}

/** The arguments with what their defaults mean for formulas. */
function argumentMap(args: readonly CheckedArgument[]): ReadonlyMap<string, CheckedArgument> {
  return new Map(args.map((argument) => [argument.name, argument] as const));
}

const IDENTITY = /(?:^|_)(?:user|caller|me|actor|current_user|user_id|tenant|role)(?:$|_)/;

/** Who may: by what BEDS knows of the caller, never by what the caller says. */
function checkAllowed(
  { findings }: Context,
  path: string,
  { text, scope }: { readonly text: string | undefined; readonly scope: Scope },
): Formula | undefined {
  if (text === undefined) return undefined;
  const allowed = findings.condition(`${path}.allowed`, text, scope);
  const claimed =
    allowed === undefined
      ? undefined
      : partsOf(allowed).find((part) => part.node === 'argument' && IDENTITY.test(part.name));
  if (claimed?.node === 'argument') {
    findings.error(`${path}.allowed`, 'identity', {
      message: `:${claimed.name} is what the caller says; who calls is @user, and what he may has_role.`,
      example: "@user = owner, has_role('manager')",
    });
  }
  return allowed;
}

/* Queries */

export function checkQuery(context: Context, spec: QuerySpec): CheckedQuery | undefined {
  const { findings, shapes } = context;
  const path = `queries.${spec.name}`;
  const args = checkArguments(context, path, spec.args);
  const base: Scope = { ...emptyScope(shapes, `query ${spec.name}`), args: argumentMap(args), sets: true };
  const allowed = checkAllowed(context, path, { text: spec.allowed, scope: base });
  const requires = (spec.requires ?? []).flatMap((rule, index) =>
    checkRequirement(context, `${path}.requires[${String(index)}]`, {
      rule,
      scope: base,
      name: `${spec.name}_${String(index + 1)}`,
    }),
  );
  if (!shapes.has(spec.from)) {
    findings.error(`${path}.from`, 'unknown-name', {
      message: `there is no record ${spec.from}.${didYouMean(spec.from, shapes.keys())}`,
      known: [...shapes.keys()],
    });
    return undefined;
  }
  const as = spec.as ?? spec.from;
  for (const name of [as, ...(spec.joins ?? []).map((join) => join.as)].filter((one) => FORMULA_WORDS.includes(one)))
    findings.error(`${path}.as`, 'reserved-name', { message: `${name} is a word of formulas and cannot be a name.` });
  const rows = new Map([[as, { record: spec.from, nullable: false }]]);
  const source: Scope = { ...base, rows, own: as };
  const joins = (spec.joins ?? []).flatMap((join, index) => {
    const at = `${path}.joins[${String(index)}]`;
    if (!shapes.has(join.record)) {
      findings.error(`${at}.record`, 'unknown-name', {
        message: `there is no record ${join.record}.${didYouMean(join.record, shapes.keys())}`,
        known: [...shapes.keys()],
      });
      return [];
    }
    if (rows.has(join.as))
      findings.error(`${at}.as`, 'duplicate-name', { message: `${join.as} is the name of another row of this query.` });
    rows.set(join.as, { record: join.record, nullable: false });
    const on = findings.condition(`${at}.on`, join.on, source);
    rows.set(join.as, { record: join.record, nullable: join.left === true });
    return on === undefined ? [] : [{ record: join.record, as: join.as, on, left: join.left === true }];
  });
  const where = (spec.where ?? []).flatMap((text, index) => {
    const at = `${path}.where[${String(index)}]`;
    const formula = findings.condition(at, text, source);
    if (formula !== undefined) guardOptional(findings, at, formula);
    return formula ?? [];
  });
  const answer = checkAnswer(context, spec, source);
  return {
    spec,
    name: spec.name,
    args,
    ...(allowed === undefined ? {} : { allowed }),
    requires,
    from: { record: spec.from, as },
    joins,
    where,
    ...answer,
    paged: spec.paged === true,
  };
}

function checkRequirement(
  { findings }: Context,
  path: string,
  { rule, scope, name }: { readonly rule: RuleSpec; readonly scope: Scope; readonly name: string },
): readonly CheckedRule[] {
  const formula = findings.condition(`${path}.rule`, rule.rule, scope);
  const message = findings.message(`${path}.message`, rule.message, scope);
  return formula === undefined ? [] : [{ rule: formula, message, name }];
}

/** A filter by an argument that may be absent says what it does then. */
function guardOptional(findings: Findings, path: string, formula: Formula): void {
  const parts = partsOf(formula);
  const asked = new Set(parts.flatMap((part) => (part.node === 'given' ? [part.name] : [])));
  const sides = parts
    .filter(({ node }) => node === 'compare' || node === 'in')
    .flatMap((part): readonly unknown[] => Object.values(part));
  const side = sides.find((one) => isOptionalArgument(one, asked));
  if (side === undefined) return;
  const { name } = side as { readonly name: string };
  findings.error(path, 'optional-argument', {
    message: `:${name} is optional, and where it is absent this matches nothing.`,
    example: `not given(:${name}) or ${name} = :${name}`,
  });
}

function isOptionalArgument(side: unknown, asked: ReadonlySet<string>): boolean {
  if (typeof side !== 'object' || side === null || !('node' in side)) return false;
  const formula = side as Formula;
  return formula.node === 'argument' && formula.nullable && !asked.has(formula.name);
}

function checkAnswer(
  { findings }: Context,
  spec: QuerySpec,
  source: Scope,
): Pick<CheckedQuery, 'groupBy' | 'columns' | 'orderBy' | 'single'> &
  Partial<Pick<CheckedQuery, 'having' | 'top' | 'limit'>> {
  const path = `queries.${spec.name}`;
  const groupBy = (spec.group_by ?? []).flatMap(
    (text, index) => findings.column(`${path}.group_by[${String(index)}]`, text, source) ?? [],
  );
  const groups = new Map(groupBy.map(({ name, value }) => [name, value] as const));
  const isGrouped = spec.group_by !== undefined;
  const inColumns: Scope = {
    ...source,
    totals: true,
    windows: true,
    variables: new Map(groupBy.filter(({ name, value }) => !isFieldOf(name, value)).map(shapeOfNamed)),
  };
  const before = new Map(inColumns.variables);
  const shown = new Map<string, Formula>();
  // n.b. "name = c.sponsor.name" in group_by is what the column "name" means, also where c has a field of that name.
  const textOfGroup = new Map((spec.group_by ?? []).map((text) => [/^\w+(?=\s*=(?!=))/.exec(text)?.[0], text]));
  const columns = spec.columns.flatMap((text, index) => {
    const at = `${path}.columns[${String(index)}]`;
    // n.b. what is a field of the query's own row means that one here, as in SQL.
    const earlier = new Map([...shown].filter(([name]) => !isOwnField(source, name)));
    const scope: Scope = { ...inColumns, variables: before, shown: earlier };
    const column = findings.column(at, textOfGroup.get(text) ?? text, scope);
    if (column === undefined) return [];
    // A later column may use an earlier one: place = rank() over (order by score desc).
    if (isFieldOf(column.name, column.value)) shown.set(column.name, column.value);
    else before.set(...shapeOfNamed(column));
    const total =
      isGrouped || spec.columns.some((one) => /=\s*.*\b(?:count|sum|min|max|avg)\(/.test(one))
        ? outsideOfTotals(column.value)
        : [];
    const hasTotals = isGrouped || partsOf(column.value).some(({ node }) => node === 'total');
    const loose = hasTotals
      ? total.find((field) => ![...groups.values()].some((group) => sameFormula(group, field)))
      : undefined;
    if (loose?.node === 'field' && !isGroupItem(column.value, groups)) {
      findings.error(at, 'group', {
        message: `${loose.field} is neither a total nor in group_by, so that a group has many of it.`,
        example: `"group_by": ["${loose.field}"], or max(${loose.field})`,
      });
    }
    return [column];
  });
  const names = duplicatesOf(columns.map(({ name }) => name));
  for (const name of names)
    findings.error(`${path}.columns`, 'duplicate-name', { message: `two columns have the name ${name}.` });
  const hasTotal = columns.some(({ value }) => partsOf(value).some(({ node }) => node === 'total'));
  const variables = new Map([...inColumns.variables, ...columns.map(shapeOfNamed)]);
  const behind =
    isGrouped || hasTotal
      ? answerScope(source, variables)
      : {
          ...source,
          ...{
            variables: new Map(columns.filter(({ name, value }) => !isFieldOf(name, value)).map(shapeOfNamed)),
            shown,
          },
        };
  const result: Scope = { ...behind, totals: true, windows: true };
  const having = spec.having === undefined ? undefined : findings.condition(`${path}.having`, spec.having, result);
  const orderBy = findings.order(`${path}.order_by`, spec.order_by, result);
  const top = checkTop(findings, spec, result);
  const constants: Scope = { ...source, rows: new Map(), variables: new Map() };
  const { own: _, ...noRow } = constants;
  const limit =
    spec.limit === undefined
      ? undefined
      : findings.valueOf(`${path}.limit`, spec.limit, {
          scope: noRow,
          wanted: { type: { kind: 'integer' }, nullable: false },
        });
  return {
    groupBy,
    columns,
    orderBy,
    single: spec.single === true || (hasTotal && !isGrouped),
    ...(having === undefined ? {} : { having }),
    ...(top === undefined ? {} : { top }),
    ...(limit === undefined ? {} : { limit }),
  };
}

function checkTop(findings: Findings, spec: QuerySpec, scope: Scope): CheckedQuery['top'] {
  if (spec.top === undefined) return undefined;
  const path = `queries.${spec.name}.top`;
  const count = findings.valueOf(`${path}.count`, spec.top.count, {
    scope: { ...scope, rows: new Map(), variables: new Map() },
    wanted: { type: { kind: 'integer' }, nullable: false },
  });
  const orderBy = findings.order(`${path}.order_by`, spec.top.order_by, scope);
  const columns = spec.columns
    .map((text) => /^\s*(?:([a-z][a-z0-9_]*)\s*=(?!=)|(?:[a-z0-9_]+\.)*([a-z][a-z0-9_]*)\s*$)/.exec(text))
    .map((found) => found?.[1] ?? found?.[2]);
  for (const name of spec.top.per) {
    if (columns.includes(name)) continue;
    findings.error(`${path}.per`, 'unknown-name', {
      message: `${name} is no column of the answer.`,
      known: columns.filter((column) => column !== undefined),
    });
  }
  return count === undefined ? undefined : { count, per: spec.top.per, orderBy };
}

/** A scope that sees the columns of an answer only. */
function answerScope(source: Scope, variables: Scope['variables']): Scope {
  const { own: _, ...rest } = source;
  return { ...rest, rows: new Map(), variables };
}

function shapeOfNamed({ name, value }: NamedFormula): readonly [string, NamedValueShape] {
  return [
    name,
    { type: value.type, nullable: value.nullable, ...(value.unit === undefined ? {} : { unit: value.unit }) },
  ];
}

function isOwnField({ own, rows, records }: Scope, name: string): boolean {
  return own !== undefined && records.get(rows.get(own)?.record ?? '')?.fields.has(name) === true;
}

function isFieldOf(name: string, value: Formula): boolean {
  return value.node === 'field' && value.path.length === 0 && value.field === name;
}

function isGroupItem(value: Formula, groups: ReadonlyMap<string, Formula>): boolean {
  return [...groups.values()].some((group) => sameFormula(group, value));
}

function sameFormula(a: Formula, b: Formula): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function outsideOfTotals(formula: Formula): readonly Formula[] {
  if (formula.node === 'total' || formula.node === 'set') return [];
  if (formula.node === 'field') return [formula];
  const inner = partsOf(formula).slice(1);
  const hidden = new Set(inner.filter(({ node }) => node === 'total' || node === 'set').flatMap(partsOf));
  return inner.filter((part) => part.node === 'field' && !hidden.has(part));
}

function duplicatesOf(names: readonly string[]): readonly string[] {
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
}

/* Actions */

interface Flow {
  readonly rows: Map<string, { readonly record: string; readonly nullable: boolean; readonly locked: boolean }>;
  readonly variables: Map<string, NamedValueShape>;
  readonly loops: Set<string>;
}

interface ActionContext extends Context {
  readonly args: ReadonlyMap<string, CheckedArgument>;
  readonly actions: ReadonlyMap<string, ActionSpec>;
  readonly answers: (name: string) => readonly NamedFormula[];
  readonly name: string;
}

export function checkAction(
  context: Context & Pick<ActionContext, 'actions' | 'answers'>,
  spec: ActionSpec,
): ActionDraft {
  const path = `actions.${spec.name}`;
  const args = checkArguments(context, path, spec.args);
  const inside: ActionContext = { ...context, args: argumentMap(args), name: spec.name };
  const base: Scope = { ...emptyScope(context.shapes, `action ${spec.name}`), args: inside.args, sets: true };
  const allowed = checkAllowed(context, path, { text: spec.allowed, scope: base });
  const flow: Flow = { rows: new Map(), variables: new Map(), loops: new Set() };
  const steps = checkSteps(inside, `${path}.steps`, { steps: spec.steps, flow });
  const returns = (spec.returns ?? []).flatMap(
    (text, index) => context.findings.returned(`${path}.returns[${String(index)}]`, text, scopeOf(inside, flow)) ?? [],
  );
  for (const name of duplicatesOf(returns.map((value) => value.name))) {
    context.findings.error(`${path}.returns`, 'duplicate-name', { message: `${name} is returned twice.` });
  }
  const answers = answeredBy(steps);
  const members = [...returns, ...answers].map(({ name }) => name);
  for (const name of duplicatesOf(members).filter((one) => answers.some((answer) => answer.name === one))) {
    context.findings.error(`${path}.returns`, 'duplicate-name', {
      message: `the answer has ${name} already: it is a record that the action writes.`,
      example: `"${name}_value = …"`,
    });
  }
  return { spec, name: spec.name, args, steps, returns, answers, ...(allowed === undefined ? {} : { allowed }) };
}

/** What an action answers without being told: the records that its steps outside of loops add and change by name. */
function answeredBy(steps: readonly CheckedStep[]): readonly AnsweredRecord[] {
  const rows = new Map<string, Omit<AnsweredRecord, 'name'>>();
  const look = (step: CheckedStep, optional: boolean): void => {
    if (step.op === 'if') {
      for (const inner of [...step.then, ...step.else]) look(inner, true);
      return;
    }
    if (step.op === 'insert' && step.as !== undefined) {
      const key = `${step.record} ${step.as}`;
      const isThere = rows.get(key)?.optional === false;
      rows.set(key, {
        ...{ record: step.record, row: step.as, inserted: true },
        optional: !isThere && (optional || step.onDuplicate === 'skip'),
      });
    }
    if (step.op !== 'update' && step.op !== 'delete') return;
    const key = `${step.record} ${step.row}`;
    const known = rows.get(key);
    if (step.op === 'update') {
      if (known === undefined || (known.optional && !optional && !known.inserted))
        rows.set(key, { record: step.record, row: step.row, inserted: false, optional });
    } else if (optional && known !== undefined) rows.set(key, { ...known, optional: true });
    else rows.delete(key);
  };
  for (const step of steps) look(step, false);
  const all = [...rows.values()];
  return all.map((answer) => {
    const isOnly = all.filter(({ record }) => record === answer.record).length === 1;
    return { name: isOnly ? answer.record : answer.row, ...answer };
  });
}

function scopeOf(context: ActionContext, flow: Flow): Scope {
  return {
    ...emptyScope(context.shapes, `action ${context.name}`),
    args: context.args,
    rows: flow.rows,
    variables: flow.variables,
    loops: flow.loops,
    sets: true,
  };
}

function whereScope(context: ActionContext, flow: Flow, record: string): Scope {
  const rows = new Map<string, { readonly record: string; readonly nullable: boolean }>(flow.rows);
  rows.set(record, { record, nullable: false });
  return { ...scopeOf(context, flow), rows, own: record, place: `the where of ${record}` };
}

function inner(flow: Flow): Flow {
  return { rows: new Map(flow.rows), variables: new Map(flow.variables), loops: new Set(flow.loops) };
}

function isAlike(before: Type, after: Type): boolean {
  const numbers = ['integer', 'decimal'];
  return before.kind === after.kind || (numbers.includes(before.kind) && numbers.includes(after.kind));
}

/** Names of the outside that a loop or a choice has given new values: what they can be now is the sum of both. */
function mergeBack(flow: Flow, inside: Flow): void {
  for (const [name, before] of flow.variables) {
    const after = inside.variables.get(name);
    if (after === undefined || after === before) continue;
    const unit = before.unit ?? after.unit;
    flow.variables.set(name, {
      type: common(before.type, after.type),
      nullable: before.nullable || after.nullable,
      ...(unit === undefined ? {} : { unit }),
    });
  }
}

function common(before: Type, after: Type): Type {
  if (before.kind === 'integer' && after.kind === 'decimal') return after;
  if (before.kind === 'decimal' && after.kind === 'decimal') return before.scale > after.scale ? before : after;
  return before;
}

function checkSteps(
  context: ActionContext,
  path: string,
  { steps, flow }: { readonly steps: readonly Step[]; readonly flow: Flow },
): readonly CheckedStep[] {
  return steps.flatMap((step, index) => checkStep(context, `${path}[${String(index)}]`, { step, flow }) ?? []);
}

function checkStep(
  context: ActionContext,
  path: string,
  { step, flow }: { readonly step: Step; readonly flow: Flow },
): CheckedStep | undefined {
  const { findings } = context;
  const scope = scopeOf(context, flow);
  if ('record' in step && !knowsRecord(context, path, step.record)) {
    if ('as' in step && step.as !== undefined) flow.rows.delete(step.as);
    return undefined;
  }
  switch (step.op) {
    case 'check': {
      const rule = findings.condition(`${path}.rule`, step.rule, scope);
      const message = findings.message(`${path}.message`, step.message, scope);
      if (rule !== undefined) narrow(flow, rule, true);
      return rule === undefined ? undefined : { path, op: 'check', rule, message, error: step.error ?? 'invalid' };
    }
    case 'read':
    case 'read_for_update': {
      const where = findings.condition(`${path}.where`, step.where, whereScope(context, flow, step.record));
      const order = findings.order(`${path}.order_by`, step.order_by, whereScope(context, flow, step.record));
      const message = step.message === undefined ? undefined : findings.message(`${path}.message`, step.message, scope);
      freshName(context, `${path}.as`, { name: step.as, flow });
      flow.rows.set(step.as, {
        record: step.record,
        nullable: step.message === undefined,
        locked: step.op === 'read_for_update',
      });
      if (where === undefined) return undefined;
      return {
        path,
        op: step.op,
        record: step.record,
        as: step.as,
        where,
        order,
        added: false,
        ...(message === undefined ? {} : { message }),
      };
    }
    case 'let':
      return checkLet(context, path, { values: step.values, flow });
    case 'insert':
      return checkInsert(context, path, { step, flow });
    case 'update':
      return checkUpdate(context, path, { step, flow });
    case 'delete': {
      const row = lockedRow(context, `${path}.row`, { name: step.row, flow });
      return row === undefined ? undefined : { path, op: 'delete', row: step.row, record: row };
    }
    case 'update_where': {
      const inWhere = whereScope(context, flow, step.record);
      const where = findings.condition(`${path}.where`, step.where, inWhere);
      const set = assignments(context, `${path}.set`, {
        texts: step.set,
        record: step.record,
        scope: inWhere,
        isNew: false,
      });
      return where === undefined ? undefined : { path, op: 'update_where', record: step.record, where, set };
    }
    case 'delete_where': {
      const where = findings.condition(`${path}.where`, step.where, whereScope(context, flow, step.record));
      return where === undefined ? undefined : { path, op: 'delete_where', record: step.record, where };
    }
    case 'lock':
      return { path, op: 'lock', record: step.record };
    case 'call':
      return checkCall(context, path, { step, flow });
    case 'for_each_item':
      return checkEachItem(context, path, { step, flow });
    case 'for_each_row':
      return checkEachRow(context, path, { step, flow });
    case 'if': {
      const condition = findings.condition(`${path}.condition`, step.condition, scope);
      const [yes, no] = [inner(flow), inner(flow)];
      if (condition !== undefined) {
        narrow(yes, condition, true);
        narrow(no, condition, false);
      }
      const then = checkSteps(context, `${path}.then`, { steps: step.then, flow: yes });
      const otherwise = checkSteps(context, `${path}.else`, { steps: step.else ?? [], flow: no });
      mergeBack(flow, yes);
      mergeBack(flow, no);
      return condition === undefined ? undefined : { path, op: 'if', condition, then, else: otherwise };
    }
  }
}

function knowsRecord({ findings, shapes }: Context, path: string, record: string): boolean {
  if (shapes.has(record)) return true;
  findings.error(`${path}.record`, 'unknown-name', {
    message: `there is no record ${record}.${didYouMean(record, shapes.keys())}`,
    known: [...shapes.keys()],
  });
  return false;
}

/** A row that a rule has found not to be null is there from then on. */
function narrow(flow: Flow, rule: Formula, holds: boolean): void {
  if (holds && rule.node === 'and') for (const part of rule.of) narrow(flow, part, true);
  if (!holds && rule.node === 'or') for (const part of rule.of) narrow(flow, part, false);
  if (rule.node === 'not') narrow(flow, rule.of, !holds);
  if (rule.node !== 'is_null' || rule.of.node !== 'row' || rule.not !== holds) return;
  const row = flow.rows.get(rule.of.row);
  if (row !== undefined) flow.rows.set(rule.of.row, { ...row, nullable: false });
}

function freshName(
  { findings }: Context,
  path: string,
  { name, flow }: { readonly name: string; readonly flow: Flow },
): void {
  if (FORMULA_WORDS.includes(name))
    findings.error(path, 'reserved-name', { message: `${name} is a word of formulas and cannot be a name.` });
  if (!flow.rows.has(name) && !flow.variables.has(name)) return;
  findings.error(path, 'duplicate-name', {
    message: `${name} is the name of something else in this action.`,
    example: `${name}2`,
  });
}

function checkLet(
  context: ActionContext,
  path: string,
  { values, flow }: { readonly values: readonly string[]; readonly flow: Flow },
): CheckedStep | undefined {
  const { findings } = context;
  const named = values.flatMap((text, index) => {
    const at = `${path}.values[${String(index)}]`;
    const value = findings.named(at, text, scopeOf(context, flow));
    if (value === undefined) {
      // What follows uses the name: it is known, and of no type that a second problem would be about.
      const [, name] = /^\s*([a-z][a-z0-9_]*)\s*=/.exec(text) ?? [];
      if (name !== undefined) flow.variables.set(name, { type: { kind: 'null' }, nullable: true });
      return [];
    }
    if (value.value.type.kind === 'null') {
      findings.error(at, 'types', {
        message: `${value.name} is null and nothing else: give it the value of a type.`,
        example: `${value.name} = 0`,
      });
    }
    if (flow.rows.has(value.name))
      findings.error(at, 'duplicate-name', { message: `${value.name} is the name of a row in this action.` });
    const before = flow.variables.get(value.name);
    const [, shape] = shapeOfNamed(value);
    if (before !== undefined && before.type.kind !== 'null' && !isAlike(before.type, shape.type)) {
      findings.error(at, 'types', {
        message: `${value.name} was ${typeName(before.type)} and cannot become ${typeName(shape.type)}.`,
        example: `${value.name}2 = …`,
      });
    }
    flow.variables.set(
      value.name,
      before === undefined ? shape : { ...shape, nullable: shape.nullable || before.nullable },
    );
    return value;
  });
  return { path, op: 'let', values: named };
}

/** Why a field is not set by a step; undefined where it is. */
function whyNotSet(field: ShapedField, isNew: boolean): string | undefined {
  const { spec, name, origin } = field;
  if (spec?.computed !== undefined) return `${name} is computed; do not set it.`;
  if (spec !== undefined && 'rollup' in spec && spec.rollup !== undefined)
    return `${name} is kept as a ${spec.rollup.function} over ${spec.rollup.child}; do not set it.`;
  if (spec !== undefined && 'numbering' in spec && spec.numbering !== undefined)
    return `${name} is numbered; do not set it.`;
  if (origin !== 'declared' && !(origin === 'parent' && isNew)) return `${name} is set by BEDS; do not set it.`;
  if (!isNew && spec?.write_once === true) return `${name} is write_once and is never changed.`;
  return undefined;
}

function assignments(
  context: ActionContext,
  path: string,
  {
    texts,
    record,
    scope,
    isNew,
  }: { readonly texts: readonly string[]; readonly record: string; readonly scope: Scope; readonly isNew: boolean },
): readonly NamedFormula[] {
  const { findings, shapes } = context;
  const shape = shapes.get(record);
  const set = texts.flatMap((text, index) => {
    const at = `${path}[${String(index)}]`;
    const value = assignment(findings, at, { text, shape, scope });
    if (value === undefined) return [];
    const field = shape?.fields.get(value.name);
    const why = field === undefined ? undefined : whyNotSet(field, isNew);
    if (why !== undefined) findings.error(at, 'not-settable', { message: why });
    if (!isNew && shape?.keys.includes(value.name) === true) {
      findings.error(at, 'not-settable', {
        message: `${value.name} is part of the key, and a key never changes.`,
        example: '"key": "auto", with a unique rule',
      });
    }
    checkMove(context, at, { record, value, isNew });
    return [value];
  });
  for (const name of duplicatesOf(set.map((value) => value.name)))
    findings.error(path, 'duplicate-name', { message: `${name} is set twice.` });
  return set;
}

/** A state that is written down is one that can be reached so. */
function checkMove(
  { findings, shapes }: Context,
  path: string,
  { record, value, isNew }: { readonly record: string; readonly value: NamedFormula; readonly isNew: boolean },
): void {
  const states = shapes.get(record)?.spec.states;
  if (states?.field !== value.name || value.value.node !== 'literal') return;
  const state = String(value.value.value);
  if (isNew && state !== states.start) {
    findings.error(path, 'states', {
      message: `a new ${record} is ${states.start}, not ${state}.`,
      example: `insert it, then {"op": "update", … "set": ["${states.field} = '${state}'"]}`,
    });
  }
  const froms = states.moves.filter(({ to }) => to.includes(state)).map(({ from }) => from);
  if (!isNew && froms.length === 0 && state !== states.start) {
    findings.error(path, 'states', {
      message: `no move leads to ${state}.`,
      example: `{"from": "${states.start}", "to": ["${state}"]}`,
    });
  }
}

function checkInsert(
  context: ActionContext,
  path: string,
  { step, flow }: { readonly step: Step & { readonly op: 'insert' }; readonly flow: Flow },
): CheckedStep {
  const { findings, shapes } = context;
  const shape = shapes.get(step.record);
  const set = assignments(context, `${path}.set`, {
    texts: step.set,
    record: step.record,
    scope: scopeOf(context, flow),
    isNew: true,
  });
  const given = step.set.map((text) => /^\s*([a-z][a-z0-9_]*)/.exec(text)?.[1]);
  const missing = [...(shape?.fields.values() ?? [])].filter((field) => {
    if (given.includes(field.name) || field.nullable || whyNotSet(field, true) !== undefined) return false;
    return field.spec?.default === undefined && shape?.spec.states?.field !== field.name;
  });
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name);
    findings.error(`${path}.set`, 'missing', {
      message: `a new ${step.record} needs ${names.join(', ')}.`,
      example: `"${names[0] ?? ''} = …", or "optional": true or a default in the field`,
    });
  }
  if ((step.on_duplicate === 'update') !== (step.update !== undefined)) {
    findings.error(path, 'contradiction', {
      message: 'update says what on_duplicate "update" changes: give both or none.',
      example: '"on_duplicate": "update", "update": ["count = count + 1"]',
    });
  }
  if (step.on_duplicate !== undefined && shape?.spec.unique === undefined && typeof shape?.spec.key === 'string') {
    findings.error(`${path}.on_duplicate`, 'contradiction', {
      message: `no two ${step.record} can be the same: it has neither a key of fields nor a unique rule.`,
      example: '"unique": [{"fields": ["member", "year"]}]',
    });
  }
  const rows = new Map<string, { readonly record: string; readonly nullable: boolean }>(flow.rows);
  rows.set('this', { record: step.record, nullable: false });
  const update =
    step.update === undefined
      ? []
      : assignments(context, `${path}.update`, {
          texts: step.update,
          record: step.record,
          scope: { ...scopeOf(context, flow), rows, own: 'this' },
          isNew: false,
        });
  if (step.as !== undefined) {
    freshName(context, `${path}.as`, { name: step.as, flow });
    flow.rows.set(step.as, { record: step.record, nullable: step.on_duplicate === 'skip', locked: true });
  }
  return {
    path,
    op: 'insert',
    record: step.record,
    set,
    update,
    ...(step.as === undefined ? {} : { as: step.as }),
    ...(step.on_duplicate === undefined ? {} : { onDuplicate: step.on_duplicate }),
  };
}

/** The record of a row that may be written. */
function lockedRow(
  { findings }: ActionContext,
  path: string,
  { name, flow }: { readonly name: string; readonly flow: Flow },
): string | undefined {
  const row = flow.rows.get(name);
  if (row === undefined) {
    const known = [...flow.rows.keys()];
    findings.error(path, 'unknown-name', {
      message: `there is no row ${name} here.${didYouMean(name, known)}`,
      known,
      example: '{"op": "read_for_update", "record": "place", "as": "p", …}',
    });
    return undefined;
  }
  if (!row.locked) {
    findings.error(path, 'not-locked', {
      message: `${name} is read without a lock, so that another can change it meanwhile.`,
      example: '"op": "read_for_update"',
    });
  }
  if (row.nullable) {
    findings.error(path, 'may-be-null', {
      message: `there may be no ${name}: its read has no message.`,
      example: `"message": "No such ${row.record}.", or {"op": "if", "condition": "${name} is not null", …}`,
    });
  }
  return row.record;
}

function checkUpdate(
  context: ActionContext,
  path: string,
  { step, flow }: { readonly step: Step & { readonly op: 'update' }; readonly flow: Flow },
): CheckedStep | undefined {
  const record = lockedRow(context, `${path}.row`, { name: step.row, flow });
  if (record === undefined) return undefined;
  const set = assignments(context, `${path}.set`, {
    texts: step.set,
    record,
    scope: { ...scopeOf(context, flow), own: step.row },
    isNew: false,
  });
  return { path, op: 'update', row: step.row, record, set };
}

function checkCall(
  context: ActionContext,
  path: string,
  { step, flow }: { readonly step: Step & { readonly op: 'call' }; readonly flow: Flow },
): CheckedStep | undefined {
  const { findings, actions, answers } = context;
  const called = actions.get(step.action);
  if (called === undefined) {
    findings.error(`${path}.action`, 'unknown-name', {
      message: `there is no action ${step.action}.${didYouMean(step.action, actions.keys())}`,
      known: [...actions.keys()],
    });
    return undefined;
  }
  const args = argumentsOf(called.args);
  const given = (step.arguments ?? []).flatMap((text, index) => {
    const at = `${path}.arguments[${String(index)}]`;
    const [, name] = /^\s*([a-z][a-z0-9_]*)\s*=(?!=)/.exec(text) ?? [];
    const argument = args.find((one) => one.name === name);
    if (name === undefined || argument === undefined) {
      const known = args.map((one) => one.name);
      findings.error(at, 'unknown-name', {
        message: `${step.action} has no argument ${name ?? text}.${didYouMean(name ?? '', known)}`,
        known,
      });
      return [];
    }
    const wanted = { type: argument.type, nullable: argument.optional, ...unitOf(argument.spec) };
    const value = findings.valueOf(at, text.slice(text.indexOf('=') + 1).trim(), {
      scope: scopeOf(context, flow),
      wanted,
    });
    return value === undefined ? [] : [{ name, value }];
  });
  const missing = args.filter(
    (argument) =>
      !argument.optional && !(step.arguments ?? []).some((text) => new RegExp(`^\\s*${argument.name}\\s*=`).test(text)),
  );
  if (missing.length > 0) {
    findings.error(`${path}.arguments`, 'missing', {
      message: `${step.action} needs ${missing.map(({ name }) => name).join(', ')}.`,
    });
  }
  if (step.as !== undefined) {
    freshName(context, `${path}.as`, { name: step.as, flow });
    flow.variables.set(step.as, { type: { kind: 'answer', values: answers(step.action) }, nullable: false });
  }
  return { path, op: 'call', action: step.action, arguments: given, ...(step.as === undefined ? {} : { as: step.as }) };
}

function checkEachItem(
  context: ActionContext,
  path: string,
  { step, flow }: { readonly step: EachItemStep; readonly flow: Flow },
): CheckedStep | undefined {
  const { findings } = context;
  const list = findings.value(`${path}.list`, step.list, scopeOf(context, flow));
  const inside = inner(flow);
  if (list === undefined) return undefined;
  const { type } = list;
  if (type.kind !== 'list' && type.kind !== 'objects') {
    findings.error(`${path}.list`, 'types', {
      message: `${step.list} is ${typeName(type)} and no list.`,
      example: '":lines", "range(1, 4)"; for stored records {"op": "for_each_row", …}',
    });
    return undefined;
  }
  freshName(context, `${path}.as`, { name: step.as, flow });
  inside.variables.set(step.as, {
    type: type.kind === 'objects' ? { kind: 'object', columns: type.columns } : type.of,
    nullable: false,
  });
  inside.loops.add(step.as);
  const steps = checkSteps(context, `${path}.steps`, { steps: step.steps, flow: inside });
  mergeBack(flow, inside);
  return { path, op: 'for_each_item', list, as: step.as, max: step.max, steps };
}

function checkEachRow(
  context: ActionContext,
  path: string,
  { step, flow }: { readonly step: EachRowStep; readonly flow: Flow },
): CheckedStep {
  const { findings } = context;
  const scope = whereScope(context, flow, step.record);
  const where = step.where === undefined ? undefined : findings.condition(`${path}.where`, step.where, scope);
  const order: readonly OrderItem[] = findings.order(`${path}.order_by`, step.order_by, scope);
  const inside = inner(flow);
  freshName(context, `${path}.as`, { name: step.as, flow });
  inside.rows.set(step.as, { record: step.record, nullable: false, locked: true });
  inside.loops.add(step.as);
  const steps = checkSteps(context, `${path}.steps`, { steps: step.steps, flow: inside });
  mergeBack(flow, inside);
  return {
    path,
    op: 'for_each_row',
    record: step.record,
    order,
    as: step.as,
    max: step.max,
    steps,
    ...(where === undefined ? {} : { where }),
  };
}
