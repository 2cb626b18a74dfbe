import { conjuncts, flatSteps, formulasOf, innerSteps, totalsOf, type Write, writesOf } from './anchors.js';
import type {
  CheckedAction,
  CheckedIndex,
  CheckedQuery,
  CheckedStep,
  Direction,
  Formula,
  OrderItem,
} from './checked.js';
import type { ActionDraft } from './check-operations.js';
import type { RecordDraft } from './check-records.js';
import { withArticle } from './article.js';
import type { Findings } from './findings.js';
import { rootOf, type Shapes } from './shapes.js';
import { partsOf } from './type-formula.js';

/** What a document means as a whole: guards, the order of locks, indexes, and what a store without transactions can keep. */

interface Model {
  readonly shapes: Shapes;
  readonly records: readonly RecordDraft[];
  readonly actions: readonly ActionDraft[];
}

/** Records in the order in which all operations lock: what others refer to comes first. */
export function lockOrder(records: readonly RecordDraft[]): readonly string[] {
  const order: string[] = [];
  const visit = (name: string, trail: readonly string[]): void => {
    if (order.includes(name) || trail.includes(name)) return;
    const record = records.find((one) => one.name === name);
    for (const { type } of record?.fields ?? []) if (type.kind === 'reference') visit(type.record, [...trail, name]);
    if (record !== undefined) order.push(name);
  };
  for (const { name } of records) visit(name, []);
  return order;
}

/** What an action guards by checks must not have a way round: no standard operation writes the same. */
export function checkGuards({ records, actions }: Model, findings: Findings): void {
  for (const action of actions) {
    const free = unjudgedInserts(action.steps, records);
    let check: CheckedStep | undefined;
    for (const step of flatSteps(action.steps)) {
      if (step.op === 'check') check ??= step;
      if (check?.op === 'check' && !free.includes(step)) guard({ records, action, check, findings }, step);
    }
  }
}

/**
 * What goes into a record that the action itself makes, and comes from nothing that a check looks at: the checks guard that record, and
 * such a part of it may come later as well.
 */
function unjudgedInserts(steps: readonly CheckedStep[], records: readonly RecordDraft[]): readonly CheckedStep[] {
  const placed = placesOf(steps, []);
  const checks = placed.filter(({ step }) => step.op === 'check');
  // n.b. who calls, or when, is asked of all that follows.
  if (checks.some(({ names }) => names.length === 0)) return [];
  const made = placed.flatMap(({ step }) => (step.op === 'insert' && step.as !== undefined ? [step.as] : []));
  const judged = new Set(checks.flatMap(({ names }) => names));
  // What a judged value is made from is judged, and what is made from it.
  for (let known = -1; known < judged.size;) {
    known = judged.size;
    const isJudged = (name: string): boolean => judged.has(name);
    const reached = placed.flatMap(({ binds, names }) => {
      if (binds.some(isJudged)) return [...binds, ...names];
      return names.some(isJudged) ? binds : [];
    });
    for (const name of reached) judged.add(name);
  }
  const isTotalled = (record: string): boolean =>
    records.some(({ fields }) =>
      fields.some(
        ({ rollup, computed }) =>
          rollup?.child === record ||
          (computed !== undefined && partsOf(computed).some((part) => part.node === 'set' && part.record === record)),
      ),
    );
  return placed.flatMap(({ step, names }) => {
    if (step.op !== 'insert' || isTotalled(step.record)) return [];
    const owner = records.find(({ name }) => name === step.record)?.spec.part_of;
    const own = step.set.find(({ name }) => name === owner)?.value;
    const isInMade = own !== undefined && namesIn(own).some((one) => made.includes(one));
    const isJudged = names.some((name) => judged.has(name)) || judged.has(allOf(step.record));
    return isInMade && !isJudged ? [step] : [];
  });
}

/** A step with the names that it binds, and those that it depends on: also by the loops and choices around it. */
interface Placed {
  readonly step: CheckedStep;
  readonly binds: readonly string[];
  readonly names: readonly string[];
}

function placesOf(steps: readonly CheckedStep[], around: readonly string[]): readonly Placed[] {
  return steps.flatMap((step): readonly Placed[] => {
    const read =
      step.op === 'read' || step.op === 'read_for_update' || step.op === 'for_each_row' ? [allOf(step.record)] : [];
    const names = [...around, ...read, ...formulasOf(step).flatMap(namesIn)];
    const bound = step.op === 'let' ? step.values.map(({ name }) => name) : 'as' in step ? [step.as ?? ''] : [];
    // n.b. what is inserted is a way on from what is checked, not back to it.
    const place = { step, binds: step.op === 'insert' ? [] : bound, names };
    return [place, ...placesOf(innerSteps(step), step.op === 'if' ? names : [...names, ...bound])];
  });
}

function allOf(record: string): string {
  return `${record}[]`;
}

/** Arguments, variables, items, rows and types of record that a formula looks at. An argument has a colon before it. */
function namesIn(formula: Formula): readonly string[] {
  return partsOf(formula).flatMap((part) => {
    if (part.node === 'argument' || part.node === 'argument_column' || part.node === 'given') return [`:${part.name}`];
    if (part.node === 'variable') return [part.name];
    if (part.node === 'item_column' || part.node === 'position') return [part.item];
    if (part.node === 'answer_value') return [part.answer];
    if (part.node === 'set') return [allOf(part.record)];
    return part.node === 'field' || part.node === 'row' ? [part.row] : [];
  });
}

interface Guarded {
  readonly records: readonly RecordDraft[];
  readonly action: ActionDraft;
  readonly check: CheckedStep & { readonly op: 'check' };
  readonly findings: Findings;
}

function guard({ records, action, check, findings }: Guarded, step: CheckedStep): void {
  if (step.op === 'check' || !('record' in step)) return;
  const record = records.find(({ name }) => name === step.record);
  const has = (kind: 'create' | 'update' | 'delete'): boolean => record?.spec.operations.includes(kind) === true;
  const rule = check.message.map((part) => (typeof part === 'string' ? part : '…')).join('');
  const path = `records.${step.record}.operations`;
  if (step.op === 'insert' && has('create')) {
    findings.error(path, 'unguarded', {
      message: `create goes past the checks of action ${action.name} ("${rule}").`,
      example: `"operations" without "create"`,
    });
  }
  if ((step.op === 'delete' || step.op === 'delete_where') && has('delete')) {
    findings.error(path, 'unguarded', {
      message: `delete goes past the checks of action ${action.name} ("${rule}").`,
      example: `"operations" without "delete"`,
    });
  }
  if ((step.op === 'update' || step.op === 'update_where') && has('update')) {
    const open = step.set.filter(
      ({ name }) => record?.fields.find((field) => field.name === name)?.givenAtUpdate === true,
    );
    for (const { name } of open) {
      findings.error(`records.${step.record}.fields.${name}`, 'unguarded', {
        message: `update can set ${name} as well, and goes past the checks of action ${action.name} ("${rule}").`,
        example: `"managed": true in the field (and an action that sets it, where the brief wants it set by hand), or "operations" without "update"`,
      });
    }
  }
}

/** Every record can come into being, and every state be reached by an operation. */
export function checkReach({ records, actions }: Model, findings: Findings): void {
  const steps = actions.flatMap((action) => flatSteps(action.steps));
  for (const { name, spec, fields } of records) {
    const isMade =
      spec.operations.includes('create') ||
      spec.rows !== undefined ||
      steps.some((step) => step.op === 'insert' && step.record === name);
    if (!isMade)
      findings.error(`records.${name}.operations`, 'unreachable', {
        message: `nothing makes ${withArticle(name)}: it has no create, no rows, and no action inserts it.`,
        example: '"operations": ["create", "update"]',
      });
    const state = fields.find((field) => field.isState);
    if (state?.type.kind !== 'enum' || spec.states === undefined) continue;
    if (state.givenAtUpdate && spec.operations.includes('update')) continue;
    for (const value of state.type.values) {
      const isSet = steps.some(
        (step) =>
          'set' in step &&
          'record' in step &&
          step.record === name &&
          step.set.some(
            (set) => set.name === state.name && (set.value.node !== 'literal' || set.value.value === value),
          ),
      );
      const expires = spec.expires?.set?.some((text) => text.includes(`'${value}'`)) === true;
      if (isSet || expires || value === spec.states.start) continue;
      findings.advice(`records.${name}.states`, 'unreachable', {
        message: `no operation brings ${withArticle(name)} to '${value}': update does not take ${state.name}, and no action sets it.`,
      });
    }
  }
}

/** A total is stored, and what ends by itself is written by nobody at that moment: the one would not know of the other. */
export function checkLateTotals({ records }: Model, findings: Findings): void {
  for (const { name, fields } of records) {
    for (const { name: field, rollup } of fields) {
      const expires = records.find((record) => record.name === rollup?.child)?.expires;
      if (rollup === undefined || expires === undefined) continue;
      const ended = (expires.set ?? []).map((set) => set.name);
      const looked = [rollup.value, rollup.when]
        .flatMap((formula) => (formula === undefined ? [] : partsOf(formula)))
        .flatMap((part) => (part.node === 'field' ? [part.path[0]?.field ?? part.field] : []));
      if (expires.set !== undefined && !looked.some((one) => ended.includes(one))) continue;
      findings.error(`records.${name}.fields.${field}.rollup`, 'late-total', {
        message: `${rollup.child} expires by itself, and a stored total would not know of it.`,
        example: `"computed": "count(${rollup.child} where ${rollup.via} = this.id)" in place of the rollup`,
      });
    }
  }
}

/** A set is of the records that its caller sees: for who sees a part, a limit over everybody's records is none. */
export function adviseSight({ records, actions }: Model, findings: Findings): void {
  for (const { name: action, allowed, steps } of actions) {
    const deciding = flatSteps(steps).filter(({ op }) => op === 'check' || op === 'let');
    const sets = deciding.flatMap(formulasOf).flatMap(partsOf);
    const inPart = sets.flatMap((part) => {
      if (part.node !== 'set' || part.all) return [];
      const read = records.find(({ name }) => name === part.record)?.rowAccess?.read;
      const isWhole = read === undefined || read.node === 'literal';
      return isWhole || showsAll(read, [allowed, part.where], part.record) ? [] : [part.record];
    });
    for (const name of new Set(inPart))
      findings.advice(`actions.${action}`, 'seen-in-part', {
        message: `it decides by those of ${name} only that its caller sees, by row_access.`,
        example: `count(all ${name} where …) for a limit over all of them`,
      });
  }
}

/** Whether who is let in, or what is looked for, is seen as it is: one of the ways to see it is asked for. */
function showsAll(read: Formula, asked: readonly (Formula | undefined)[], record: string): boolean {
  const bare = (formula: Formula): string =>
    JSON.stringify(formula, (key, value: unknown) => (key === 'row' && value === record ? 'this' : value));
  const ways = (read.node === 'or' ? read.of : [read]).map(bare);
  return asked
    .flatMap(conjuncts)
    .some((part) => (part.node === 'or' ? part.of : [part]).every((one) => ways.includes(bare(one))));
}

/* Indexes */

interface Need {
  readonly record: string;
  readonly equal: readonly string[];
  /** Those of `equal` of which every record that is found has one value. */
  readonly fixed?: readonly string[];
  readonly then: readonly { readonly name: string; readonly direction: Direction }[];
  readonly why: string;
}

export function indexesOf(record: RecordDraft, needs: readonly Need[]): readonly CheckedIndex[] {
  const covered: (readonly string[])[] = [
    record.key,
    ...record.unique
      .filter(({ when, fields }) => when === undefined && fields.every(({ node }) => node === 'field'))
      .map(({ fields }) => fields.flatMap((field) => (field.node === 'field' ? [field.field] : []))),
  ];
  const tenant = record.spec.per_tenant === true ? ['tenant'] : [];
  // What names one record finds it by itself. n.b. where only some count, MongoDB keeps what is unique in a field of its own.
  const isWhole = record.spec.soft_delete !== true && record.expires === undefined;
  const naming = isWhole ? covered : [record.key];
  const isNamed = ({ fixed = [] }: Need): boolean =>
    naming.some((key) => key.length > 0 && key.every((name) => fixed.includes(name)));
  const own = [...needs, ...ownNeeds(record)]
    .filter((need) => need.record === record.name && !isNamed(need))
    .map((need) => {
      const equal = [...new Set([...tenant, ...need.equal])];
      const rest = need.then.filter(
        ({ name }, index, all) => !equal.includes(name) && all.findIndex((one) => one.name === name) === index,
      );
      return { fields: [...equal.map((name) => ({ name, direction: 'asc' as const })), ...rest], why: need.why };
    })
    .filter(({ fields }) => fields.length > tenant.length)
    .toSorted((a, b) => b.fields.length - a.fields.length);
  const kept: { fields: CheckedIndex['fields']; why: string[] }[] = [];
  for (const { fields, why } of own) {
    const names = fields.map(({ name }) => name);
    const isPrefix = (longer: readonly string[]): boolean => names.every((name, index) => longer[index] === name);
    if (covered.some(isPrefix)) continue;
    const known = kept.find(
      (index) =>
        isPrefix(index.fields.map(({ name }) => name)) &&
        fields.every(({ direction }, at) => index.fields[at]?.direction === direction),
    );
    if (known === undefined) kept.push({ fields, why: [why] });
    else if (!known.why.includes(why)) known.why.push(why);
  }
  return kept
    .map((index) => ({
      name: `${record.name}_by_${index.fields.map(({ name }) => name).join('_')}`.slice(0, 60),
      ...index,
    }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** What the record's own properties look for. */
function ownNeeds(record: RecordDraft): readonly Need[] {
  const { name } = record;
  const references = record.fields
    .filter(({ type, origin }) => type.kind === 'reference' && origin === 'declared')
    .map((field): Need => ({ record: name, equal: [field.name], then: [], why: `reference ${field.name}` }));
  const overlaps = record.noOverlap.map((overlap): Need => ({
    record: name,
    equal: overlap.per,
    then: [{ name: overlap.start, direction: 'asc' }],
    why: 'no_overlap',
  }));
  const at = record.expires?.at;
  const expiry: readonly Need[] =
    at?.node === 'field' && at.path.length === 0
      ? [{ record: name, equal: [], then: [{ name: at.field, direction: 'asc' }], why: 'expires' }]
      : [];
  return [...references, ...overlaps, ...expiry];
}

/** What the queries and actions look for. */
export function needsOf(queries: readonly CheckedQuery[], actions: readonly ActionDraft[]): readonly Need[] {
  const ofQueries = queries.flatMap((query) => {
    const where = query.where.flatMap(conjuncts);
    const needs = [
      need(where, { record: query.from.record, row: query.from.as, order: query.orderBy, why: `query ${query.name}` }),
    ];
    for (const join of query.joins)
      needs.push(
        need([...conjuncts(join.on), ...where], {
          record: join.record,
          row: join.as,
          order: [],
          why: `query ${query.name}`,
        }),
      );
    return [...needs, ...setNeeds([...query.where, ...query.columns.map(({ value }) => value)], `query ${query.name}`)];
  });
  const ofActions = actions.flatMap((action) =>
    flatSteps(action.steps).flatMap((step) => {
      const why = `action ${action.name}`;
      const sets = setNeeds(formulasOf(step), why);
      if (!('record' in step) || !('where' in step) || step.where === undefined) return sets;
      const order = 'order' in step ? step.order : [];
      return [need(conjuncts(step.where), { record: step.record, row: step.record, order, why }), ...sets];
    }),
  );
  return [...ofQueries, ...ofActions];
}

function setNeeds(formulas: readonly Formula[], why: string): readonly Need[] {
  return formulas.flatMap(partsOf).flatMap((part) => {
    if (part.node !== 'set') return [];
    return [need(conjuncts(part.where), { record: part.record, row: part.record, order: part.order ?? [], why })];
  });
}

function need(
  where: readonly Formula[],
  {
    record,
    row,
    order,
    why,
  }: { readonly record: string; readonly row: string; readonly order: readonly OrderItem[]; readonly why: string },
): Need {
  const own = (formula: Formula): string | undefined =>
    formula.node === 'field' && formula.row === row && formula.path.length === 0 ? formula.field : undefined;
  const equal: string[] = [];
  const fixed: string[] = [];
  const ranges: { name: string; direction: Direction }[] = [];
  // "not given(:zone) or zone = :zone" filters by zone where it is given.
  const parts = where.flatMap((part) =>
    part.node === 'or' ? part.of.filter((one) => !(one.node === 'not' && one.of.node === 'given')) : [part],
  );
  for (const part of parts) {
    if (part.node === 'compare' && part.op !== '!=') {
      const [left, right] = [own(part.left), own(part.right)];
      // Of two fields of the row neither finds it by an index.
      const name = left !== undefined && right !== undefined ? undefined : (left ?? right);
      if (name !== undefined && part.op === '=') equal.push(name);
      else if (name !== undefined) ranges.push({ name, direction: 'asc' });
      if (name !== undefined && part.op === '=' && where.includes(part)) fixed.push(name);
    }
    const listed = (part.node === 'in' || part.node === 'is_null') && !part.not ? own(part.of) : undefined;
    if (listed !== undefined) equal.push(listed);
  }
  const ordered = order.map(({ by, direction }) => ({ name: own(by), direction }));
  const known = ordered.flatMap(({ name, direction }) => (name === undefined ? [] : [{ name, direction }]));
  const isWhole = known.length === ordered.length;
  const [range] = ranges;
  return {
    record,
    equal,
    fixed,
    why,
    then: isWhole && known.length > 0 && range === undefined ? known : range === undefined ? [] : [range],
  };
}

/* Without transactions */

/** What MongoDB without transactions does with an action: it writes one document, or it is refused by name. */
export function withoutTransactions(
  action: ActionDraft,
  steps: readonly CheckedStep[],
  model: Model,
): CheckedAction['withoutTransactions'] {
  const { shapes } = model;
  const all = flatSteps(steps);
  const writes = writesOf(action.name, model);
  const roots = [...new Set(writes.map(({ record }) => rootOf(shapes, record)))];
  const [root] = roots;
  if (root === undefined) return { kept: true, document: '' };
  const gapless = writes.find((write) => write.kind === 'insert' && hasGapless(model, write.record));
  if (gapless !== undefined)
    return {
      kept: false,
      why: `${action.name} takes the next number of ${gapless.record} from a counter and writes ${roots.join(', ')}: two documents`,
    };
  if (roots.length > 1) return { kept: false, why: `${action.name} changes ${roots.join(' and ')} together` };
  const locks = [
    ...new Set(
      all.flatMap((step) =>
        (step.op === 'read_for_update' || step.op === 'lock' || step.op === 'for_each_row') &&
        rootOf(shapes, step.record) !== root
          ? [step.record]
          : [],
      ),
    ),
  ];
  if (locks.length > 0)
    return {
      kept: false,
      why: `${action.name} decides by ${locks.join(' and ')} and writes ${root}: nothing holds the one while the other is written`,
    };
  const many = all.find(
    (step) =>
      (step.op === 'update_where' || step.op === 'delete_where' || step.op === 'for_each_row') && step.record === root,
  );
  const inserts = all.filter((step) => step.op === 'insert' && step.record === root);
  const looped = all.some(
    (step) =>
      (step.op === 'for_each_item' || step.op === 'for_each_row') &&
      flatSteps(step.steps).some((one) => one.op === 'insert' && one.record === root),
  );
  const rows = new Set(
    all.flatMap((step) => ((step.op === 'update' || step.op === 'delete') && step.record === root ? [step.row] : [])),
  );
  if (many !== undefined || looped || inserts.length + rows.size > 1)
    return { kept: false, why: `${action.name} writes several ${root} together` };
  return { kept: true, document: root };
}

function hasGapless({ records }: Model, name: string): boolean {
  return (
    records.find((record) => record.name === name)?.fields.some(({ numbering }) => numbering?.gapless === true) === true
  );
}

/** What the standard operations cannot keep without transactions. */
export function refusedWithout(model: Model): readonly { readonly path: string; readonly why: string }[] {
  return model.records.flatMap((record) =>
    record.spec.operations.flatMap((kind) => {
      const path = `records.${record.name}.operations`;
      const write: Write = {
        record: record.name,
        kind: kind === 'create' ? 'insert' : kind,
        fields: record.fields.flatMap(({ name, givenAtUpdate }) => (givenAtUpdate ? [name] : [])),
        path,
      };
      const root = rootOf(model.shapes, record.name);
      const totals = totalsOf(write, model.records).filter((total) => rootOf(model.shapes, total.record) !== root);
      if (kind === 'create' && hasGapless(model, record.name))
        return [{ path, why: `${kind} of ${record.name} needs a number without gaps from a counter: two documents` }];
      const [total] = totals;
      return total === undefined
        ? []
        : [
            {
              path,
              why: `${kind} of ${record.name} changes ${total.fields.join(', ')} of ${total.record} together with it: two documents`,
            },
          ];
    }),
  );
}
