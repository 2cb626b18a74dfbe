import type { Anchor, CheckedRollup, CheckedStep, Formula } from './checked.js';
import type { ActionDraft } from './check-operations.js';
import type { RecordDraft } from './check-records.js';
import type { Findings } from './findings.js';
import type { Shapes } from './shapes.js';
import { partsOf } from './type-formula.js';

/**
 * Two at once must not both pass a rule over a set of records. They cannot where every writer of the set locks one and the same
 * record first: the anchor. This file finds the anchor of each set that decides a write, adds the locks that are missing, and
 * refuses what has none.
 */

type SetFormula = Formula & { readonly node: 'set' };

/** A write of a record: which fields an update touches. */
export interface Write {
  readonly record: string;
  readonly kind: 'insert' | 'update' | 'delete';
  readonly fields: readonly string[];
  readonly path: string;
}

export interface AnchoredActions {
  readonly steps: ReadonlyMap<string, readonly CheckedStep[]>;
  readonly anchors: ReadonlyMap<string, readonly Anchor[]>;
}

interface Model {
  readonly shapes: Shapes;
  readonly records: readonly RecordDraft[];
  readonly actions: readonly ActionDraft[];
}

/** Every step, those inside of loops and choices too, in order. */
export function flatSteps(steps: readonly CheckedStep[]): readonly CheckedStep[] {
  return steps.flatMap((step) => [step, ...flatSteps(innerSteps(step))]);
}

export function innerSteps(step: CheckedStep): readonly CheckedStep[] {
  if (step.op === 'for_each_item' || step.op === 'for_each_row') return step.steps;
  return step.op === 'if' ? [...step.then, ...step.else] : [];
}

/** The formulas of a step itself. */
export function formulasOf(step: CheckedStep): readonly Formula[] {
  const { path: _, ...rest } = step;
  const own = Object.entries(rest as Readonly<Record<string, unknown>>).flatMap(([key, value]) =>
    ['steps', 'then', 'else', 'message'].includes(key) ? [] : [value],
  );
  return own.flatMap(formulasIn);
}

function formulasIn(value: unknown): readonly Formula[] {
  if (Array.isArray(value)) return (value as readonly unknown[]).flatMap(formulasIn);
  if (typeof value !== 'object' || value === null) return [];
  if ('node' in value) return [value as Formula];
  if ('value' in value) return formulasIn(value.value);
  return 'by' in value ? formulasIn(value.by) : [];
}

/** What an action writes itself, what it calls included, and the totals that follow. */
export function writesOf(
  name: string,
  { actions, records }: Pick<Model, 'actions' | 'records'>,
  seen: readonly string[] = [],
): readonly Write[] {
  const action = actions.find((one) => one.name === name);
  if (action === undefined || seen.includes(name)) return [];
  const direct = flatSteps(action.steps).flatMap((step): readonly Write[] => {
    const { path } = step;
    if (step.op === 'insert') {
      const insert: Write = { record: step.record, kind: 'insert', fields: [], path };
      const update: Write = { record: step.record, kind: 'update', fields: step.update.map((set) => set.name), path };
      return step.update.length === 0 ? [insert] : [insert, update];
    }
    if (step.op === 'update' || step.op === 'update_where') {
      return [{ record: step.record, kind: 'update', fields: step.set.map((set) => set.name), path }];
    }
    if (step.op === 'delete' || step.op === 'delete_where')
      return [{ record: step.record, kind: 'delete', fields: [], path }];
    return step.op === 'call' ? writesOf(step.action, { actions, records }, [...seen, name]) : [];
  });
  return [...direct, ...direct.flatMap((write) => totalsOf(write, records))];
}

/** The stored totals that a write of a child changes. */
export function totalsOf(write: Write, records: readonly RecordDraft[]): readonly Write[] {
  return records.flatMap((record) =>
    record.fields
      .filter(({ rollup }) => rollup?.child === write.record && changesTotal(write, rollup, records))
      .map((field): Write => ({ record: record.name, kind: 'update', fields: [field.name], path: write.path })),
  );
}

/** n.b. an update of what a total does not look at leaves it as it is. */
function changesTotal(write: Write, { via, value, when }: CheckedRollup, records: readonly RecordDraft[]): boolean {
  if (write.kind !== 'update') return true;
  const child = records.find(({ name }) => name === write.record);
  const looked = [value, when]
    .flatMap((formula) => (formula === undefined ? [] : partsOf(formula)))
    .flatMap((part) => (part.node === 'field' ? [part.path[0]?.field ?? part.field] : []));
  const isMade = looked.some((name) => child?.fields.find((field) => field.name === name)?.computed !== undefined);
  return isMade || [via, ...looked].some((name) => write.fields.includes(name));
}

function setsOf(steps: readonly CheckedStep[]): readonly SetFormula[] {
  return flatSteps(steps)
    .flatMap(formulasOf)
    .flatMap(partsOf)
    .filter((part) => part.node === 'set');
}

const fields = new WeakMap<SetFormula, readonly string[]>();

/** The fields of its record that a set looks at. */
function fieldsOf(set: SetFormula): readonly string[] {
  const known = fields.get(set) ?? lookedAt(set);
  fields.set(set, known);
  return known;
}

function lookedAt(set: SetFormula): readonly string[] {
  const own = [set.where, set.value, ...(set.order ?? []).map(({ by }) => by)].filter((part) => part !== undefined);
  return own.flatMap(partsOf).flatMap((part) => {
    if (part.node !== 'field' || part.row !== set.record) return [];
    return [part.path[0]?.field ?? part.field];
  });
}

function changes(write: Write, set: SetFormula): boolean {
  if (write.record !== set.record) return false;
  return write.kind !== 'update' || fieldsOf(set).some((field) => write.fields.includes(field));
}

interface Footprint {
  readonly writes: readonly Write[];
  readonly sets: readonly SetFormula[];
}

/** What each action writes and looks at: asked again for every set of every action. */
const footprints = new WeakMap<Model, ReadonlyMap<string, Footprint>>();

function footprintsOf(model: Model): ReadonlyMap<string, Footprint> {
  const known = footprints.get(model);
  if (known !== undefined) return known;
  const made = new Map(
    model.actions.map(({ name, steps }) => [name, { writes: writesOf(name, model), sets: setsOf(steps) }] as const),
  );
  footprints.set(model, made);
  return made;
}

/** Whether two at once could both pass by this set: this action changes it, or another one that decides by what this one writes. */
function isDecisive(set: SetFormula, action: ActionDraft, model: Model): boolean {
  const all = footprintsOf(model);
  const own = all.get(action.name)?.writes ?? [];
  if (own.length === 0) return false;
  if (own.some((write) => changes(write, set))) return true;
  return [...all.values()].some(({ writes, sets }) => {
    return writes.some((write) => changes(write, set)) && sets.some((one) => own.some((write) => changes(write, one)));
  });
}

/** The parts that must all be true. */
export function conjuncts(formula: Formula | undefined): readonly Formula[] {
  if (formula === undefined) return [];
  return formula.node === 'and' ? formula.of.flatMap(conjuncts) : [formula];
}

/** `field = value` of the set's own record, either way round, where the value is known before the set is read. */
function equalities(
  where: Formula | undefined,
  record: string,
): readonly { readonly field: Formula & { readonly node: 'field' }; readonly value: Formula }[] {
  return conjuncts(where).flatMap((part) => {
    if (part.node !== 'compare' || part.op !== '=') return [];
    for (const [field, value] of [
      [part.left, part.right],
      [part.right, part.left],
    ] as const) {
      const isOwn = field.node === 'field' && field.row === record && field.path.length === 0;
      const isKnown = !partsOf(value).some((inner) => inner.node === 'field' && inner.row === record);
      if (isOwn && isKnown) return [{ field, value }];
    }
    return [];
  });
}

/** Records of one type, as far as they fit. */
interface Filtered {
  readonly record: string;
  readonly where?: Formula | undefined;
}

/** What is locked at a point of an action: rows by name, and whole types of record. */
interface Locked {
  readonly rows: ReadonlyMap<string, string>;
  readonly whole: ReadonlySet<string>;
  /** Keys that an added lock holds: the type of record and the formula. */
  readonly keys: readonly string[];
}

function keyId(record: string, value: Formula): string {
  return `${record} ${JSON.stringify(value)}`;
}

/** Whether the value is the key of a locked row of that type. */
function isLocked(
  locked: Locked,
  { record, value, shapes }: { readonly record: string; readonly value: Formula; readonly shapes: Shapes },
): boolean {
  if (locked.whole.has(record) || locked.keys.includes(keyId(record, value))) return true;
  const key = shapes.get(record)?.key;
  if (value.node === 'row') return locked.rows.get(value.row) === record;
  return (
    value.node === 'field' && value.path.length === 0 && value.field === key && locked.rows.get(value.row) === record
  );
}

export function anchorActions(model: Model, findings: Findings, ranks: readonly string[]): AnchoredActions {
  const inOrder = orderOf(ranks);
  const anchors = new Map<string, Anchor[]>();
  const remember = (set: SetFormula, anchor: Omit<Anchor, 'fields'>): void => {
    const all = anchors.get(set.record) ?? [];
    const same = all.find(({ record, via }) => record === anchor.record && via === anchor.via);
    const fields = [...new Set([...(same?.fields ?? []), ...fieldsOf(set)])];
    anchors.set(set.record, [...all.filter((one) => one !== same), { ...anchor, fields }]);
  };
  const anchored = new Map(
    model.actions.map(
      (action) => [action.name, new Anchoring({ model, findings, action, remember, inOrder }).run()] as const,
    ),
  );
  // Only now every set that needs a lock is known: its writers lock as well.
  const steps = new Map(
    model.actions.map(
      (action) =>
        [
          action.name,
          lockWriters({ model, findings, anchors, inOrder, steps: anchored.get(action.name) ?? [] }),
        ] as const,
    ),
  );
  return { steps, anchors };
}

/** Locks that are added at one place, in the order in which all operations lock. */
function orderOf(ranks: readonly string[]): (added: readonly CheckedStep[]) => readonly CheckedStep[] {
  const rankOf = (step: CheckedStep): number => ('record' in step ? ranks.indexOf(step.record) : -1);
  return (added) => added.toSorted((a, b) => rankOf(a) - rankOf(b));
}

interface AnchoringOptions {
  readonly inOrder: (added: readonly CheckedStep[]) => readonly CheckedStep[];
  readonly model: Model;
  readonly findings: Findings;
  readonly action: ActionDraft;
  readonly remember: (set: SetFormula, anchor: Omit<Anchor, 'fields'>) => void;
}

class Anchoring {
  readonly #options: AnchoringOptions;
  /** Types of record of which a value is chosen that no other has: they are locked first. */
  readonly #chosenFrom = new Set<string>();

  constructor(options: AnchoringOptions) {
    this.#options = options;
  }

  run(): readonly CheckedStep[] {
    const steps = this.#steps(this.#options.action.steps, { rows: new Map(), whole: new Set(), keys: [] });
    const path = `actions.${this.#options.action.name}.steps`;
    const locks = [...this.#chosenFrom].map((record): CheckedStep => ({ path, op: 'lock', record }));
    return [...this.#options.inOrder(locks), ...steps];
  }

  #steps(steps: readonly CheckedStep[], before: Locked): readonly CheckedStep[] {
    let locked = before;
    return steps.flatMap((step) => {
      const added: CheckedStep[] = [];
      if (step.op === 'read' && step.message === undefined && !this.#isHeld(step, locked)) this.#choose(step);
      for (const set of formulasOf(step).flatMap(partsOf)) {
        if (set.node !== 'set' || !isDecisive(set, this.#options.action, this.#options.model)) continue;
        const lock = this.#anchor(set, { step, locked });
        if (lock === undefined) continue;
        added.push(lock.step);
        locked = { ...locked, keys: [...locked.keys, lock.key] };
      }
      locked = lockedAfter(step, locked);
      return [...this.#options.inOrder(added), this.#inside(step, locked)];
    });
  }

  #inside(step: CheckedStep, locked: Locked): CheckedStep {
    if (step.op === 'for_each_item') return { ...step, steps: this.#steps(step.steps, locked) };
    if (step.op === 'for_each_row') {
      const rows = new Map(locked.rows).set(step.as, step.record);
      return { ...step, steps: this.#steps(step.steps, { ...locked, rows }) };
    }
    if (step.op !== 'if') return step;
    return { ...step, then: this.#steps(step.then, locked), else: this.#steps(step.else, locked) };
  }

  /** The lock to add before the step; undefined where one is there, or none is needed, or none can be. */
  #anchor(
    set: SetFormula,
    { step, locked }: { readonly step: CheckedStep; readonly locked: Locked },
  ): { readonly step: CheckedStep; readonly key: string } | undefined {
    const { model, findings, remember } = this.#options;
    const { shapes } = model;
    if (locked.whole.has(set.record)) {
      remember(set, { record: set.record });
      return undefined;
    }
    const fixed = equalities(set.where, set.record);
    const references = this.#referencesIn(set);
    const held = references.find(({ record, value }) => isLocked(locked, { record, value, shapes }));
    if (held !== undefined) {
      remember(set, { record: held.record, via: held.field });
      return undefined;
    }
    if (
      this.#isUnique(
        set,
        fixed.map(({ field }) => field.field),
      )
    ) {
      if (step.op !== 'check') this.#choose(set);
      return undefined;
    }
    const [first] = references.filter(
      ({ value }) =>
        !partsOf(value).some(
          (part) =>
            part.node === 'set' ||
            (part.node === 'field' && part.row !== 'this' && !locked.rows.has(part.row) && !this.#knows(part.row)),
        ),
    );
    if (first === undefined) {
      const refs = [...(shapes.get(set.record)?.fields.values() ?? [])]
        .filter(({ type }) => type.kind === 'reference')
        .map(({ name, type }) => `${name} (${type.kind === 'reference' ? type.record : ''})`);
      findings.error(step.path, 'unanchored', {
        message: `two at once can both pass: nothing keeps others from changing ${set.record} between this look at it and the end of the action.`,
        known: refs,
        example:
          refs.length === 0
            ? `{"op": "lock", "record": "${set.record}"} as the first step`
            : `{"op": "read_for_update", …} of the record that they belong to, and a filter by it; or {"op": "lock", "record": "${set.record}"} as the first step`,
      });
      return undefined;
    }
    remember(set, { record: first.record, via: first.field });
    return { step: lockStep(first, { path: step.path, shapes }), key: keyId(first.record, first.value) };
  }

  /** The references of its own that a filter fixes. */
  #referencesIn({ record, where }: Filtered) {
    return equalities(where, record).flatMap(({ field, value }) => {
      const to = field.type.kind === 'reference' ? this.#options.model.shapes.get(field.type.record) : undefined;
      return to?.key === undefined ? [] : [{ field: field.field, record: to.name, key: to.key, value }];
    });
  }

  /** Whether nobody else changes what is found: its type is locked, or a record that it belongs to. */
  #isHeld(filtered: Filtered, locked: Locked): boolean {
    const { shapes } = this.#options.model;
    return (
      locked.whole.has(filtered.record) ||
      this.#referencesIn(filtered).some(({ record, value }) => isLocked(locked, { record, value, shapes }))
    );
  }

  /**
   * An action that looks whether a value is taken may take another one then: a number behind a slug, or the record that is there
   * already. The rule that no two share it would refuse all but one of those that look at once.
   */
  #choose({ record, where }: Filtered): void {
    const { action, model } = this.#options;
    const fixed = equalities(where, record).map(({ field }) => field.field);
    const fields = this.#uniqueIn(record, fixed);
    const isTaken = (write: Write): boolean =>
      write.record === record && (write.kind === 'insert' || fields.some((field) => write.fields.includes(field)));
    if (fields.length === 0 || footprintsOf(model).get(action.name)?.writes.some(isTaken) !== true) return;
    this.#chosenFrom.add(record);
  }

  #knows(row: string): boolean {
    return flatSteps(this.#options.action.steps).some((step) => 'as' in step && step.as === row);
  }

  /** Where the set fixes a key or a unique rule, the database itself keeps two from being there. */
  #isUnique(set: SetFormula, fixed: readonly string[]): boolean {
    if (set.function !== 'exists' && set.function !== 'count' && set.function !== 'first') return false;
    const key = this.#options.model.records.find(({ name }) => name === set.record)?.key ?? [];
    const isKey = key.length > 0 && key.every((name) => fixed.includes(name));
    return isKey || this.#uniqueIn(set.record, fixed).length > 0;
  }

  /** The fields of a rule that no two records share, where all of them are fixed. */
  #uniqueIn(name: string, fixed: readonly string[]): readonly string[] {
    const record = this.#options.model.records.find((one) => one.name === name);
    const rules = (record?.unique ?? [])
      .filter(({ when }) => when === undefined)
      .map(({ fields }) => fields.map((field) => (field.node === 'field' ? field.field : '')));
    const isGiven = typeof record?.spec.key === 'object';
    const all = isGiven ? [record.key, ...rules] : rules;
    return all.find((names) => names.length > 0 && names.every((one) => fixed.includes(one))) ?? [];
  }
}

function lockStep(
  { record, key, value }: { readonly record: string; readonly key: string; readonly value: Formula },
  { path, shapes }: { readonly path: string; readonly shapes: Shapes },
): CheckedStep {
  const type = shapes.get(record)?.fields.get(key)?.type ?? value.type;
  const left: Formula = { node: 'field', row: record, path: [], record, field: key, type, nullable: false };
  const where: Formula = { node: 'compare', op: '=', left, right: value, type: { kind: 'boolean' }, nullable: false };
  return { path, op: 'read_for_update', record, as: `lock_${record}`, where, order: [], added: true };
}

function lockedAfter(step: CheckedStep, locked: Locked): Locked {
  if (step.op === 'lock') return { ...locked, whole: new Set(locked.whole).add(step.record) };
  const isRow = step.op === 'read_for_update' || step.op === 'insert';
  if (!isRow) return locked;
  const rows =
    step.as === undefined || ('added' in step && step.added)
      ? locked.rows
      : new Map(locked.rows).set(step.as, step.record);
  // A row that is read by its key is locked under that key as well, however the key is written.
  const read =
    step.op === 'read_for_update'
      ? equalities(step.where, step.record).map(({ value }) => keyId(step.record, value))
      : [];
  return { ...locked, rows, keys: read.length === 1 ? [...locked.keys, ...read] : locked.keys };
}

interface LockingOptions {
  readonly inOrder: (added: readonly CheckedStep[]) => readonly CheckedStep[];
  readonly model: Model;
  readonly findings: Findings;
  readonly anchors: ReadonlyMap<string, readonly Anchor[]>;
  readonly steps: readonly CheckedStep[];
}

/** Adds the locks that writers of an anchored set need. */
function lockWriters(options: LockingOptions): readonly CheckedStep[] {
  return lockIn(options, options.steps, { rows: new Map(), whole: new Set(), keys: [] });
}

function lockIn(options: LockingOptions, steps: readonly CheckedStep[], before: Locked): readonly CheckedStep[] {
  let locked = before;
  const reads = new Map<string, CheckedStep>();
  return steps.flatMap((step) => {
    const added: CheckedStep[] = [];
    for (const anchor of writtenAnchors(step, options.anchors)) {
      const lock = writerLock(anchor, { step, locked, reads, options });
      if (lock === undefined) continue;
      added.push(lock);
      if (lock.op === 'lock') locked = lockedAfter(lock, locked);
      else if (lock.op === 'read_for_update' && lock.where.node === 'compare')
        locked = { ...locked, keys: [...locked.keys, keyId(lock.record, lock.where.right)] };
    }
    locked = lockedAfter(step, locked);
    if (step.op === 'read_for_update' || step.op === 'for_each_row') reads.set(step.as, step);
    return [...options.inOrder(added), lockInside(options, step, locked)];
  });
}

function lockInside(options: LockingOptions, step: CheckedStep, locked: Locked): CheckedStep {
  if (step.op === 'for_each_item') return { ...step, steps: lockIn(options, step.steps, locked) };
  if (step.op === 'for_each_row') {
    const rows = new Map(locked.rows).set(step.as, step.record);
    return { ...step, steps: lockIn(options, step.steps, { ...locked, rows }) };
  }
  if (step.op !== 'if') return step;
  return { ...step, then: lockIn(options, step.then, locked), else: lockIn(options, step.else, locked) };
}

function writtenAnchors(step: CheckedStep, anchors: LockingOptions['anchors']): readonly Anchor[] {
  const isWrite = ['insert', 'update', 'update_where', 'delete', 'delete_where'].includes(step.op);
  if (!isWrite || !('record' in step)) return [];
  const all = anchors.get(step.record) ?? [];
  if (step.op !== 'update' && step.op !== 'update_where') return all;
  return all.filter(({ fields }) => step.set.some(({ name }) => fields.includes(name)));
}

function writerLock(
  { record, via }: Anchor,
  {
    step,
    locked,
    reads,
    options,
  }: {
    readonly step: CheckedStep;
    readonly locked: Locked;
    readonly reads: ReadonlyMap<string, CheckedStep>;
    readonly options: LockingOptions;
  },
): CheckedStep | undefined {
  const { shapes } = options.model;
  if (locked.whole.has(record)) return undefined;
  if (via === undefined) return { path: step.path, op: 'lock', record };
  const value = viaValue(step, { via, reads, shapes });
  const key = shapes.get(record)?.key;
  if (value !== undefined && key !== undefined) {
    if (value.type.kind === 'null' || isLocked(locked, { record, value, shapes })) return undefined;
    return lockStep({ record, key, value }, { path: step.path, shapes });
  }
  options.findings.error(step.path, 'unanchored', {
    message: `an action decides by all of ${'record' in step ? step.record : 'it'} of one ${record}, so who writes one locks its ${record} first; this step may write those of several.`,
    example: `{"op": "for_each_row", "record": "${record}", "as": "one", "where": …} around this step, and "${via} = one.${key ?? 'id'} and …" in its where`,
  });
  return undefined;
}

/** What the anchoring field of the written record is, as a formula that is known before the step. */
function viaValue(
  step: CheckedStep,
  {
    via,
    reads,
    shapes,
  }: { readonly via: string; readonly reads: ReadonlyMap<string, CheckedStep>; readonly shapes: Shapes },
): Formula | undefined {
  if (step.op === 'insert')
    return (
      step.set.find(({ name }) => name === via)?.value ?? {
        node: 'literal',
        value: null,
        type: { kind: 'null' },
        nullable: true,
      }
    );
  if (step.op === 'update_where' || step.op === 'delete_where') {
    return equalities(step.where, step.record).find(({ field }) => field.field === via)?.value;
  }
  if (step.op !== 'update' && step.op !== 'delete') return undefined;
  const read = reads.get(step.row);
  const where = read?.op === 'read_for_update' || read?.op === 'for_each_row' ? read.where : undefined;
  const fixed = equalities(where, step.record).find(({ field }) => field.field === via)?.value;
  if (fixed !== undefined) return fixed;
  const field = shapes.get(step.record)?.fields.get(via);
  if (field === undefined) return undefined;
  return {
    node: 'field',
    row: step.row,
    path: [],
    record: step.record,
    field: via,
    type: field.type,
    nullable: field.nullable,
  };
}
