import type { CheckedField, CheckedRecord, CheckedSpecification } from '../spec/index.js';
import { CALLER, MysqlFormulas, nowhere } from './mysql-formulas.js';
import {
  type Difference,
  differencesOf,
  type RowCheck,
  rowChecks,
  rowPlace,
  rulesOf,
  type StoredField,
  storedFields,
  type Total,
  totalLines,
  totalsOver,
  triggerBlock,
  type TriggerEvent,
  triggersOf,
  triggerText,
} from './mysql-records.js';
import { indent, literal, quote } from './mysql-words.js';
import { type Refusal, Refusals } from './refusals.js';

/**
 * From one revision of a specification to the next, as far as the documents say it: which column is which, what rows that are there
 * get, and the triggers that keep both revisions right while both are used. What the tables are like, the database itself says.
 */

export interface MysqlChange {
  readonly refused: readonly Refusal[];
  /** By the name of the table. */
  readonly tables: Readonly<Record<string, TableChange>>;
  /** In place of those of the revision before, until it is retired. */
  readonly triggers: readonly WindowTrigger[];
}

export interface TableChange {
  /** Names of columns, by their names before. */
  readonly renamed: Readonly<Record<string, string>>;
  readonly fills: readonly Fill[];
  /** Rules and unique keys of either revision that the other does not have so: triggers keep them meanwhile. */
  readonly judged: readonly string[];
}

/** What rows that are there get in a column. */
export interface Fill {
  readonly column: string;
  /** Over the row, whose alias is `target`. */
  readonly value: string;
  /** Rows that have it already. */
  readonly isDone?: string;
  readonly words: string;
}

export interface WindowTrigger {
  readonly name: string;
  readonly table: string;
  /** Keeps both revisions right; absent: there is none meanwhile. */
  readonly window?: string;
  readonly before?: string;
  readonly after?: string;
}

/** How the DBA's own writes are known, by which rows that are there get their values: no rule of a state holds them up. */
export interface ChangeOptions {
  /** The account of the DBA, as the server knows it: the part before the @. */
  readonly account: string;
}

export function changeMysql(
  before: CheckedSpecification,
  after: CheckedSpecification,
  { account }: ChangeOptions,
): MysqlChange {
  const refusals = new Refusals();
  const sides: Sides = {
    old: new MysqlFormulas(before, new Refusals()),
    // What the generator does not make at all, it says itself.
    fresh: new MysqlFormulas(after, new Refusals()),
    account,
    refuse: (path, construct) => {
      refusals.add(path, construct);
    },
  };
  const tables: Record<string, TableChange> = {};
  const triggers: WindowTrigger[] = [];
  for (const { was, record } of pairedRecords(before, after, sides.refuse)) {
    if (was === undefined) continue;
    const change = tableChange(was, record, sides);
    tables[sides.fresh.name(record.name)] = change;
    triggers.push(...windowTriggers(was, record, { sides, change }));
  }
  return { refused: refusals.found, tables, triggers };
}

interface Sides {
  readonly old: MysqlFormulas;
  readonly fresh: MysqlFormulas;
  readonly account: string;
  readonly refuse: (path: string, construct: string) => void;
}

/** What no database is brought to while the version before works: another key, another kind of value under the same name. */
function refuseUnlike(was: CheckedRecord, record: CheckedRecord, refuse: Sides['refuse']): void {
  const path = `records.${record.name}`;
  const renamed = renamedFields(was, record);
  const key = was.key.map((name) => renamed[name] ?? name);
  if (key.join() !== record.key.join() || was.keyKind !== record.keyKind || was.parent !== record.parent)
    refuse(`${path}.key`, 'another key: add a record of another name with it, and let this one go in a later revision');
  for (const name of was.key)
    if (renamed[name] !== undefined)
      refuse(`${path}.fields.${renamed[name]}.was`, 'another name for a field of the key: keep that name');
  if (record.spec.soft_delete === true && was.spec.soft_delete !== true)
    refuse(
      `${path}.soft_delete`,
      'soft_delete, where the version before would show what is deleted: let an action set an optional field, and filter by it',
    );
  if ((record.spec.per_tenant === true) !== (was.spec.per_tenant === true))
    refuse(
      `${path}.per_tenant`,
      'per_tenant, where rows that are there belong to nobody or to one: add a record of another name, and let this one go in a later revision',
    );
  for (const field of record.fields) {
    const old = storedBefore(was, record, field.name);
    if (old === undefined || field.computed !== undefined) continue;
    const fieldPath = `${path}.fields.${field.name}`;
    if (old.type.kind !== field.type.kind)
      refuse(
        fieldPath,
        `another kind of value, ${old.type.kind} to ${field.type.kind}, under the same name: add a field of another name`,
      );
    if (field.rollup !== undefined && JSON.stringify(old.rollup) !== JSON.stringify(field.rollup))
      refuse(
        fieldPath,
        'another total under the same name: add one of another name, and let this one go in a later revision',
      );
  }
}

/** What a field was in the revision before, be it under another name. */
export function storedBefore(was: CheckedRecord, record: CheckedRecord, name: string): CheckedField | undefined {
  const from = Object.entries(renamedFields(was, record)).find(([, to]) => to === name)?.[0];
  return stored(was, from ?? name);
}

/** Records that are new, and those that were there, by their names. */
export function pairedRecords(
  before: CheckedSpecification,
  after: CheckedSpecification,
  refuse: Sides['refuse'],
): readonly { readonly was: CheckedRecord | undefined; readonly record: CheckedRecord }[] {
  if (before.source.store !== after.source.store)
    refuse('store', 'another store: its data would have to move. Make a domain of another name there');
  return after.records.map((record) => {
    const was = before.records.find(({ name }) => name === record.name);
    if (was === undefined && before.records.some(({ name }) => name === record.spec.was))
      refuse(
        `records.${record.name}.was`,
        `another name for the record ${String(record.spec.was)}: keep that name, or add the new record beside it and let the old one go in a later revision`,
      );
    if (was !== undefined) refuseUnlike(was, record, refuse);
    return { was, record };
  });
}

export const WITHOUT_DEFAULT =
  'a value that must be there, without a default: rows that are there have none, and the version before gives none. Make it optional, or give it a default';
export const NUMBERS = 'numbers for rows that are there: add a record with the number, one for each row';

function tableChange(was: CheckedRecord, record: CheckedRecord, sides: Sides): TableChange {
  const renamed = renamedFields(was, record);
  const fills: Fill[] = [];
  for (const field of storedFields(record, sides.fresh)) {
    const from = Object.entries(renamed).find(([, to]) => to === field.name)?.[0];
    const old = stored(was, from ?? field.name);
    if (from !== undefined)
      fills.push({
        column: field.name,
        value: `target.${quote(from)}`,
        isDone: `target.${quote(field.name)} <=> target.${quote(from)}`,
        words: `what ${from} has`,
      });
    else if (field.rollup !== undefined) fills.push(...totalFill(field, { was: old, record, sides }));
    else if (old !== undefined && letterCase(field) !== undefined && letterCase(field) !== letterCase(old))
      fills.push(...letterFill(field, record, sides));
    else if (old === undefined || (old.optional && !field.optional))
      fills.push(...valueFill(field, { record, sides, isNew: old === undefined }));
  }
  const apart = rulesApart(was, record, sides);
  for (const { column, value } of apart.fresh.differences.flatMap(({ filled }) => filled))
    fills.push({ column, value, isDone: `target.${quote(column)} <=> (${value})`, words: 'what must differ' });
  const judged = [apart.old, apart.fresh].flatMap((each) => [...each.checks, ...each.differences]);
  return { renamed, fills, judged: [...new Set(judged.map(({ name }) => name))] };
}

interface OwnRules {
  readonly checks: readonly RowCheck[];
  readonly differences: readonly Difference[];
}

/** Rules of rows and unique keys that only one of the two revisions has, or has so. */
function rulesApart(
  was: CheckedRecord,
  record: CheckedRecord,
  { old, fresh }: Sides,
): { readonly old: OwnRules; readonly fresh: OwnRules } {
  const [before, after] = [rowChecks(was, old), rowChecks(record, fresh)];
  const [differed, differ] = [differencesOf(was, old), differencesOf(record, fresh)];
  const isSame = (one: Named, next: Named): boolean => one.name === next.name && one.text === next.text;
  return {
    old: {
      checks: before.filter((one) => !after.some((next) => isSame(one, next))),
      differences: differed.filter((one) => !differ.some((next) => isSame(one, next))),
    },
    fresh: {
      checks: after.filter((next) => !before.some((one) => isSame(one, next))),
      differences: differ.filter((next) => !differed.some((one) => isSame(one, next))),
    },
  };
}

interface Named {
  readonly name: string;
  readonly text: string;
}

export function letterCase({ spec }: CheckedField): string | undefined {
  return (spec as { readonly letter_case?: string } | undefined)?.letter_case;
}

export const OTHER_LETTERS = 'another letter_case for a field of the key: leave it as it is';

/** Nobody finds by small letters what is stored in capitals. */
function letterFill(field: StoredField, record: CheckedRecord, sides: Sides): readonly Fill[] {
  const path = `records.${record.name}.fields.${field.name}`;
  if (record.key.includes(field.name)) {
    sides.refuse(path, OTHER_LETTERS);
    return [];
  }
  const column = `target.${quote(field.name)}`;
  const value = `${String(letterCase(field)).toUpperCase()}(${column})`;
  return [{ column: field.name, value, isDone: `${column} <=> ${value}`, words: 'its letters in one case' }];
}

function stored(record: CheckedRecord, name: string): CheckedField | undefined {
  return record.fields.find((field) => field.name === name && field.computed === undefined);
}

/** n.b. `was` is kept by later revisions, where it says nothing any more; and it may be the name of a column of another system. */
export function renamedFields(was: CheckedRecord, record: CheckedRecord): Readonly<Record<string, string>> {
  const renamed: Record<string, string> = {};
  for (const { name, spec, computed } of record.fields) {
    const from = spec?.was;
    if (from === undefined || computed !== undefined || stored(was, name) !== undefined) continue;
    if (stored(was, from) !== undefined && stored(record, from) === undefined) renamed[from] = name;
  }
  return renamed;
}

function totalFill(
  field: StoredField,
  {
    was,
    record,
    sides,
  }: { readonly was: CheckedField | undefined; readonly record: CheckedRecord; readonly sides: Sides },
): readonly Fill[] {
  const { fresh } = sides;
  const { rollup } = field;
  if (rollup === undefined) return [];
  if (was !== undefined) return [];
  const child = fresh.record(rollup.child);
  const place = rowPlace(child, 'child_of', `fields.${field.name}`);
  const value = rollup.value === undefined ? '1' : fresh.value(rollup.value, place);
  const [key = 'id'] = record.key;
  const isEmpty = rollup.function === 'min' || rollup.function === 'max';
  const total = isEmpty ? `${rollup.function.toUpperCase()}(${value})` : `COALESCE(SUM(${value}), 0)`;
  const isThere = fresh.isThere(
    { kind: 'alias', alias: 'child_of', record: child, isRaw: false },
    nowhere('', 'UTC_TIMESTAMP(3)'),
  );
  const conditions = [
    `child_of.${quote(rollup.via)} = target.${quote(key)}`,
    ...(record.spec.per_tenant === true && child.spec.per_tenant === true
      ? [`child_of.${quote('tenant')} = target.${quote('tenant')}`]
      : []),
    ...(rollup.when === undefined ? [] : [`(${fresh.condition(rollup.when, place)})`]),
    ...isThere,
  ];
  const of = `SELECT ${total} FROM ${fresh.name(child.name)} AS child_of WHERE ${conditions.join(' AND ')}`;
  return [{ column: field.name, value: `(${of})`, words: `the ${rollup.function} of ${child.name}` }];
}

/** What a row gets that has none: the default of the field, as a new row would. */
function valueFill(
  field: StoredField,
  { record, sides, isNew }: { readonly record: CheckedRecord; readonly sides: Sides; readonly isNew: boolean },
): readonly Fill[] {
  const path = `records.${record.name}.fields.${field.name}`;
  const value = standIn(field, { alias: 'target', record, sides });
  if (field.numbering !== undefined && isNew) sides.refuse(path, NUMBERS);
  // What the column gives by itself, rows that are there have at once.
  if (field.isState || field.origin === 'version' || field.numbering !== undefined) return [];
  if (value === undefined) {
    if (!field.optional) sides.refuse(path, WITHOUT_DEFAULT);
    return [];
  }
  const isPlain = field.default?.node === 'literal';
  if (isNew && isPlain) return [];
  if (isNew && field.optional) return [];
  const words = isPlain
    ? `its default, ${value}`
    : field.origin === 'timestamps'
      ? 'the moment of this change'
      : `its default, ${value}`;
  return [{ column: field.name, value, isDone: `target.${quote(field.name)} IS NOT NULL`, words }];
}

function standIn(
  field: StoredField,
  { alias, record, sides }: { readonly alias: string; readonly record: CheckedRecord; readonly sides: Sides },
): string | undefined {
  if (field.origin === 'timestamps') return field.name.endsWith('_at') ? 'UTC_TIMESTAMP(3)' : undefined;
  if (field.origin === 'key' && record.keyKind === 'uuid') return undefined;
  if (field.default === undefined) return undefined;
  const text = sides.fresh.value(field.default, rowPlace(record, alias, `fields.${field.name}.default`));
  if (!text.includes(CALLER.id) && !text.includes(CALLER.roles)) return text;
  return undefined;
}

/* Triggers */

interface Window {
  readonly sides: Sides;
  readonly change: TableChange;
}

const EVENTS: readonly TriggerEvent[] = [
  'before_insert',
  'before_update',
  'before_delete',
  'after_insert',
  'after_update',
  'after_delete',
];

function windowTriggers(was: CheckedRecord, record: CheckedRecord, window: Window): readonly WindowTrigger[] {
  const { old, fresh } = window.sides;
  const [ofOld, ofFresh] = [triggersOf(was, old), triggersOf(record, fresh)];
  const [oldRules, freshRules] = [rulesOf(was, old), rulesOf(record, fresh)];
  const apart = rulesApart(was, record, window.sides);
  const table = fresh.name(record.name);
  return EVENTS.flatMap((event): readonly WindowTrigger[] => {
    const rules = bothRules(
      {
        ...{ event, record, old: oldRules[event], fresh: freshRules[event] },
        ...{ oldOnly: linesOf(apart.old, event), freshOnly: linesOf(apart.fresh, event) },
      },
      window,
    );
    const lines = event.startsWith('after') ? [...rules, ...bothTotals({ was, record, event }, window.sides)] : rules;
    const text = (of: readonly string[]): string | undefined =>
      of.length === 0 ? undefined : triggerText(record, { event, lines: of }, fresh).text;
    const [before, after, meanwhile] = [text(ofOld[event]), text(ofFresh[event]), text(lines)];
    if (before === after && meanwhile === before) return [];
    return [
      {
        name: fresh.name(record.name, event),
        table,
        ...(meanwhile === undefined ? {} : { window: meanwhile }),
        ...(before === undefined ? {} : { before }),
        ...(after === undefined ? {} : { after }),
      },
    ];
  });
}

/** What one revision alone has, at this event. n.b. the server looks at a CHECK behind what BEFORE triggers have put in. */
function linesOf({ checks, differences }: OwnRules, event: TriggerEvent): readonly string[] {
  if (event === 'before_insert' || event === 'before_update') return checks.flatMap(({ lines }) => lines[event]);
  if (event === 'after_insert' || event === 'after_update') return differences.flatMap(({ lines }) => lines[event]);
  return [];
}

/** Each revision by its own rules, and what each one writes in the form of the other as well. */
function bothRules(
  {
    event,
    old,
    fresh,
    oldOnly,
    freshOnly,
    record,
  }: {
    readonly event: TriggerEvent;
    readonly old: readonly string[];
    readonly fresh: readonly string[];
    readonly oldOnly: readonly string[];
    readonly freshOnly: readonly string[];
    readonly record: CheckedRecord;
  },
  { sides, change }: Window,
): readonly string[] {
  const forward: string[] = [];
  const back: string[] = [];
  if (event === 'before_insert' || event === 'before_update') {
    for (const [from, to] of Object.entries(change.renamed)) {
      forward.push(`SET NEW.${quote(to)} = NEW.${quote(from)};`);
      back.push(`SET NEW.${quote(from)} = NEW.${quote(to)};`);
    }
    for (const { column } of change.fills) {
      if (Object.values(change.renamed).includes(column)) continue;
      const field = storedFields(record, sides.fresh).find(({ name }) => name === column);
      if (field === undefined || field.rollup !== undefined) continue;
      const value = standIn(field, { alias: 'NEW', record, sides });
      if (value !== undefined) forward.push(`SET NEW.${quote(column)} = COALESCE(NEW.${quote(column)}, ${value});`);
      if (column === 'changed_at' && field.origin === 'timestamps')
        forward.push(`SET NEW.${quote(column)} = UTC_TIMESTAMP(3);`);
    }
  }
  const [oldStart, freshStart] = event === 'before_insert' ? startsApart(sides, record) : [[], []];
  // Who edits by the next revision is told of what the one before has changed meanwhile.
  const isVersioned = (of: CheckedRecord | undefined): boolean => of?.spec.version === true;
  const was = sides.old.specification.records.find(({ name }) => name === record.name);
  if (event === 'before_update' && isVersioned(record) && !isVersioned(was))
    forward.push(`SET NEW.${quote('version')} = OLD.${quote('version')} + 1;`);
  const isSame = [...oldStart, ...old, ...oldOnly].join('\n') === [...freshStart, ...fresh, ...freshOnly].join('\n');
  const isFilled = change.fills.length > 0 && event === 'before_update';
  if (isSame && forward.length === 0 && back.length === 0 && !(isFilled && old.length > 0)) return old;
  const branch = (lines: readonly string[]): readonly string[] =>
    indent(['BEGIN', ...indent(triggerBlock(lines)), 'END;']);
  const isOwn = `@beds_filling IS NOT NULL AND SUBSTRING_INDEX(USER(), '@', 1) = ${literal(sides.account)}`;
  return [
    ...(isFilled ? [`IF ${isOwn} THEN`, ...branch([])] : []),
    `${isFilled ? 'ELSEIF' : 'IF'} COALESCE(@beds_revision, ${sides.old.revision}) < ${sides.fresh.revision} THEN`,
    ...branch([...oldStart, ...old, ...forward, ...oldOnly]),
    'ELSE',
    ...branch([...freshStart, ...fresh, ...back, ...freshOnly]),
    'END IF;',
  ];
}

/** New records have the first state, which the column gives by itself where it is the same in both. */
function startsApart({ old }: Sides, record: CheckedRecord): readonly [readonly string[], readonly string[]] {
  const was = old.specification.records.find(({ name }) => name === record.name)?.states;
  const is = record.states;
  if (was?.field === is?.field && was?.start === is?.start) return [[], []];
  const start = (states: CheckedRecord['states']): readonly string[] =>
    states === undefined ? [] : [`SET NEW.${quote(states.field)} = ${literal(states.start)};`];
  return [start(was), start(is)];
}

/** Totals of both revisions: those of the one before are exact until it is retired. */
function bothTotals(
  { was, record, event }: { readonly was: CheckedRecord; readonly record: CheckedRecord; readonly event: TriggerEvent },
  { old, fresh }: Sides,
): readonly string[] {
  const happening = event.slice('after_'.length) as 'insert' | 'update' | 'delete';
  const totals = totalsOver(record, fresh);
  const named = ({ parent, field }: Total): string => `${parent.name}.${field.name}`;
  const kept = totalsOver(was, old).filter((total) => !totals.some((each) => named(each) === named(total)));
  return [
    ...totals.flatMap((total) => totalLines(total, happening, fresh)),
    ...kept.flatMap((total) => totalLines(total, happening, old)),
  ];
}
