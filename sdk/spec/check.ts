import { didYouMean } from '../nearest.js';
import { type CheckOptions, giveAdvice } from './advice.js';
import { anchorActions, totalsOf } from './anchors.js';
import type { CheckedAction, CheckedRecord, CheckedSpecification, NamedFormula, Problem } from './checked.js';
import { checkExamples, operationNames } from './check-examples.js';
import { checkForm } from './check-form.js';
import { type ActionDraft, checkAction, checkQuery } from './check-operations.js';
import { checkRecord, type RecordDraft } from './check-records.js';
import { checkCircles } from './circles.js';
import { Findings, UNSEEN } from './findings.js';
import type { ActionSpec, Specification } from './language.js';
import {
  adviseSight,
  checkGuards,
  checkLateTotals,
  checkReach,
  indexesOf,
  lockOrder,
  needsOf,
  refusedWithout,
  withoutTransactions,
} from './meaning.js';
import { flatSteps } from './anchors.js';
import { writesOf } from './anchors.js';
import { FORMULA_WORDS, WIRE_WORDS } from './parse-formula.js';
import { implicitNames, type Shapes, shapesOf } from './shapes.js';

/** Checks a specification: its form, its names, its formulas, and what it means. */

export interface CheckResult {
  readonly problems: readonly Problem[];
  /** Absent where a problem is an error. */
  readonly checked?: CheckedSpecification;
}

/** Operations that BEDS itself gives a domain. */
const RESERVED_OPERATIONS = ['describe', 'sweep'];

export function checkSpecification(document: unknown, options: CheckOptions = {}): CheckResult {
  const formed = checkForm(document);
  if (!formed.ok) return { problems: formed.problems };
  const { specification } = formed;
  const findings = new Findings();
  checkTexts(findings, specification);
  checkNames(findings, specification);
  // Names that are there twice make every later message a riddle.
  if (findings.hasErrors) return { problems: findings.problems };
  const checked = checkMeaning(findings, specification);
  giveAdvice(findings, specification, options);
  return findings.hasErrors ? { problems: findings.problems } : { problems: findings.problems, checked };
}

function checkTexts(findings: Findings, specification: Specification): void {
  const look = (value: unknown, path: string): void => {
    if (typeof value === 'string' && UNSEEN.test(value))
      findings.error(path, 'unseen-character', {
        message: 'has a character that nobody sees. Texts are one line each.',
      });
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value))
      look(inner, /^\d+$/.test(key) ? `${path}[${key}]` : `${path}${path === '' ? '' : '.'}${key}`);
  };
  look(specification, '');
  try {
    new Intl.DateTimeFormat('en', { timeZone: specification.zone });
  } catch {
    findings.error('zone', 'unknown-name', {
      message: `there is no time zone ${specification.zone}.`,
      example: '"zone": "Europe/Zurich"',
    });
  }
}

function checkNames(findings: Findings, { records, queries = [], actions = [] }: Specification): void {
  const unique = (path: string, names: readonly string[]): void => {
    for (const name of new Set(names.filter((one, index) => names.indexOf(one) !== index))) {
      findings.error(path, 'duplicate-name', { message: `the name ${name} is there twice.` });
    }
    for (const name of names.filter((one) => FORMULA_WORDS.includes(one) || WIRE_WORDS.includes(one))) {
      findings.error(path, 'reserved-name', {
        message: `${name} is a word of ${FORMULA_WORDS.includes(name) ? 'formulas' : 'JavaScript'} and cannot be a name.`,
        example: `${name}_value`,
      });
    }
  };
  unique(
    'records',
    records.map(({ name }) => name),
  );
  for (const record of records) {
    const path = `records.${record.name}.fields`;
    unique(
      path,
      record.fields.map(({ name }) => name),
    );
    const given = implicitNames(record);
    for (const { name } of record.fields) {
      if (!given.includes(name)) continue;
      findings.error(`${path}.${name}`, 'duplicate-name', {
        message: `${record.name} has ${name} already: ${whyImplicit(name, record.part_of)} brings it. Leave it out of the fields.`,
      });
    }
    for (const field of record.fields)
      if (field.type === 'list')
        unique(
          `${path}.${field.name}`,
          field.columns.map(({ name }) => name),
        );
  }
  for (const { name, history } of records) {
    if (history !== true || !records.some((other) => other.name === `${name}_history`)) continue;
    findings.error(`records.${name}_history`, 'duplicate-name', { message: `${name} has a history of that name.` });
  }
  const parts = records.flatMap(({ name, part_of: parent }) => (parent === undefined ? [] : [[name, parent] as const]));
  for (const [name] of parts) {
    if (ancestors(name, new Map(parts)).includes(name))
      findings.error(`records.${name}.part_of`, 'circle', { message: `${name} is part of itself.` });
  }
  const operations = [...queries.map(({ name }) => name), ...actions.map(({ name }) => name)];
  const standard = records.flatMap((record, index) =>
    ['create', 'update', 'delete', 'fetch', 'list'].map((kind) => (index === 0 ? kind : `${record.name}_${kind}`)),
  );
  unique('queries and actions', operations);
  for (const name of operations) {
    const where = queries.some((query) => query.name === name) ? 'queries' : 'actions';
    if (standard.includes(name))
      findings.error(`${where}.${name}`, 'duplicate-name', {
        message: `${name} is the standard operation of that name.`,
        example: where === 'queries' ? `find_${name}` : `make_${name}`,
      });
    if (RESERVED_OPERATIONS.includes(name))
      findings.error(`${where}.${name}`, 'reserved-name', {
        message: `${name} is an operation that every domain has.`,
      });
  }
  for (const operation of [...queries, ...actions])
    unique(
      `${operation.name}.args`,
      (operation.args ?? []).map(({ name }) => name),
    );
}

function ancestors(name: string, parents: ReadonlyMap<string, string>): readonly string[] {
  const found: string[] = [];
  for (let parent = parents.get(name); parent !== undefined && !found.includes(parent); parent = parents.get(parent))
    found.push(parent);
  return found;
}

function whyImplicit(name: string, parent: string | undefined): string {
  if (name === parent) return 'part_of';
  if (name === 'id') return 'its key';
  return { tenant: 'per_tenant', version: 'version', deleted_at: 'soft_delete' }[name] ?? 'timestamps';
}

function checkMeaning(findings: Findings, specification: Specification): CheckedSpecification {
  const shapes = shapesOf(specification.records);
  const context = { findings, shapes };
  const records = specification.records.map((record, index) => checkRecord(context, record, index === 0));
  const queries = (specification.queries ?? []).flatMap((query) => checkQuery(context, query) ?? []);
  const actions = checkActions(context, specification.actions ?? []);
  const model = { shapes, records, actions };
  checkGuards(model, findings);
  checkReach(model, findings);
  checkLateTotals(model, findings);
  checkCircles(records, findings);
  adviseSight(model, findings);
  const base: CheckedSpecification = {
    source: specification,
    domain: specification.domain,
    records: [],
    queries,
    actions: [],
    withoutTransactions: [],
  };
  if (findings.hasErrors) return base;
  const ranks = lockOrder(records);
  const anchored = anchorActions(model, findings, ranks);
  const needs = needsOf(queries, actions);
  const whole = {
    ...base,
    records: records.map((record): CheckedRecord => ({
      ...record,
      indexes: indexesOf(record, needs),
      feeds: feedsOf(record, records),
      anchors: anchored.anchors.get(record.name) ?? [],
      lockRank: ranks.indexOf(record.name),
    })),
    actions: actions.map((action): CheckedAction => {
      const steps = anchored.steps.get(action.name) ?? action.steps;
      const locked = flatSteps(steps).flatMap((step) =>
        ['read_for_update', 'for_each_row', 'lock', 'update_where', 'delete_where'].includes(step.op) &&
        'record' in step
          ? [step.record]
          : [],
      );
      return {
        ...action,
        steps,
        locks: ranks.filter((name) => locked.includes(name)),
        writes: [...new Set(writesOf(action.name, model).map(({ record }) => record))],
        withoutTransactions: withoutTransactions(action, steps, model),
      };
    }),
    withoutTransactions: refusedWithout(model),
  };
  checkExamples(findings, { known: whole, shapes, examples: specification.examples ?? [] });
  checkCovers(findings, specification, operationNames(whole));
  return whole;
}

function feedsOf(record: RecordDraft, records: readonly RecordDraft[]): CheckedRecord['feeds'] {
  const totals = totalsOf({ record: record.name, kind: 'insert', fields: [], path: '' }, records);
  return totals.map((total) => ({ record: total.record, field: total.fields[0] ?? '' }));
}

/** Actions in an order in which each is checked after those that it calls. */
function checkActions(
  context: { readonly findings: Findings; readonly shapes: Shapes },
  specs: readonly ActionSpec[],
): readonly ActionDraft[] {
  const actions = new Map(specs.map((spec) => [spec.name, spec] as const));
  const done = new Map<string, ActionDraft>();
  const visit = (spec: ActionSpec, trail: readonly string[]): void => {
    if (done.has(spec.name)) return;
    if (trail.includes(spec.name)) {
      const circle = [...trail.slice(trail.indexOf(spec.name)), spec.name].join(' calls ');
      context.findings.error(`actions.${spec.name}`, 'circle', { message: `${circle}: it never ends.` });
      return;
    }
    for (const name of calledBy(spec.steps)) {
      const called = actions.get(name);
      if (called !== undefined) visit(called, [...trail, spec.name]);
    }
    if (done.has(spec.name)) return;
    const answers = (name: string): readonly NamedFormula[] => done.get(name)?.returns ?? [];
    done.set(spec.name, checkAction({ ...context, actions, answers }, spec));
  };
  for (const spec of specs) visit(spec, []);
  return specs.flatMap(({ name }) => done.get(name) ?? []);
}

function calledBy(steps: ActionSpec['steps']): readonly string[] {
  return steps.flatMap((step) => {
    if (step.op === 'call') return [step.action];
    if (step.op === 'for_each_item' || step.op === 'for_each_row') return calledBy(step.steps);
    return step.op === 'if' ? [...calledBy(step.then), ...calledBy(step.else ?? [])] : [];
  });
}

/** Every path of `covers` leads to something. */
function checkCovers(findings: Findings, specification: Specification, operations: readonly string[]): void {
  const parts = new Map<string, readonly { readonly name: string }[]>([
    ['records', specification.records],
    ['queries', specification.queries ?? []],
    ['actions', specification.actions ?? []],
  ]);
  for (const [index, { paths }] of (specification.covers ?? []).entries()) {
    for (const path of paths) {
      const [list = '', name = ''] = path.split('.');
      const known = parts.get(list)?.map((part) => part.name) ?? [];
      if (known.includes(name) || operations.includes(path)) continue;
      findings.error(`covers[${String(index)}]`, 'unknown-name', {
        message: `"${path}" leads to nothing.${didYouMean(name, known)}`,
        known: [...parts.keys()],
        example: `"records.${specification.records[0]?.name ?? 'x'}.rules"`,
      });
    }
  }
}
