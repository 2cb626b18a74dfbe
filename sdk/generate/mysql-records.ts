import type { CheckedField, CheckedRecord, Formula, Value } from '../spec/index.js';
import {
  CALLER,
  type Declared,
  declaredField,
  Joins,
  type MysqlFormulas,
  nowhere,
  type Place,
  type RowRef,
  unwrapped,
} from './mysql-formulas.js';
import { type Refused, referenceName, signal, uniqueName } from './mysql-refusals.js';
import { comment, fit, HEAD, indent, listed, literal, maskPattern, quote, remark, when } from './mysql-words.js';

export type StoredField = CheckedField & { readonly declared: Declared };

/** Every field that is stored, with how it is declared. What has no declaration is refused by name. */
export function storedFields(record: CheckedRecord, formulas: MysqlFormulas): readonly StoredField[] {
  return record.fields.flatMap((field) => {
    if (field.computed !== undefined) return [];
    const declared = declaredField(field, record, formulas);
    if (declared !== undefined) return [{ ...field, declared }];
    const what =
      field.type.kind === 'reference'
        ? `a reference to ${field.type.record}, whose key has several fields`
        : `a field of type ${field.type.kind}`;
    formulas.refuse({ path: `records.${record.name}.fields.${field.name}` }, what);
    return [];
  });
}

/** What variables and parameters of procedures are called beside those of fields. */
const OWN_NAMES: readonly string[] = ['is_there', 'is_last', 'position', 'caller_id', 'caller_roles', 'clears'];

/** What this generator has no SQL for. */
export function refuseRecord(record: CheckedRecord, formulas: MysqlFormulas): void {
  const { spec } = record;
  const path = `records.${record.name}`;
  const parts: readonly (readonly [string, unknown])[] = [
    ['soft_delete', spec.soft_delete],
    ['per_tenant', spec.per_tenant],
    ['expires with delete', record.expires !== undefined && record.expires.set === undefined],
    ['rows of a record whose key the database gives', record.keyKind !== 'fields' && spec.rows],
  ];
  for (const [name, value] of parts) if (value !== undefined && value !== false) formulas.refuse({ path }, name);
  for (const overlap of record.noOverlap)
    if (overlap.maxAtOnce !== undefined) formulas.refuse({ path }, 'no_overlap with max_at_once');
  for (const field of record.fields) {
    const at = { path: `${path}.fields.${field.name}` };
    if (OWN_NAMES.includes(field.name)) formulas.refuse(at, `a field called ${field.name}`);
    const { rollup } = field;
    if (rollup?.child === record.name) formulas.refuse(at, 'a rollup over the record itself');
    if (rollup !== undefined && hasPath([rollup.value, rollup.when]))
      formulas.refuse(at, 'a rollup by what lies behind a reference');
    const children = formulas.specification.records.filter(({ fields }) =>
      fields.some((other) => other.rollup?.child === record.name && other.rollup.via === field.name),
    );
    if (field.onDelete === 'set_null' && children.length > 0) formulas.refuse(at, 'on_delete set_null under a rollup');
  }
  for (const child of explicitChildren(record, formulas))
    if (explicitChildren(child.record, formulas).length > 0)
      formulas.refuse({ path }, `a cascade through ${child.record.name} to what must be deleted one by one`);
}

function hasPath(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { node, path } = value as { readonly node?: string; readonly path?: readonly unknown[] };
  return (node === 'field' && (path?.length ?? 0) > 0) || node === 'set' || Object.values(value).some(hasPath);
}

export interface Child {
  readonly record: CheckedRecord;
  readonly field: string;
}

/** Children that go with a record and that a cascade of the server would take past their triggers: they are deleted by name. */
export function explicitChildren(record: CheckedRecord, formulas: MysqlFormulas): readonly Child[] {
  return formulas.specification.records.flatMap((child) =>
    child.fields.flatMap((field): readonly Child[] => {
      if (field.type.kind !== 'reference' || field.type.record !== record.name) return [];
      return goesWith(field) && hasDeleteTrigger(child, formulas) ? [{ record: child, field: field.name }] : [];
    }),
  );
}

function goesWith(field: CheckedField): boolean {
  return field.origin === 'parent' || field.onDelete === 'cascade';
}

function hasDeleteTrigger(record: CheckedRecord, formulas: MysqlFormulas): boolean {
  const counted = formulas.specification.records.some(({ fields }) =>
    fields.some(({ rollup }) => rollup?.child === record.name),
  );
  return counted || record.immutableWhen !== undefined || record.spec.history === true;
}

/** The row of a trigger, or of a CHECK. */
export function rowPlace(record: CheckedRecord, alias: string, path: string): Place {
  const own: RowRef = { kind: 'alias', alias, record, isRaw: true };
  return {
    ...nowhere(`records.${record.name}.${path}`, 'UTC_TIMESTAMP(3)'),
    row: (name) => (name === 'this' ? own : undefined),
    own,
  };
}

/** n.b. in a CHECK columns are written without a table. */
function inCheck(text: string): string {
  return text.replaceAll('`this`.', '');
}

/** Whether a CHECK may have it: the row alone, neither the clock nor another table nor a function of the domain. */
function isCheckable(formula: unknown, text: string, record: CheckedRecord): boolean {
  const isPlain = (value: unknown): boolean => {
    if (Array.isArray(value)) return value.every(isPlain);
    if (typeof value !== 'object' || value === null) return true;
    const part = value as { readonly node?: string; readonly path?: readonly unknown[]; readonly field?: string };
    if (['set', 'now', 'today', 'caller', 'has_role'].includes(part.node ?? '')) return false;
    if (part.node === 'field') {
      const field = record.fields.find(({ name }) => name === part.field);
      const isMade = field?.origin === 'key' && record.keyKind === 'auto';
      if ((part.path?.length ?? 0) > 0 || field?.onDelete === 'set_null' || isMade) return false;
    }
    return Object.values(value).every(isPlain);
  };
  return isPlain(formula) && !/_(?:local|moment)\(|\bSELECT\b/.test(text);
}

interface Bound {
  readonly name: string;
  readonly field: string;
  /** True for what is allowed, or NULL. */
  readonly test: (place: Place) => string;
  readonly formula: Formula | undefined;
  readonly words: string;
}

function boundsOf(record: CheckedRecord, formulas: MysqlFormulas): readonly Bound[] {
  return storedFields(record, formulas).flatMap((field) => {
    const { name, min, max, multipleOf, type } = field;
    const spec = (field.spec ?? {}) as { readonly mask?: string; readonly max_items?: number };
    const { mask } = spec;
    const said = (bound: Formula): string => (bound.node === 'literal' ? String(bound.value) : 'what is allowed');
    const value = (place: Place): string => `${(place.own as { readonly alias: string }).alias}.${quote(name)}`;
    const bounds: Bound[] = [];
    const add = (kind: string, text: string, [formula, test]: readonly [Formula | undefined, Bound['test']]): void => {
      bounds.push({ name: formulas.name(record.name, name, kind), field: name, words: text, formula, test });
    };
    if (type.kind === 'list' || type.kind === 'objects') {
      const most = spec.max_items;
      if (most !== undefined)
        add('count', `At most ${most}.`, [undefined, (at) => `JSON_LENGTH(${value(at)}) <= ${most}`]);
      return bounds;
    }
    if (min !== undefined)
      add('min', `Not less than ${said(min)}.`, [min, (at) => `${value(at)} >= ${formulas.write(min, at)}`]);
    if (max !== undefined)
      add('max', `Not more than ${said(max)}.`, [max, (at) => `${value(at)} <= ${formulas.write(max, at)}`]);
    if (multipleOf !== undefined) {
      const test: Bound['test'] = (at) => `${value(at)} MOD ${formulas.write(multipleOf, at)} = 0`;
      add('multiple', `A multiple of ${said(multipleOf)}.`, [multipleOf, test]);
    }
    if (mask !== undefined) {
      const test: Bound['test'] = (at) => `${value(at)} REGEXP ${literal(maskPattern(mask))}`;
      add('mask', `In the form ${mask}.`, [undefined, test]);
    }
    return bounds;
  });
}

export interface Table {
  readonly text: string;
  /** What its constraints say. */
  readonly refused: readonly Refused[];
}

const ON_DELETE = { restrict: 'RESTRICT', cascade: 'CASCADE', set_null: 'SET NULL' } as const;

export function tableOf(record: CheckedRecord, formulas: MysqlFormulas): Table {
  const table = formulas.name(record.name);
  const fields = storedFields(record, formulas);
  const refused: Refused[] = [];
  const columns = fields.map((field) => columnText(field, record, formulas));
  const keys = [`PRIMARY KEY (${record.key.map(quote).join(', ')})`];
  const place = rowPlace(record, '`this`', 'unique');
  for (const unique of record.unique) {
    const names = unique.fields.flatMap((part) =>
      part.node === 'field' && part.path.length === 0 ? [part.field] : [],
    );
    if (names.length !== unique.fields.length) {
      formulas.refuse(place, 'unique over a formula');
      continue;
    }
    const name = uniqueName(record, unique.name, formulas);
    const message = unique.message ?? [`There is one with the same ${names.join(', ').replaceAll('_', ' ')} already.`];
    refused.push({ name, error: 'conflict', message });
    if (unique.when === undefined) keys.push(`UNIQUE KEY ${name} (${names.map(quote).join(', ')})`);
    else {
      const mark = quote(fit(`_${unique.name}`));
      const condition = inCheck(formulas.condition(unique.when, place));
      columns.push(
        `${mark} BOOLEAN AS (IF(${condition}, TRUE, NULL)) VIRTUAL COMMENT 'Only records that have it must differ: NULL is never a duplicate.'`,
      );
      keys.push(`UNIQUE KEY ${name} (${[...names.map(quote), mark].join(', ')})`);
    }
  }
  for (const index of record.indexes) {
    // What is computed on reading has no index.
    if (!index.fields.every(({ name }) => fields.some((field) => field.name === name))) continue;
    const parts = index.fields.map(({ name, direction }) => `${quote(name)}${direction === 'desc' ? ' DESC' : ''}`);
    keys.push(`KEY ${formulas.name(index.name)} (${parts.join(', ')}) COMMENT ${comment(index.why.join(', '))}`);
  }
  const references = fields.flatMap((field) => {
    if (field.type.kind !== 'reference') return [];
    const to = formulas.record(field.type.record);
    const name = referenceName(record, field.name, formulas);
    const [key = 'id'] = to.key;
    refused.push(
      { name, error: 'not_found', field: field.name, message: [`There is no such ${words(to.name)}.`] },
      { name: `<${name}`, error: 'conflict', message: [`There is still a ${words(record.name)} of it.`] },
    );
    const isCascade = goesWith(field) && !hasDeleteTrigger(record, formulas);
    const onDelete = goesWith(field) ? (isCascade ? 'CASCADE' : 'RESTRICT') : ON_DELETE[field.onDelete ?? 'restrict'];
    return [
      `CONSTRAINT ${name} FOREIGN KEY (${quote(field.name)}) REFERENCES ${formulas.name(to.name)} (${quote(key)}) ON DELETE ${onDelete}`,
    ];
  });
  const checks: string[] = [];
  const inTable = rowPlace(record, '`this`', 'rules');
  for (const bound of boundsOf(record, formulas)) {
    const text = inCheck(bound.test(inTable));
    if (!isCheckable([bound.formula, fieldNode(bound.field)], text, record)) continue;
    checks.push(`CONSTRAINT ${bound.name} CHECK (${text})`);
    refused.push({ name: bound.name, error: 'invalid', field: bound.field, message: [bound.words] });
  }
  for (const { rule, message, name } of record.rules) {
    const text = inCheck(formulas.truth(rule, inTable));
    if (!isCheckable(rule, text, record)) continue;
    const constraint = ruleName(record, name, formulas);
    checks.push(`CONSTRAINT ${constraint} CHECK (${unwrapped(text)})`);
    const fixed = message.every((part) => typeof part === 'string')
      ? message
      : [`A rule of ${words(record.name)} refuses it.`];
    refused.push({ name: constraint, error: 'invalid', message: fixed });
  }
  const lines = [...columns, ...keys, ...references, ...checks];
  const text = `${remark(record.spec.description)}
SET NAMES utf8mb4 COLLATE utf8mb4_bin;
SET sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION';

CREATE TABLE IF NOT EXISTS ${table} (
${lines.map((line) => `  ${line}`).join(',\n')}
)
  ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin
  COMMENT = ${comment(record.spec.description)};
`;
  return { text, refused };
}

const fieldNode = (field: string): object => ({ node: 'field', path: [], field });

export function words(name: string): string {
  return name.replaceAll('_', ' ');
}

function ruleName(record: CheckedRecord, name: string, formulas: MysqlFormulas): string {
  return formulas.name(name.startsWith(`${record.name}_`) ? name : `${record.name}_${name}`);
}

function columnText(field: StoredField, record: CheckedRecord, formulas: MysqlFormulas): string {
  const isMade = field.origin === 'key' && record.keyKind === 'auto';
  const stands = defaultOf(field, record, formulas);
  return [
    quote(field.name),
    field.declared.column,
    ...(field.optional || isEmptyTotal(field) ? ['NULL'] : ['NOT NULL']),
    ...(isMade ? ['AUTO_INCREMENT'] : []),
    ...(stands === undefined ? [] : [`DEFAULT ${stands}`]),
    `COMMENT ${comment(field.description)}`,
  ].join(' ');
}

/** The least or greatest of nothing. */
function isEmptyTotal({ rollup }: CheckedField): boolean {
  return rollup?.function === 'min' || rollup?.function === 'max';
}

function defaultOf(field: StoredField, record: CheckedRecord, formulas: MysqlFormulas): string | undefined {
  if (field.isState) return literal(record.states?.start ?? '');
  if (field.rollup !== undefined) return isEmptyTotal(field) ? 'NULL' : '0';
  if (field.numbering !== undefined) return '0';
  if (field.origin === 'version') return '1';
  const { default: given, type } = field;
  if (given?.node !== 'literal' || type.kind === 'json' || type.kind === 'list') return undefined;
  return formulas.write(given, nowhere('default')).replace(/^(?:DATE|TIME|TIMESTAMP) '/, "'");
}

/* Triggers */

export type TriggerEvent =
  'before_insert' | 'before_update' | 'before_delete' | 'after_insert' | 'after_update' | 'after_delete';

/** What holds whoever writes and a CHECK cannot say. */
export function triggerTexts(record: CheckedRecord, formulas: MysqlFormulas): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const [event, lines] of Object.entries(triggersOf(record, formulas))) {
    if (lines.length === 0) continue;
    const { name, text } = triggerText(record, { event, lines }, formulas);
    texts[name] = text;
  }
  return texts;
}

/** With the variables that its lines name. */
export function triggerBlock(lines: readonly string[]): readonly string[] {
  const body = lines.join('\n');
  return [
    ...(body.includes('v_message')
      ? [`DECLARE v_message VARCHAR(1000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;`]
      : []),
    ...(body.includes('v_number') ? ['DECLARE v_number BIGINT;'] : []),
    ...(body.includes('v_locked') ? [`DECLARE v_locked VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;`] : []),
    ...lines,
  ];
}

export function triggerText(
  record: CheckedRecord,
  { event, lines }: { readonly event: string; readonly lines: readonly string[] },
  formulas: MysqlFormulas,
): { readonly name: string; readonly text: string } {
  const name = formulas.name(record.name, event);
  const [time = '', happening = ''] = event.split('_');
  const text = `${remark(`${happening} of ${words(record.name)}: what holds whoever writes.`)}
${HEAD}
DROP TRIGGER IF EXISTS ${name};

CREATE TRIGGER ${name} ${time.toUpperCase()} ${happening.toUpperCase()} ON ${formulas.name(record.name)} FOR EACH ROW
BEGIN
${indent(triggerBlock(lines)).join('\n')}
END;
`;
  return { name, text };
}

export function triggersOf(
  record: CheckedRecord,
  formulas: MysqlFormulas,
): Readonly<Record<TriggerEvent, readonly string[]>> {
  const made: Record<TriggerEvent, string[]> = {
    ...{
      before_insert: [],
      before_update: [],
      before_delete: [],
      after_insert: [],
      after_update: [],
      after_delete: [],
    },
  };
  const [fresh, old] = [rowPlace(record, 'NEW', 'rules'), rowPlace(record, 'OLD', 'rules')];
  const say = (error: 'invalid' | 'conflict', text: string, field?: string): readonly string[] =>
    signal([text], { error, field, formulas, place: fresh });
  const { immutableWhen, states } = record;
  if (immutableWhen !== undefined) {
    const isAlways = immutableWhen.node === 'literal' && immutableWhen.value === true;
    const text = `A ${words(record.name)}${isAlways ? '' : ' in this state'} is never changed or deleted.`;
    const refuse = isAlways
      ? say('conflict', text)
      : when(formulas.condition(immutableWhen, old), say('conflict', text));
    made.before_update.push(...refuse);
    made.before_delete.push(...refuse);
  }
  for (const field of storedFields(record, formulas)) {
    const name = quote(field.name);
    const spec = (field.spec ?? {}) as { readonly letter_case?: string; readonly write_once?: boolean };
    if (spec.letter_case !== undefined)
      for (const event of ['before_insert', 'before_update'] as const)
        made[event].push(`SET NEW.${name} = ${spec.letter_case.toUpperCase()}(NEW.${name});`);
    if (spec.write_once === true)
      made.before_update.push(
        ...when(`NOT (NEW.${name} <=> OLD.${name})`, say('conflict', 'Is never changed.', field.name)),
      );
    if (field.numbering !== undefined) made.before_insert.push(...numberLines(field, record, { formulas, fresh }));
  }
  if (states !== undefined) {
    const state = formulas.fieldOf(record, states.field);
    // What has expired moves on from the state that it counts as.
    const was = formulas.read({ kind: 'alias', alias: 'OLD', record, isRaw: false }, state, old);
    const is = `NEW.${quote(states.field)}`;
    const moves = states.moves.flatMap(({ from, to }) => to.map((next) => literal(`${from}>${next}`)));
    const condition = `${is} <> OLD.${quote(states.field)} AND ${is} <> ${was} AND CONCAT(${was}, '>', ${is}) NOT IN (${moves.join(', ')})`;
    const text = [`From `, '', ' it cannot become ', '', '.'];
    made.before_update.push(
      ...when(condition, [
        `SET v_message = LEFT(CONCAT('[conflict] ${text[0]}', ${was}, '${text[2]}', ${is}, '.'), 128);`,
        `SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = v_message;`,
      ]),
    );
  }
  const both: string[] = [];
  for (const bound of boundsOf(record, formulas)) {
    const text = bound.test(fresh);
    if (!isCheckable([bound.formula, fieldNode(bound.field)], text, record))
      both.push(...when(`NOT (${text})`, say('invalid', bound.words, bound.field)));
  }
  for (const { rule, message } of record.rules) {
    const text = formulas.truth(rule, fresh);
    const isSaid = message.every((part) => typeof part === 'string') && isCheckable(rule, text, record);
    if (isSaid) continue;
    both.push(...when(formulas.negation(rule, fresh), signal(message, { error: 'invalid', formulas, place: fresh })));
  }
  for (const overlap of record.noOverlap) both.push(...overlapLock(record, overlap, { formulas, fresh }));
  made.before_insert.push(...both);
  made.before_update.push(...both);
  for (const total of totalsOver(record, formulas)) {
    made.after_insert.push(...totalLines(total, 'insert', formulas));
    made.after_update.push(...totalLines(total, 'update', formulas));
    made.after_delete.push(...totalLines(total, 'delete', formulas));
  }
  return made;
}

interface InTrigger {
  readonly formulas: MysqlFormulas;
  readonly fresh: Place;
}

/** The next number: a row of the counters, which others wait for until this transaction ends, so that none is ever missing. */
function numberLines(field: StoredField, record: CheckedRecord, { formulas, fresh }: InTrigger): readonly string[] {
  const counters = formulas.name('counter');
  const per = (field.numbering?.per ?? []).map((each) => formulas.value(each, fresh));
  const scope = per.length === 0 ? "''" : `CONCAT_WS('|', ${per.join(', ')})`;
  const name = literal(`${record.name}.${field.name}`);
  return [
    `INSERT INTO ${counters} (name, per, last_number) VALUES (${name}, ${scope}, 1) ON DUPLICATE KEY UPDATE last_number = last_number + 1;`,
    `SELECT counter.last_number INTO v_number FROM ${counters} AS counter WHERE counter.name = ${name} AND counter.per = ${scope} FOR UPDATE;`,
    `SET NEW.${quote(field.name)} = v_number;`,
  ];
}

/** Takes the row by which writers of a whole type of record wait for each other. */
export function lockLine(record: string, formulas: MysqlFormulas): string {
  return `SELECT lock_of.record INTO v_locked FROM ${formulas.name('lock')} AS lock_of WHERE lock_of.record = ${literal(record)} FOR UPDATE;`;
}

/** Writers of what must not overlap wait for each other. n.b. a trigger may not lock its own table: procedures look, behind the write. */
function overlapLock(
  record: CheckedRecord,
  overlap: CheckedRecord['noOverlap'][number],
  { formulas, fresh }: InTrigger,
): readonly string[] {
  const reference = overlap.per
    .map((name) => formulas.fieldOf(record, name))
    .find(({ type, optional }) => type.kind === 'reference' && !optional);
  const lock =
    reference?.type.kind === 'reference'
      ? lockReference(reference.type.record, `NEW.${quote(reference.name)}`, formulas)
      : lockLine(record.name, formulas);
  return overlap.when === undefined ? [lock] : when(formulas.condition(overlap.when, fresh), [lock]);
}

/** Refuses a record, just written, that overlaps another one. `changed`: the fields that were written; absent: all. */
export function overlapLines(
  record: CheckedRecord,
  isIt: string,
  { formulas, changed }: { readonly formulas: MysqlFormulas; readonly changed?: readonly string[] },
): readonly string[] {
  return record.noOverlap.flatMap((overlap) => {
    const decisive = [...overlap.per, overlap.start, overlap.end];
    const isAbout = (name: string): boolean =>
      decisive.includes(name) || JSON.stringify(overlap.when ?? null).includes(`"field":"${name}"`);
    if (changed?.some(isAbout) === false) return [];
    const table = formulas.name(record.name);
    const place = (alias: string): Place => {
      const own: RowRef = { kind: 'alias', alias, record, isRaw: false };
      return { ...nowhere(`records.${record.name}.no_overlap`), row: () => own, own };
    };
    const [mine, theirs] = [place('target'), place('other')];
    const read = (name: string, at: Place): string =>
      formulas.read(at.own as RowRef, formulas.fieldOf(record, name), at);
    const isSame = record.key.map((name) => `other.${quote(name)} = target.${quote(name)}`).join(' AND ');
    const conditions = [
      isIt,
      ...overlap.per.map((name) => `other.${quote(name)} = target.${quote(name)}`),
      `NOT (${isSame})`,
      `(${read(overlap.end, mine)} IS NULL OR ${read(overlap.start, theirs)} < ${read(overlap.end, mine)})`,
      `(${read(overlap.end, theirs)} IS NULL OR ${read(overlap.end, theirs)} > ${read(overlap.start, mine)})`,
      ...(overlap.when === undefined
        ? []
        : [mine, theirs].map((at) => `(${formulas.condition(overlap.when as Formula, at)})`)),
    ];
    const message = overlap.message ?? [
      `There is one at the same time for this ${overlap.per.map(words).join(' and ')}.`,
    ];
    return when(
      `EXISTS (SELECT 1 FROM ${table} AS target CROSS JOIN ${table} AS other\n    WHERE ${conditions.join('\n      AND ')} FOR UPDATE)`,
      signal(message, { error: 'conflict', formulas, place: nowhere(`records.${record.name}.no_overlap`) }),
    );
  });
}

export function lockReference(to: string, value: string, formulas: MysqlFormulas): string {
  const record = formulas.record(to);
  const key = quote(record.key[0] ?? 'id');
  return `SELECT lock_of.${key} INTO v_locked FROM ${formulas.name(to)} AS lock_of WHERE lock_of.${key} = ${value} FOR UPDATE;`;
}

export interface Total {
  readonly parent: CheckedRecord;
  readonly child: CheckedRecord;
  readonly field: CheckedField;
  readonly rollup: NonNullable<CheckedField['rollup']>;
}

export function totalsOver(child: CheckedRecord, formulas: MysqlFormulas): readonly Total[] {
  return formulas.specification.records.flatMap((parent) =>
    parent.fields.flatMap((field): readonly Total[] =>
      field.rollup?.child === child.name ? [{ parent, child, field, rollup: field.rollup }] : [],
    ),
  );
}

/** Keeps a stored total exact with each write of a child. */
export function totalLines(
  { parent, child, field, rollup }: Total,
  event: 'insert' | 'update' | 'delete',
  formulas: MysqlFormulas,
): readonly string[] {
  const table = formulas.name(parent.name);
  const [total, via, key] = [quote(field.name), quote(rollup.via), quote(parent.key[0] ?? 'id')];
  const is = (alias: 'NEW' | 'OLD'): string => `total_of.${key} = ${alias}.${via}`;
  if (rollup.function === 'min' || rollup.function === 'max') {
    const place = rowPlace(child, 'child_of', `fields.${field.name}`);
    const value = rollup.value === undefined ? '1' : formulas.value(rollup.value, place);
    const counted = rollup.when === undefined ? '' : ` AND (${formulas.condition(rollup.when, place)})`;
    const again = (alias: 'NEW' | 'OLD'): string =>
      `UPDATE ${table} AS total_of SET total_of.${total} = (SELECT ${rollup.function.toUpperCase()}(${value}) FROM ${formulas.name(child.name)} AS child_of WHERE child_of.${via} = ${alias}.${via}${counted}) WHERE ${is(alias)};`;
    if (event === 'insert') return [again('NEW')];
    if (event === 'delete') return [again('OLD')];
    return [again('NEW'), ...when(`NOT (NEW.${via} <=> OLD.${via})`, [again('OLD')])];
  }
  const part = (alias: 'NEW' | 'OLD'): string => {
    const place = rowPlace(child, alias, `fields.${field.name}`);
    const value = rollup.value === undefined ? '1' : `COALESCE(${formulas.value(rollup.value, place)}, 0)`;
    return rollup.when === undefined ? value : `IF(${formulas.condition(rollup.when, place)}, ${value}, 0)`;
  };
  const add = (alias: 'NEW' | 'OLD', sign: '+' | '-'): readonly string[] =>
    when(`${part(alias)} <> 0`, [
      `UPDATE ${table} AS total_of SET total_of.${total} = total_of.${total} ${sign} ${part(alias)} WHERE ${is(alias)};`,
    ]);
  if (event === 'insert') return add('NEW', '+');
  if (event === 'delete') return add('OLD', '-');
  return [
    `IF NEW.${via} <=> OLD.${via} THEN`,
    ...indent(
      when(`${part('NEW')} <> ${part('OLD')}`, [
        `UPDATE ${table} AS total_of SET total_of.${total} = total_of.${total} + ${part('NEW')} - ${part('OLD')} WHERE ${is('NEW')};`,
      ]),
    ),
    'ELSE',
    ...indent([...add('OLD', '-'), ...add('NEW', '+')]),
    'END IF;',
  ];
}

/* History */

export function historyName(record: CheckedRecord, formulas: MysqlFormulas): string {
  return formulas.name(record.name, 'history');
}

/** What every change of a record has left, with who and when. */
export function historyText(record: CheckedRecord, formulas: MysqlFormulas): string | undefined {
  if (record.spec.history !== true) return undefined;
  const name = historyName(record, formulas);
  const columns = storedFields(record, formulas).map(
    (field) => `${quote(field.name)} ${field.declared.column} NULL COMMENT ${comment(field.description)}`,
  );
  for (const { name: field } of record.fields)
    if (field.startsWith('change_'))
      formulas.refuse({ path: `records.${record.name}` }, `history with a field called ${field}`);
  return `${remark(`Every change of ${words(record.name)} records, as it left them. Procedures add to it; nothing changes or deletes.`)}
SET NAMES utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS ${name} (
  change_no BIGINT NOT NULL AUTO_INCREMENT COMMENT 'Number of the change',
  change_at DATETIME(3) NOT NULL COMMENT 'When, in UTC',
  change_by VARCHAR(200) NULL COMMENT 'Who; NULL: nobody was signed in',
  change_kind ENUM('insert', 'update', 'delete') NOT NULL COMMENT 'What was done',
  ${columns.join(',\n  ')},
  PRIMARY KEY (change_no),
  KEY ${fit(`${name}_by_key`)} (${record.key.map(quote).join(', ')}, change_no)
)
  ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin
  COMMENT = ${comment(`Changes of: ${record.spec.description}`)};
`;
}

/** Writes down how a change has left records, or, before it, what is deleted. */
export function historyLines(
  record: CheckedRecord,
  {
    isIt,
    kind,
    most,
  }: { readonly isIt: string; readonly kind: 'insert' | 'update' | 'delete'; readonly most?: string },
  formulas: MysqlFormulas,
): readonly string[] {
  if (record.spec.history !== true) return [];
  const fields = storedFields(record, formulas);
  const own: RowRef = { kind: 'alias', alias: 'target', record, isRaw: false };
  const place: Place = { ...nowhere(`records.${record.name}`), row: () => own, own };
  const names = ['change_at', 'change_by', 'change_kind', ...fields.map(({ name }) => quote(name))];
  const values = ['v_now', CALLER.id, literal(kind), ...fields.map((field) => formulas.read(own, field, place))];
  const key = record.key.map((name) => `target.${quote(name)}`).join(', ');
  return [
    listed(`INSERT INTO ${historyName(record, formulas)} (`, names, ')').replace('( ', '('),
    listed('SELECT', values),
    `FROM ${formulas.name(record.name)} AS target WHERE ${isIt}${most === undefined ? '' : ` ORDER BY ${key} LIMIT ${most} FOR UPDATE`};`,
  ];
}

/* Views */

/** n.b. of records that depend on who asks, it is for procedures only: nobody is granted what begins with `_`. */
export function viewName(record: CheckedRecord, formulas: MysqlFormulas): string {
  const name = `${formulas.prefix}_${record.name}_rows`;
  return formulas.callable(record.rowAccess === undefined ? name : `_${name}`);
}

/** Every record, as readers see it. */
export function viewText(record: CheckedRecord, formulas: MysqlFormulas): string {
  const alias = quote(record.name);
  const own: RowRef = { kind: 'alias', alias, record, isRaw: false };
  const joins = new Joins();
  const place: Place = {
    path: `records.${record.name}`,
    ...{ row: () => own, own, now: 'UTC_TIMESTAMP(3)', isLocking: false, joins, aliases: new Set([record.name]) },
  };
  const columns = record.fields.map((field) => {
    const value = formulas.read(own, field, place);
    const text = field.type.kind === 'time' ? `TIME_FORMAT(${value}, '%H:%i')` : value;
    const exact = field.computed === undefined ? text : computedColumn(text, field);
    return exact === `${alias}.${quote(field.name)}` ? exact : `${unwrapped(exact)} AS ${quote(field.name)}`;
  });
  return `${remark(`Every ${words(record.name)}, as readers see it.`)}
${HEAD}
CREATE OR REPLACE SQL SECURITY DEFINER VIEW ${viewName(record, formulas)} AS
SELECT
  ${columns.join(',\n  ')}
FROM ${[`${formulas.name(record.name)} AS ${alias}`, ...joins.lines].join('\n')};
`;
}

function computedColumn(text: string, { type }: CheckedField): string {
  if (type.kind === 'integer') return `CAST(${unwrapped(text)} AS SIGNED)`;
  return type.kind === 'decimal' ? `CAST(${unwrapped(text)} AS DECIMAL(60, ${type.scale}))` : text;
}

/* Tables and rows beside the records */

export function counterText(formulas: MysqlFormulas): string | undefined {
  const isUsed = formulas.specification.records.some(({ fields }) =>
    fields.some(({ numbering }) => numbering !== undefined),
  );
  if (!isUsed) return undefined;
  return `${remark('The last number of each series. A series is taken by one transaction at a time, so that no number is missing.')}
SET NAMES utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS ${formulas.name('counter')} (
  name VARCHAR(80) NOT NULL COMMENT 'record.field',
  per VARCHAR(160) NOT NULL COMMENT 'What the series is counted by',
  last_number BIGINT NOT NULL COMMENT 'The number that was given last',
  PRIMARY KEY (name, per)
)
  ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin
  COMMENT = 'Numbers that were given';
`;
}

export function lockText(formulas: MysqlFormulas): string {
  const rows = formulas.specification.records.map(({ name }) => `  (${literal(name)})`);
  return `${remark('One row for each type of record: who decides over all records of a type takes its row first.')}
SET NAMES utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS ${formulas.name('lock')} (
  record VARCHAR(40) NOT NULL COMMENT 'Type of record',
  PRIMARY KEY (record)
)
  ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin
  COMMENT = 'Rows that are locked, never changed';

INSERT INTO ${formulas.name('lock')} (record) VALUES
${rows.join(',\n')}
ON DUPLICATE KEY UPDATE record = VALUES(record);
`;
}

/** Reference data. What is there already stays as it is. */
export function rowsText(record: CheckedRecord, formulas: MysqlFormulas): string | undefined {
  const { rows } = record.spec;
  if (rows === undefined || record.keyKind !== 'fields') return undefined;
  const statements = rows.map(({ values }) => {
    const names = values.map(({ name }) => quote(name));
    const texts = values.map(({ value }) => valueText(value, { record, formulas }));
    const isThere = record.key.map((name) => {
      const at = values.findIndex((each) => each.name === name);
      return `target.${quote(name)} = ${texts[at] ?? 'NULL'}`;
    });
    const table = formulas.name(record.name);
    return `INSERT INTO ${table} (${names.join(', ')}) SELECT ${texts.join(', ')} FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM ${table} AS target WHERE ${isThere.join(' AND ')});`;
  });
  return `${remark(`The ${words(record.name)} records that are there from the start. What is there already stays as it is.`)}
${HEAD}
${statements.join('\n')}
`;
}

function valueText(
  value: Value,
  { record, formulas }: { readonly record: CheckedRecord; readonly formulas: MysqlFormulas },
): string {
  if (value === null) return 'NULL';
  if (typeof value === 'number') return String(value);
  if (typeof value === 'boolean') return value ? 'TRUE' : 'FALSE';
  if (typeof value === 'string')
    return value.startsWith('~') || value.startsWith('@')
      ? formulas.refuse({ path: `records.${record.name}.rows` }, `the value ${value} in a row`)
      : literal(value);
  return formulas.refuse({ path: `records.${record.name}.rows` }, 'a list in a row');
}

/** What stands in for a field that nobody gives. Undefined: the column's own default. */
export function startValue(field: StoredField, formulas: MysqlFormulas, place: Place): string | undefined {
  const { default: given } = field;
  if (field.origin === 'timestamps') return field.name.endsWith('_at') ? place.now : CALLER.id;
  if (given === undefined) return undefined;
  return formulas.value(given, place);
}
