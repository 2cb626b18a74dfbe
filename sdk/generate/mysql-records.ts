import {
  type CheckedField,
  type CheckedRecord,
  type Formula,
  partsOf,
  type Value,
  withArticle,
  withCapital,
} from '../spec/index.js';
import {
  CALLER,
  type Declared,
  declared,
  declaredField,
  grouped,
  Joins,
  latitudeOf,
  looksAtClock,
  type MysqlFormulas,
  nowhere,
  type Place,
  type RowRef,
  unwrapped,
} from './mysql-formulas.js';
import { isFixed, type Refused, referenceName, saidBefore, signal, uniqueName } from './mysql-refusals.js';
import {
  blanked,
  comment,
  fit,
  HEAD,
  indent,
  listed,
  literal,
  maskPattern,
  quote,
  remark,
  when,
} from './mysql-words.js';
import { showsByCaller } from './shown-by-caller.js';

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

/** What parameters of procedures are called beside those of fields. */
const OWN_NAMES: readonly string[] = ['caller_id', 'caller_roles', 'clears'];

/** What this generator has no SQL for. */
export function refuseRecord(record: CheckedRecord, formulas: MysqlFormulas): void {
  const { spec } = record;
  const path = `records.${record.name}`;
  for (const field of record.fields) {
    const at = { path: `${path}.fields.${field.name}` };
    if (OWN_NAMES.includes(field.name)) formulas.refuse(at, `a field called ${field.name}`);
    const { rollup } = field;
    if (rollup !== undefined && cannotBeKept(record, field))
      formulas.refuse(at, 'a rule about a rollup over the record itself, or by what lies behind a reference');
  }
  if (spec.per_tenant === true && spec.rows !== undefined)
    formulas.refuse({ path }, 'rows of a record per organisation');
}

/** Whether no trigger can keep a total: its children are in its own table, or what it counts changes elsewhere. */
function cannotBeKept({ name }: CheckedRecord, { rollup }: CheckedField): boolean {
  return rollup !== undefined && (rollup.child === name || hasPath([rollup.value, rollup.when]));
}

/** Totals that no trigger can keep are computed by every reader, where no rule must see each change of them. */
export function withoutUnkeptTotals(records: readonly CheckedRecord[]): readonly CheckedRecord[] {
  return records.map((record) => ({
    ...record,
    fields: record.fields.map((field) => {
      const { rollup } = field;
      const isRuled = record.rules.some(({ rule }) =>
        partsOf(rule).some((part) => part.node === 'field' && part.field === field.name),
      );
      if (rollup === undefined || !cannotBeKept(record, field)) return field;
      if (isRuled || field.min !== undefined || field.max !== undefined) return field;
      const { rollup: _, ...rest } = field;
      return { ...rest, computed: totalOf(record, field, rollup) };
    }),
  }));
}

function totalOf(record: CheckedRecord, field: CheckedField, rollup: NonNullable<CheckedField['rollup']>): Formula {
  const { child, via, function: kind, value, when: condition } = rollup;
  const inSet = (formula: Formula): Formula =>
    JSON.parse(JSON.stringify(formula), (key, part: unknown) =>
      key === 'row' && part === 'this' ? child : part,
    ) as Formula;
  const type = { kind: 'reference', record: record.name } as const;
  const left = { node: 'field', row: child, path: [], record: child, field: via, type, nullable: true } as const;
  const key = record.key[0] ?? 'id';
  const right = {
    node: 'field',
    row: 'this',
    path: [],
    record: record.name,
    field: key,
    type,
    nullable: false,
  } as const;
  const boolean = { kind: 'boolean' } as const;
  const isOf: Formula = { node: 'compare', op: '=', left, right, type: boolean, nullable: false };
  const where: Formula =
    condition === undefined ? isOf : { node: 'and', of: [isOf, inSet(condition)], type: boolean, nullable: false };
  return {
    ...{ node: 'set', function: kind, record: child, distinct: false, all: true, where, type: field.type },
    nullable: kind === 'min' || kind === 'max',
    ...(value === undefined ? {} : { value: inSet(value) }),
  };
}

function hasPath(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { node, path } = value as { readonly node?: string; readonly path?: readonly unknown[] };
  return (node === 'field' && (path?.length ?? 0) > 0) || node === 'set' || Object.values(value).some(hasPath);
}

export interface Child {
  readonly record: CheckedRecord;
  readonly field: CheckedField;
}

function referrersOf(record: CheckedRecord, formulas: MysqlFormulas): readonly Child[] {
  return formulas.specification.records.flatMap((child) =>
    child.fields.flatMap((field): readonly Child[] =>
      field.type.kind === 'reference' && field.type.record === record.name ? [{ record: child, field }] : [],
    ),
  );
}

function goesWith(field: CheckedField): boolean {
  return field.origin === 'parent' || field.onDelete === 'cascade';
}

/** Whether something must see each deletion of such a record, or of what goes with it. */
function isDeletedByName(record: CheckedRecord, formulas: MysqlFormulas, trail: readonly string[]): boolean {
  if (trail.includes(record.name)) return hasDeleteTrigger(record, formulas);
  return (
    hasDeleteTrigger(record, formulas) ||
    referrersOf(record, formulas).some(
      (child) => goesWith(child.field) && isDeletedByName(child.record, formulas, [...trail, record.name]),
    )
  );
}

function hasDeleteTrigger(record: CheckedRecord, formulas: MysqlFormulas): boolean {
  const counted = formulas.specification.records.some(({ fields }) =>
    fields.some(({ rollup }) => rollup?.child === record.name),
  );
  return counted || record.immutableWhen !== undefined || record.spec.history === true;
}

interface Deletion {
  readonly formulas: MysqlFormulas;
  /** Types of record that are being deleted around this one. */
  readonly trail?: readonly string[];
}

/** Deletes one record, whose key is `key`, with what goes with it. */
export function deleteByKey(
  record: CheckedRecord,
  key: (name: string) => string,
  { formulas, trail = [] }: Deletion,
): readonly string[] {
  const isIt = formulas.keyIs(record, 'target', key);
  return [
    ...historyLines(record, { isIt, kind: 'delete' }, formulas),
    ...beforeDelete(record, key, { formulas, trail: [...trail, record.name] }),
    `DELETE FROM target USING ${formulas.name(record.name)} AS target WHERE ${isIt};`,
  ];
}

/** Deletes all records of the alias `target` for which something is true, with what goes with them. */
export function deleteWhere(record: CheckedRecord, isIt: string, deletion: Deletion): readonly string[] {
  const { formulas, trail = [] } = deletion;
  const isSimple = beforeDelete(record, () => 'NULL', { formulas, trail: [...trail, record.name] }).length === 0;
  if (isSimple)
    return [
      ...historyLines(record, { isIt, kind: 'delete' }, formulas),
      `DELETE FROM target USING ${formulas.name(record.name)} AS target WHERE ${isIt};`,
    ];
  // One by one: a statement that reads a table may not have triggers that change it.
  const row = `child_${trail.length + 1}`;
  const names = formulas.tableKey(record);
  const fields = storedFields(record, formulas);
  const declarations = names.map((name) => {
    const column = fields.find((field) => field.name === name)?.declared.column ?? 'BIGINT';
    return `DECLARE ${row}__${name} ${column};`;
  });
  const columns = names.map((name) => `target.${quote(name)}`).join(', ');
  return [
    'BEGIN',
    ...indent([
      ...declarations,
      `DECLARE is_last_${row} BOOLEAN DEFAULT FALSE;`,
      `DECLARE all_${row} CURSOR FOR`,
      `  SELECT ${columns} FROM ${formulas.name(record.name)} AS target WHERE ${isIt} ORDER BY ${columns} FOR UPDATE;`,
      `DECLARE CONTINUE HANDLER FOR NOT FOUND SET is_last_${row} = TRUE;`,
      `OPEN all_${row};`,
      `each_${row}: LOOP`,
      `  FETCH all_${row} INTO ${names.map((name) => `${row}__${name}`).join(', ')};`,
      ...indent(when(`is_last_${row}`, [`LEAVE each_${row};`])),
      ...indent(deleteByKey(record, (name) => `${row}__${name}`, deletion)),
      'END LOOP;',
      `CLOSE all_${row};`,
    ]),
    'END;',
  ];
}

/** What must be seen to before a record is deleted that the server would not do, or would do past the triggers of others. */
function beforeDelete(
  record: CheckedRecord,
  key: (name: string) => string,
  { formulas, trail }: Required<Deletion>,
): readonly string[] {
  return referrersOf(record, formulas).flatMap(({ record: child, field }) => {
    const place = nowhere(`records.${child.name}.fields.${field.name}`);
    const of = (alias: string): string =>
      [
        `${alias}.${quote(field.name)} = ${key(record.key[0] ?? 'id')}`,
        ...(formulas.tableKey(record).includes('tenant') ? [`${alias}.${quote('tenant')} = ${key('tenant')}`] : []),
      ].join(' AND ');
    const isIt = of('target');
    if (goesWith(field)) {
      if (!isDeletedByName(child, formulas, trail)) return [];
      if (!trail.includes(child.name)) return deleteWhere(child, isIt, { formulas, trail });
      formulas.refuse(place, 'a cascade to records of its own type that must be deleted one by one');
      return [];
    }
    if (field.onDelete === 'set_null')
      return [
        ...historyLines(child, { isIt, kind: 'update', instead: new Map([[field.name, 'NULL']]) }, formulas),
        listed(`UPDATE ${formulas.name(child.name)} AS target SET`, [
          `target.${quote(field.name)} = NULL`,
          ...touched(child, 'target'),
        ]),
        `WHERE ${isIt};`,
      ];
    // What has ended no longer holds what it names.
    if (child.expires === undefined || child.expires.set !== undefined || trail.includes(child.name)) return [];
    const row = { kind: 'alias', alias: 'target', record: child, isRaw: true } as const;
    return deleteWhere(child, `${isIt} AND ${formulas.expired(row, place)}`, { formulas, trail });
  });
}

/** What every change of a record writes along. */
export function touched(record: CheckedRecord, alias: string): readonly string[] {
  const column = (name: string): string => `${alias}.${quote(name)}`;
  return [
    ...(record.spec.version === true ? [`${column('version')} = ${column('version')} + 1`] : []),
    ...(record.spec.timestamps === true
      ? [`${column('changed_at')} = v_now`, `${column('changed_by')} = ${CALLER.id}`]
      : []),
  ];
}

/** Whether both belong to an organisation: then they belong to the same. */
function sharesTenant(one: CheckedRecord, other: CheckedRecord): boolean {
  return one.spec.per_tenant === true && other.spec.per_tenant === true;
}

/** The row of a trigger, or of a CHECK. */
export function rowPlace(record: CheckedRecord, alias: string, path: string): Place {
  const own: RowRef = { kind: 'alias', alias, record, isRaw: true };
  return {
    ...nowhere(`records.${record.name}.${path}`, 'UTC_TIMESTAMP(3)'),
    row: (name) => (name === 'this' ? own : undefined),
    own,
    isUnfiltered: true,
  };
}

/**
 * n.b. the clock of a trigger is later than that of the call, which says what it was: "not before now" is of the call. Whoever writes past
 * the procedures has the clock of his statement.
 */
const CALL_BEGAN = 'LEAST(COALESCE(CAST(@beds_now AS DATETIME(3)), UTC_TIMESTAMP(3)), UTC_TIMESTAMP(3))';

function asCallBegan(place: Place): Place {
  return place.now === 'UTC_TIMESTAMP(3)' ? { ...place, now: CALL_BEGAN } : place;
}

/** n.b. in a CHECK columns are written without a table. */
function inCheck(text: string): string {
  return text.replaceAll(/'(?:''|\\[^]|[^'\\])*'|`this`\./g, (part) => (part.startsWith("'") ? part : ''));
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
  return isPlain(formula) && !/\b_\w+\(|\bSELECT\b/.test(blanked(text));
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
    const most = (field.spec as { readonly max_length?: number } | undefined)?.max_length;
    if (type.kind === 'text' && most !== undefined && /^(?:MEDIUM)?TEXT/.test(field.declared.column))
      add('length', `At most ${most} characters.`, [undefined, (at) => `CHAR_LENGTH(${value(at)}) <= ${most}`]);
    if (min !== undefined)
      add('min', `Not less than ${said(min)}.`, [
        min,
        (at) => `${value(at)} >= ${formulas.write(min, asCallBegan(at))}`,
      ]);
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

export function tableOf(
  record: CheckedRecord,
  { later }: { readonly later: readonly string[] },
  formulas: MysqlFormulas,
): Table {
  const table = formulas.name(record.name);
  const fields = storedFields(record, formulas);
  const refused: Refused[] = [];
  const columns = fields.flatMap((field) => {
    const text = columnText(fitted(field, fields), record, formulas);
    if (field.type.kind !== 'point') return [text];
    const latitude = latitudeOf(field.name);
    return [
      text,
      `${quote(latitude)} DOUBLE AS (JSON_EXTRACT(${quote(field.name)}, '$.lat') + 0e0) VIRTUAL COMMENT 'Its latitude, by which what is near is found'`,
    ];
  });
  const keys = [`PRIMARY KEY (${formulas.tableKey(record).map(quote).join(', ')})`];
  if (record.spec.per_tenant === true && record.keyKind !== 'fields' && referrersOf(record, formulas).length > 0)
    keys.push(`UNIQUE KEY ${formulas.name(record.name, 'of_tenant')} (${quote('tenant')}, ${quote('id')})`);
  for (const unique of record.unique) {
    const made = uniqueKey(unique, record, formulas);
    columns.push(...made.columns);
    keys.push(made.key);
    refused.push(made.refused);
  }
  keys.push(...indexKeys(record, fields, formulas));
  const made = fields.map((field) => foreignKey(field, record, formulas));
  const references = made.flatMap((each) => (each === undefined ? [] : [each.text]));
  refused.push(...made.flatMap((each) => each?.refused ?? []));
  const rules = rowChecks(record, formulas);
  refused.push(...rules.map(({ refused: said }) => said));
  const checks = rules.map(({ name, text }) => `CONSTRAINT ${name} CHECK (${text})`);
  const isEarly = fields.some(({ type }) => type.kind === 'reference' && later.includes(type.record));
  const lines = [...columns, ...keys, ...references, ...checks];
  const text = `${remark(record.spec.description)}
SET NAMES utf8mb4 COLLATE utf8mb4_bin;
SET sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION';

${isEarly ? '-- It names a table that comes later, because both name each other.\nSET FOREIGN_KEY_CHECKS = 0;\n\n' : ''}CREATE TABLE IF NOT EXISTS ${table} (
${lines.map((line) => `  ${line}`).join(',\n')}
)
  ENGINE = InnoDB
  DEFAULT CHARACTER SET = utf8mb4
  COLLATE = utf8mb4_bin
  COMMENT = ${comment(record.spec.description)};
${isEarly ? '\nSET FOREIGN_KEY_CHECKS = 1;\n' : ''}`;
  return { text, refused };
}

export interface RowCheck {
  readonly name: string;
  /** True for what is allowed, or NULL. */
  readonly text: string;
  readonly refused: Refused;
  /** The same in triggers, where a change of other columns is none of its business: the row may be of the other revision. */
  readonly lines: Readonly<Record<'before_insert' | 'before_update', readonly string[]>>;
}

/** What the table itself can say of a row. */
export function rowChecks(record: CheckedRecord, formulas: MysqlFormulas): readonly RowCheck[] {
  const [inTable, fresh] = [rowPlace(record, '`this`', 'rules'), rowPlace(record, 'NEW', 'rules')];
  const checks: RowCheck[] = [];
  const add = (refused: Refused, [text, broken]: readonly [string, string], decisive: readonly string[]): void => {
    const { name, field, message } = refused;
    const refuse = when(broken, signal(message, { error: 'invalid', field, formulas, place: fresh }));
    checks.push({ name, text, refused, lines: { before_insert: refuse, before_update: ifChanged(decisive, refuse) } });
  };
  for (const { name, field, formula, test, words: said } of boundsOf(record, formulas)) {
    const text = inCheck(test(inTable));
    if (!isCheckable([formula, fieldNode(field)], text, record)) continue;
    const decisive = [field, ...fieldsIn(record, formula)];
    add({ name, error: 'invalid', field, message: [said] }, [text, `NOT (${test(fresh)})`], decisive);
  }
  for (const { rule, message, name } of record.rules) {
    const text = inCheck(formulas.truth(rule, inTable));
    if (!isCheckable(rule, text, record)) continue;
    const fixed = message.every((part) => typeof part === 'string')
      ? message
      : [`A rule of ${words(record.name)} refuses it.`];
    const refused: Refused = { name: ruleName(record, name, formulas), error: 'invalid', message: fixed };
    add(refused, [unwrapped(text), formulas.negation(rule, fresh)], fieldsIn(record, rule));
  }
  return checks;
}

function ifChanged(fields: readonly string[], lines: readonly string[]): readonly string[] {
  const isSame = [...new Set(fields)].map((name) => `NEW.${quote(name)} <=> OLD.${quote(name)}`);
  return isSame.length === 0 ? lines : when(`NOT (${isSame.join(' AND ')})`, lines);
}

/** What no two records share: the key, and the columns that it needs beside those of fields. */
function uniqueKey(
  unique: CheckedRecord['unique'][number],
  record: CheckedRecord,
  formulas: MysqlFormulas,
): { readonly columns: readonly string[]; readonly key: string; readonly refused: Refused } {
  const { spec } = record;
  const tenant = spec.per_tenant === true ? ['tenant'] : [];
  const place = rowPlace(record, '`this`', 'unique');
  const parts = uniqueParts(unique, record, formulas);
  const names = parts.map(({ column }) => column);
  const columns = parts.flatMap(({ made }) => made ?? []);
  const name = uniqueName(record, unique.name, formulas);
  const columnsOf = [...tenant, ...names];
  if (unique.when !== undefined || spec.soft_delete === true) {
    const mark = fit(`_${unique.name}`);
    const conditions = [
      ...(unique.when === undefined ? [] : [inCheck(formulas.condition(unique.when, place))]),
      ...(spec.soft_delete === true ? [`${quote('deleted_at')} IS NULL`] : []),
    ];
    const isPlain = isCheckable(unique.when, conditions.join(' '), record);
    if (!isPlain)
      columns.push(
        `${quote(mark)} BOOLEAN NULL COMMENT 'Only records that have it must differ: NULL is never a duplicate.'`,
      );
    else
      columns.push(
        `${quote(mark)} BOOLEAN AS (IF(${conditions.map(grouped).join(' AND ')}, TRUE, NULL)) VIRTUAL COMMENT 'Only records that have it must differ: NULL is never a duplicate.'`,
      );
    columnsOf.push(mark);
  }
  const key = `UNIQUE KEY ${name} (${columnsOf.map(quote).join(', ')})`;
  return { columns, key, refused: uniqueRefusal(unique, record, formulas) };
}

function uniqueRefusal(
  unique: CheckedRecord['unique'][number],
  record: CheckedRecord,
  formulas: MysqlFormulas,
): Refused {
  const said = uniqueParts(unique, record, formulas)
    .map(({ words: each }) => each)
    .join(', ');
  const message = unique.message ?? [`There is one with the same ${said} already.`];
  return { name: uniqueName(record, unique.name, formulas), error: 'conflict', message };
}

/** Indexes beside the keys. */
function indexKeys(record: CheckedRecord, fields: readonly StoredField[], formulas: MysqlFormulas): readonly string[] {
  const keys: string[] = [];
  for (const index of record.indexes) {
    // What is computed on reading has no index.
    if (!index.fields.every(({ name }) => fields.some((field) => field.name === name))) continue;
    const columnOf = (name: string): string => fields.find((field) => field.name === name)?.declared.column ?? '';
    // What has no order that an index keeps is not in it, nor what stands behind.
    const end = index.fields.findIndex(({ name }) => columnOf(name).startsWith('JSON'));
    const kept = end < 0 ? index.fields : index.fields.slice(0, end);
    if (kept.length === 0) continue;
    const isLong = kept.reduce((sum, { name }) => sum + bytesOf(columnOf(name)), 0) > MOST_KEY_BYTES;
    const parts = kept.map(({ name, direction }) => {
      const prefix = isLong && bytesOf(columnOf(name)) > 200 ? '(50)' : '';
      return `${quote(name)}${prefix}${direction === 'desc' ? ' DESC' : ''}`;
    });
    // An index is read from both ends: the same one the other way round is no other one.
    const isOneWay = new Set(kept.map(({ direction }) => direction)).size === 1;
    const known = record.indexes.findIndex(({ name }) => name === index.name);
    if (record.indexes[known] !== index && isOneWay) continue;
    const name = formulas.name(record.indexes[known] === index ? index.name : `${index.name}_turned`);
    keys.push(`KEY ${name} (${parts.join(', ')}) COMMENT ${comment(index.why.join(', '))}`);
  }
  for (const { name, type } of fields)
    if (type.kind === 'point')
      keys.push(
        `KEY ${formulas.name(record.name, 'near', name)} (${quote(latitudeOf(name))}) COMMENT 'What is near, by latitude'`,
      );
  return keys;
}

function foreignKey(
  field: StoredField,
  record: CheckedRecord,
  formulas: MysqlFormulas,
): { readonly text: string; readonly refused: readonly Refused[] } | undefined {
  if (field.type.kind !== 'reference') return undefined;
  const to = formulas.record(field.type.record);
  const name = referenceName(record, field.name, formulas);
  const [key = 'id'] = to.key;
  const isSharing = sharesTenant(record, to);
  const shared = isSharing ? ['tenant'] : [];
  const refused: readonly Refused[] = [
    { name, error: 'conflict', field: field.name, message: [`There is no such ${words(to.name)}.`] },
    { name: `<${name}`, error: 'conflict', message: [`There is still ${withArticle(words(record.name))} of it.`] },
  ];
  const isCascade = goesWith(field) && !isDeletedByName(record, formulas, [to.name]);
  // What is set to null takes more along than its own column, or is seen by others: a procedure does it.
  const isNulled = field.onDelete === 'set_null' && !isSharing && !hasDeleteTrigger(record, formulas);
  const onDelete = isCascade ? 'CASCADE' : isNulled ? 'SET NULL' : 'RESTRICT';
  const text = `CONSTRAINT ${name} FOREIGN KEY (${[...shared, field.name].map(quote).join(', ')}) REFERENCES ${formulas.name(to.name)} (${[...shared, key].map(quote).join(', ')}) ON DELETE ${onDelete}`;
  return { text, refused };
}

interface UniquePart {
  readonly column: string;
  /** The column, where a formula must differ and no field is it. */
  readonly made?: string;
  /** What a trigger puts into it, where the server cannot compute it by itself. */
  readonly set?: (place: Place) => string;
  readonly words: string;
}

/** What must differ, column by column: fields, or columns that hold what formulas come to. */
function uniqueParts(
  unique: CheckedRecord['unique'][number],
  record: CheckedRecord,
  formulas: MysqlFormulas,
): readonly UniquePart[] {
  const path = `records.${record.name}.unique`;
  const fields = storedFields(record, formulas);
  return unique.fields.map((formula, index): UniquePart => {
    const own = formula.node === 'field' && formula.path.length === 0 ? formula.field : undefined;
    const field = fields.find(({ name }) => name === own);
    if (field !== undefined && bytesOf(field.declared.column) <= MOST_KEY_BYTES / unique.fields.length)
      return { column: field.name, words: words(field.name) };
    if (partsOf(formula).some((part) => part.node === 'field' && part.path.length > 0))
      formulas.refuse({ path }, 'unique by what lies behind a reference');
    const column = fit(`_${unique.name}_${index + 1}`);
    const place = rowPlace(record, '`this`', 'unique');
    const text = inCheck(formulas.value(formula, place));
    const type = declared(formula, formulas);
    if (type === undefined) formulas.refuse({ path }, `unique over ${formula.type.kind}`);
    // n.b. a text may be longer than a key.
    const isLong = formula.type.kind === 'text';
    const value = (at: Place): string =>
      isLong ? `SHA2(${formulas.value(formula, at)}, 256)` : formulas.value(formula, at);
    const sqlType = isLong ? 'CHAR(64) CHARACTER SET ascii COLLATE ascii_bin' : (type?.column ?? 'BIGINT');
    const said = own === undefined ? 'values' : words(own);
    const about = comment(`What must differ: ${isLong ? 'the hash of ' : ''}${own ?? 'a formula'}`);
    if (isCheckable(formula, text, record) && !/\bREGEXP_REPLACE|CONVERT_TZ\b/.test(blanked(text)))
      return {
        column,
        words: said,
        made: `${quote(column)} ${sqlType} AS (${inCheck(value(place))}) VIRTUAL COMMENT ${about}`,
      };
    return { column, words: said, made: `${quote(column)} ${sqlType} NULL COMMENT ${about}`, set: value };
  });
}

/** InnoDB takes no longer keys. */
const MOST_KEY_BYTES = 2400;

function bytesOf(column: string): number {
  const [, characters] = /^VARCHAR\((\d+)\)/.exec(column) ?? [];
  if (characters !== undefined) return Number(characters) * 4;
  return /^(?:MEDIUM)?TEXT|^JSON/.test(column) ? Infinity : 40;
}

const fieldNode = (field: string): object => ({ node: 'field', path: [], field });

export function words(name: string): string {
  return name.replaceAll('_', ' ');
}

function ruleName(record: CheckedRecord, name: string, formulas: MysqlFormulas): string {
  return formulas.name(name.startsWith(`${record.name}_`) ? name : `${record.name}_${name}`);
}

/** A row holds 65,535 bytes at most, what stands outside of it not counted: the longest texts go there where they are many. */
function fitted(field: StoredField, all: readonly StoredField[]): StoredField {
  const whole = all
    .map(({ declared: { column } }) => bytesOf(column))
    .reduce((sum, each) => sum + (each === Infinity ? 12 : each), 0);
  const bytes = bytesOf(field.declared.column);
  if (whole < 60_000 || bytes <= 800 || bytes === Infinity) return field;
  return {
    ...field,
    declared: { ...field.declared, column: field.declared.column.replace(/^VARCHAR\(\d+\)/, 'TEXT') },
  };
}

function columnText(field: StoredField, record: CheckedRecord, formulas: MysqlFormulas): string {
  const isMade = field.origin === 'key' && record.keyKind === 'auto';
  const stands = defaultOf(field, record, formulas);
  return [
    quote(field.name),
    field.declared.column,
    ...(field.optional || isEmptyTotal(field) ? ['NULL'] : ['NOT NULL']),
    ...(isMade ? ['AUTO_INCREMENT'] : []),
    ...(stands === undefined ? [] : [`DEFAULT ${field.declared.column.includes('TEXT') ? `(${stands})` : stands}`]),
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
    ...(body.includes('v_named') ? ['DECLARE v_named BIGINT;'] : []),
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

type TriggerLines = Readonly<Record<TriggerEvent, readonly string[]>>;

export function triggersOf(record: CheckedRecord, formulas: MysqlFormulas): TriggerLines {
  const rules = rulesOf(record, formulas);
  const totals = totalsOver(record, formulas);
  const kept = (happening: 'insert' | 'update' | 'delete'): readonly string[] =>
    totals.flatMap((total) => totalLines(total, happening, formulas));
  return {
    ...rules,
    after_insert: [...rules.after_insert, ...kept('insert')],
    after_update: [...rules.after_update, ...kept('update')],
    after_delete: [...rules.after_delete, ...kept('delete')],
  };
}

/** What triggers refuse, and what they put into the row itself. */
export function rulesOf(record: CheckedRecord, formulas: MysqlFormulas): TriggerLines {
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
    const text = `${withCapital(withArticle(words(record.name)))}${isAlways ? '' : ' in this state'} is never changed or deleted.`;
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
    const named = namedLines(field, formulas);
    made.before_insert.push(...(field.optional ? when(`NEW.${name} IS NOT NULL`, named) : named));
    made.before_update.push(
      ...when(`NOT (NEW.${name} <=> OLD.${name})${field.optional ? ` AND NEW.${name} IS NOT NULL` : ''}`, named),
    );
  }
  if (states !== undefined) {
    const state = formulas.fieldOf(record, states.field);
    // What has expired moves on from the state that it counts as.
    const was = formulas.read({ kind: 'alias', alias: 'OLD', record, isRaw: false }, state, old);
    const is = `NEW.${quote(states.field)}`;
    const moves = states.moves.map(
      ({ from, to }) => `      WHEN ${literal(from)} THEN ${is} NOT IN (${to.map(literal).join(', ')})`,
    );
    const stored = `OLD.${quote(states.field)}`;
    const differs = [...new Set([stored, was])].map((before) => `${is} <> ${before}`).join(' AND ');
    const condition = [`${differs} AND CASE ${was}`, ...moves, '      ELSE TRUE', '    END'].join('\n');
    const text = [`From `, '', ' it cannot become ', '', '.'];
    made.before_update.push(
      ...when(condition, [
        `SET v_message = LEFT(CONCAT('[conflict] ${text[0]}', ${was}, '${text[2]}', ${is}, '.'), 128);`,
        `SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = v_message;`,
      ]),
    );
  }
  made.before_insert.push(...clockBounds(record, { formulas, fresh }));
  const both = ruleLines(record, { formulas, fresh });
  made.before_insert.push(...both);
  made.before_update.push(...both);
  for (const overlap of record.noOverlap) {
    const { lock, refuse } = overlapLines(record, overlap, { formulas, fresh });
    made.before_insert.push(...lock);
    made.after_insert.push(...refuse);
    const decisive = [...overlap.per, overlap.start, overlap.end, ...fieldsIn(record, overlap.when)];
    made.before_update.push(...ifChanged(decisive, lock));
    made.after_update.push(...ifChanged(decisive, refuse));
  }
  return made;
}

/** n.b. these are bounds of what is written once: when it is written is the only moment for them. */
function clockBounds(record: CheckedRecord, about: InTrigger): readonly string[] {
  const bounds = boundsOf(record, about.formulas).filter(({ formula }) => looksAtClock(formula));
  return bounds.flatMap((bound) => boundLines(record, bound, about));
}

function boundLines(
  record: CheckedRecord,
  { formula, field, words: said, test }: Bound,
  { formulas, fresh }: InTrigger,
): readonly string[] {
  const text = test(fresh);
  if (isCheckable([formula, fieldNode(field)], text, record)) return [];
  return when(`NOT (${text})`, signal([said], { error: 'invalid', field, formulas, place: fresh }));
}

/** What a new state of a row must keep that no constraint can say, and the columns by which rows must differ. */
function ruleLines(record: CheckedRecord, { formulas, fresh }: InTrigger): readonly string[] {
  const both: string[] = [];
  for (const bound of boundsOf(record, formulas))
    if (!looksAtClock(bound.formula)) both.push(...boundLines(record, bound, { formulas, fresh }));
  for (const { rule, message } of record.rules) {
    const text = formulas.truth(rule, fresh);
    const isSaid = message.every((part) => typeof part === 'string') && isCheckable(rule, text, record);
    if (isSaid) continue;
    both.push(...when(formulas.negation(rule, fresh), signal(message, { error: 'invalid', formulas, place: fresh })));
  }
  for (const unique of record.unique)
    for (const { column, set } of uniqueParts(unique, record, formulas))
      if (set !== undefined) both.push(`SET NEW.${quote(column)} = ${set(fresh)};`);
  for (const unique of record.unique) {
    const said = uniqueRefusal(unique, record, formulas);
    if (!isFixed(said.message)) both.push(saidBefore(said, formulas, fresh));
  }
  for (const { when: condition, name } of record.unique) {
    if (condition === undefined) continue;
    const text = inCheck(formulas.condition(condition, rowPlace(record, '`this`', 'unique')));
    if (isCheckable(condition, text, record)) continue;
    const also = [
      formulas.condition(condition, fresh),
      ...formulas.isThere({ kind: 'alias', alias: 'NEW', record, isRaw: false }, fresh),
    ];
    both.push(`SET NEW.${quote(fit(`_${name}`))} = IF(${also.map(grouped).join(' AND ')}, TRUE, NULL);`);
  }
  return both;
}

export interface Difference {
  readonly name: string;
  /** What must differ, and where. */
  readonly text: string;
  /** Columns that triggers fill, with what rows that are there have in them: over `target`. */
  readonly filled: readonly { readonly column: string; readonly value: string }[];
  /** The same in triggers, behind a write: the server's own error, so that whoever handles that one handles it. */
  readonly lines: Readonly<Record<'after_insert' | 'after_update', readonly string[]>>;
}

/** What rows must differ in, as triggers keep it where no key may: the rows of the other revision need not. */
export function differencesOf(record: CheckedRecord, formulas: MysqlFormulas): readonly Difference[] {
  const path = { path: `records.${record.name}.unique` };
  const place = (alias: string): Place & { readonly own: RowRef & { readonly kind: 'alias' } } => {
    const own = { kind: 'alias', alias, record, isRaw: false } as const;
    return { ...rowPlace(record, alias, 'unique'), ...path, row: (name) => (name === 'this' ? own : undefined), own };
  };
  return record.unique.map((unique) => {
    const name = uniqueName(record, unique.name, formulas);
    const counts = (alias: string): readonly string[] => [
      ...(unique.when === undefined ? [] : [grouped(formulas.condition(unique.when, place(alias)))]),
      ...formulas.isThere(place(alias).own, place(alias)),
    ];
    const isOther = `NOT (${record.key.map((own) => `other.${quote(own)} = NEW.${quote(own)}`).join(' AND ')})`;
    const same = unique.fields.map(
      (field) => `${formulas.value(field, place('other'))} = ${formulas.value(field, place('NEW'))}`,
    );
    const tenant = record.spec.per_tenant === true ? ['other.`tenant` = NEW.`tenant`'] : [];
    const others = [...tenant, ...same, isOther, ...counts('other')].join('\n      AND ');
    const exists = `EXISTS (SELECT 1 FROM ${formulas.name(record.name)} AS other\n    WHERE ${others} LOCK IN SHARE MODE)`;
    const refuse = when([...counts('NEW'), exists].join(' AND '), [
      `SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1062, MESSAGE_TEXT = ${literal(`Duplicate entry for key '${name}'`)};`,
    ]);
    const decisive = [...unique.fields, unique.when].flatMap((formula) => fieldsIn(record, formula));
    const target = rowPlace(record, 'target', 'unique');
    const filled = uniqueParts(unique, record, formulas).flatMap(({ column, set }) =>
      set === undefined ? [] : [{ column, value: set(target) }],
    );
    return {
      ...{ name, text: [...same, ...counts('other')].join(' AND '), filled },
      lines: { after_insert: refuse, after_update: ifChanged(decisive, refuse) },
    };
  });
}

/** The stored fields of its own record that a formula looks at. */
function fieldsIn(record: CheckedRecord, formula: Formula | undefined): readonly string[] {
  if (formula === undefined) return [];
  return partsOf(formula).flatMap((part) => {
    if (part.node !== 'field') return [];
    const name = part.path[0]?.field ?? part.field;
    const computed = record.fields.find((field) => field.name === name)?.computed;
    return computed === undefined ? [name] : fieldsIn(record, computed);
  });
}

interface InTrigger {
  readonly formulas: MysqlFormulas;
  readonly fresh: Place;
}

/** Nothing new names what is deleted or has ended, though it is stored. n.b. it stays so until the end: its row is shared. */
function namedLines(field: StoredField, formulas: MysqlFormulas): readonly string[] {
  if (field.type.kind !== 'reference') return [];
  const to = formulas.record(field.type.record);
  const place = nowhere(`records.${to.name}`, 'UTC_TIMESTAMP(3)');
  const seen = formulas.isThere({ kind: 'alias', alias: 'named', record: to, isRaw: false }, place);
  if (seen.length === 0) return [];
  const isIt = formulas.keyIs(to, 'named', (name) => (name === 'tenant' ? 'NEW.`tenant`' : `NEW.${quote(field.name)}`));
  return [
    `SELECT COUNT(*) INTO v_named FROM ${formulas.name(to.name)} AS named WHERE ${[isIt, ...seen].join(' AND ')} LOCK IN SHARE MODE;`,
    ...when(
      'v_named = 0',
      signal([`There is no such ${words(to.name)}.`], { error: 'conflict', field: field.name, formulas, place }),
    ),
  ];
}

/** The next number: a row of the counters, which others wait for until this transaction ends, so that none is ever missing. */
function numberLines(field: StoredField, record: CheckedRecord, { formulas, fresh }: InTrigger): readonly string[] {
  const counters = formulas.name('counter');
  const per = [
    ...(record.spec.per_tenant === true ? ['NEW.`tenant`'] : []),
    ...(field.numbering?.per ?? []).map((each) => formulas.value(each, fresh)),
  ];
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

/**
 * Refuses what overlaps. Before the write writers wait for each other at the record that they share; behind it, when what is there
 * twice has been refused as such, the others are read with a share lock, which sees what is committed now. n.b. that is the only lock
 * that a trigger may take in its own table.
 */
function overlapLines(
  record: CheckedRecord,
  overlap: CheckedRecord['noOverlap'][number],
  { formulas, fresh }: InTrigger,
): { readonly lock: readonly string[]; readonly refuse: readonly string[] } {
  const reference = overlap.per
    .map((name) => formulas.fieldOf(record, name))
    .find(({ type, optional }) => type.kind === 'reference' && !optional);
  const lock =
    reference?.type.kind === 'reference'
      ? lockReference(
          reference.type.record,
          { value: `NEW.${quote(reference.name)}`, tenant: `NEW.${quote('tenant')}` },
          formulas,
        )
      : lockLine(record.name, formulas);
  const at = { path: `records.${record.name}.no_overlap` };
  const place = (alias: string): Place & { readonly own: RowRef & { readonly kind: 'alias' } } => {
    const own = { kind: 'alias', alias, record, isRaw: false } as const;
    return { ...fresh, ...at, row: (name) => (name === 'this' ? own : undefined), own };
  };
  const counts = (alias: string): readonly string[] => {
    const inside = place(alias);
    return [
      ...(overlap.when === undefined ? [] : [grouped(formulas.condition(overlap.when, inside))]),
      ...formulas.isThere(inside.own, inside),
    ];
  };
  const read = (alias: string, name: string): string =>
    formulas.read(place(alias).own, formulas.fieldOf(record, name), place(alias));
  const [start, end] = [read('NEW', overlap.start), read('NEW', overlap.end)];
  const agree = [...(record.spec.per_tenant === true ? ['tenant'] : []), ...overlap.per];
  const others = (alias: string): readonly string[] => [
    ...agree.map((name) => `${alias}.${quote(name)} = NEW.${quote(name)}`),
    `NOT (${record.key.map((name) => `${alias}.${quote(name)} = NEW.${quote(name)}`).join(' AND ')})`,
    ...counts(alias),
  ];
  const table = formulas.name(record.name);
  const exists = (alias: string, conditions: readonly string[]): string =>
    `EXISTS (SELECT 1 FROM ${table} AS ${alias}\n    WHERE ${conditions.join('\n      AND ')} LOCK IN SHARE MODE)`;
  const isBefore = (from: string, to: string): string => `(${to} IS NULL OR ${from} < ${to})`;
  const most = overlap.maxAtOnce === undefined ? undefined : formulas.value(overlap.maxAtOnce, place('NEW'));
  const isFull = (moment: string): string =>
    `(SELECT COUNT(*) FROM ${table} AS other\n    WHERE ${[
      ...others('other'),
      `${read('other', overlap.start)} <= ${moment}`,
      isBefore(moment, read('other', overlap.end)),
    ].join('\n      AND ')} LOCK IN SHARE MODE) >= ${most ?? '1'}`;
  // As many as overlap at one moment: that is always the start of one of them.
  const overlaps =
    most === undefined
      ? exists('other', [
          ...others('other'),
          isBefore(read('other', overlap.start), end),
          isBefore(start, read('other', overlap.end)),
          isBefore(read('other', overlap.start), read('other', overlap.end)),
        ])
      : `(${isFull(start)} OR ${exists('later', [
          ...others('later'),
          `${read('later', overlap.start)} > ${start}`,
          isBefore(read('later', overlap.start), end),
          isFull(read('later', overlap.start)),
        ])})`;
  const message = overlap.message ?? [
    most === undefined
      ? `There is one at the same time for this ${overlap.per.map(words).join(' and ')}.`
      : `There are as many as may be at the same time for this ${overlap.per.map(words).join(' and ')}.`,
  ];
  const refuse = when(
    `${isBefore(start, end)} AND ${overlaps}`,
    signal(message, { error: 'conflict', formulas, place: place('NEW') }),
  );
  const mine = counts('NEW');
  const ofMine = (lines: readonly string[]): readonly string[] =>
    mine.length === 0 ? lines : when(mine.join(' AND '), lines);
  return { lock: ofMine([lock]), refuse: ofMine(refuse) };
}

export function lockReference(
  to: string,
  { value, tenant }: { readonly value: string; readonly tenant?: string },
  formulas: MysqlFormulas,
): string {
  const record = formulas.record(to);
  const isIt = formulas.keyIs(record, 'lock_of', (name) => (name === 'tenant' ? (tenant ?? formulas.tenant) : value));
  return `SELECT lock_of.${quote(record.key[0] ?? 'id')} INTO v_locked FROM ${formulas.name(to)} AS lock_of WHERE ${isIt} FOR UPDATE;`;
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
  const [total, via] = [quote(field.name), quote(rollup.via)];
  const is = (alias: 'NEW' | 'OLD'): string =>
    formulas.keyIs(parent, 'total_of', (name) => (name === 'tenant' ? `${alias}.${quote(name)}` : `${alias}.${via}`));
  const isThere = (alias: string): readonly string[] =>
    formulas.isThere({ kind: 'alias', alias, record: child, isRaw: false }, nowhere('', 'UTC_TIMESTAMP(3)'));
  if (rollup.function === 'min' || rollup.function === 'max') {
    const place = rowPlace(child, 'child_of', `fields.${field.name}`);
    const value = rollup.value === undefined ? '1' : formulas.value(rollup.value, place);
    const counted = [
      ...(sharesTenant(child, parent) ? [`child_of.${quote('tenant')} = total_of.${quote('tenant')}`] : []),
      ...(rollup.when === undefined ? [] : [`(${formulas.condition(rollup.when, place)})`]),
      ...isThere('child_of'),
    ];
    const again = (alias: 'NEW' | 'OLD'): string =>
      `UPDATE ${table} AS total_of SET total_of.${total} = (SELECT ${rollup.function.toUpperCase()}(${value}) FROM ${formulas.name(child.name)} AS child_of WHERE ${[`child_of.${via} = ${alias}.${via}`, ...counted].join(' AND ')}) WHERE ${is(alias)};`;
    if (event === 'insert') return [again('NEW')];
    if (event === 'delete') return [again('OLD')];
    return [again('NEW'), ...when(`NOT (NEW.${via} <=> OLD.${via})`, [again('OLD')])];
  }
  const part = (alias: 'NEW' | 'OLD'): string => {
    const place = rowPlace(child, alias, `fields.${field.name}`);
    const value = rollup.value === undefined ? '1' : `COALESCE(${formulas.value(rollup.value, place)}, 0)`;
    const conditions = [
      ...(rollup.when === undefined ? [] : [formulas.condition(rollup.when, place)]),
      ...isThere(alias),
    ];
    return conditions.length === 0 ? value : `IF(${conditions.map(grouped).join(' AND ')}, ${value}, 0)`;
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
  KEY ${fit(`${name}_by_key`)} (${formulas.tableKey(record).map(quote).join(', ')}, change_no)
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
    instead,
  }: {
    readonly isIt: string;
    readonly kind: 'insert' | 'update' | 'delete';
    readonly most?: string;
    /** What fields will be, where it is written down before. */
    readonly instead?: ReadonlyMap<string, string>;
  },
  formulas: MysqlFormulas,
): readonly string[] {
  if (record.spec.history !== true) return [];
  const fields = storedFields(record, formulas);
  const own: RowRef = { kind: 'alias', alias: 'target', record, isRaw: false };
  const place: Place = { ...nowhere(`records.${record.name}`), row: () => own, own };
  const names = ['change_at', 'change_by', 'change_kind', ...fields.map(({ name }) => quote(name))];
  const values = [
    'v_now',
    CALLER.id,
    literal(kind),
    ...fields.map((field) => instead?.get(field.name) ?? formulas.read(own, field, place)),
  ];
  const key = record.key.map((name) => `target.${quote(name)}`).join(', ');
  return [
    listed(`INSERT INTO ${historyName(record, formulas)} (`, names, ')').replace('( ', '('),
    listed('SELECT', values),
    `FROM ${formulas.name(record.name)} AS target WHERE ${isIt}${most === undefined ? '' : ` ORDER BY ${key} LIMIT ${most} FOR UPDATE`};`,
  ];
}

/* Views */

/**
 * Whether only procedures read the records: who asks decides which there are or what they show, or their view calls a function
 * of the domain. n.b. MariaDB hides such a view from accounts that may not execute the function, and no account of a host may.
 */
export function isReadByProcedures(record: CheckedRecord, formulas: MysqlFormulas): boolean {
  if (
    record.rowAccess !== undefined ||
    record.spec.per_tenant === true ||
    showsByCaller(record, formulas.specification)
  )
    return true;
  const known = callsFunctions.get(record);
  if (known !== undefined) return known;
  const calls = /(?<![\w`.])_\w+\(/.test(viewLines(record, formulas).join('\n'));
  callsFunctions.set(record, calls);
  return calls;
}

/** n.b. each procedure of a record asks, and the view is written to know it. */
const callsFunctions = new WeakMap<CheckedRecord, boolean>();

/** n.b. where only procedures read the records, nobody is granted what begins with `_`. */
export function viewName(record: CheckedRecord, formulas: MysqlFormulas): string {
  const name = `${formulas.prefix}_${record.name}_rows`;
  return formulas.callable(isReadByProcedures(record, formulas) ? `_${name}` : name);
}

/**
 * What a procedure reads records from: their view, or a SELECT of its own where the view cannot know who asks. `all`: what has
 * just been written is shown whatever it counts as.
 */
export function shownFrom(record: CheckedRecord, { all }: { readonly all: boolean }, formulas: MysqlFormulas): string {
  const hides = record.spec.soft_delete === true || (record.expires !== undefined && record.expires.set === undefined);
  if (!showsByCaller(record, formulas.specification) && !(all && hides)) return viewName(record, formulas);
  const place = { ...nowhere(`records.${record.name}`), isLocking: false };
  return `(\n${indent(selectLines(record, { place, all }, formulas), 4).join('\n')}\n  )`;
}

function selectLines(
  record: CheckedRecord,
  { place: around, all }: { readonly place: Place; readonly all: boolean },
  formulas: MysqlFormulas,
): readonly string[] {
  const alias = quote(record.name);
  const own = { kind: 'alias', alias, record, isRaw: false } as const;
  const joins = new Joins();
  const place: Place = { ...around, row: () => own, own, joins, aliases: new Set([record.name]) };
  const columns = record.fields.map((field) => {
    const value = formulas.read(own, field, place);
    const text = field.type.kind === 'time' ? `TIME_FORMAT(${value}, '%H:%i')` : value;
    const exact = field.computed === undefined ? text : computedColumn(text, field);
    return exact === `${alias}.${quote(field.name)}` ? exact : `${unwrapped(exact)} AS ${quote(field.name)}`;
  });
  const seen = all ? [] : formulas.isThere(own, place);
  return [
    'SELECT',
    `  ${columns.join(',\n  ')}`,
    `FROM ${[`${formulas.name(record.name)} AS ${alias}`, ...joins.lines].join('\n')}`,
    ...(seen.length === 0 ? [] : [`WHERE ${seen.join('\n  AND ')}`]),
  ];
}

/**
 * Every record, as readers see it; undefined where only procedures know who asks. n.b. by itself MySQL makes all rows of a view with
 * subqueries among its columns before it looks for those of a page: https://dev.mysql.com/doc/refman/8.4/en/derived-table-optimization.html
 */
export function viewText(record: CheckedRecord, formulas: MysqlFormulas): string | undefined {
  if (showsByCaller(record, formulas.specification)) return undefined;
  return `${remark(`Every ${words(record.name)}, as readers see it.`)}
${HEAD}
CREATE OR REPLACE ALGORITHM = MERGE SQL SECURITY DEFINER VIEW ${viewName(record, formulas)} AS
${viewLines(record, formulas).join('\n')};
`;
}

function viewLines(record: CheckedRecord, formulas: MysqlFormulas): readonly string[] {
  const place = nowhere(`records.${record.name}`, 'UTC_TIMESTAMP(3)');
  return selectLines(record, { place, all: false }, formulas);
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
  name VARCHAR(64) NOT NULL COMMENT 'record.field',
  per VARCHAR(700) NOT NULL COMMENT 'What the series is counted by',
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
  if (rows === undefined) return undefined;
  const place = nowhere(`records.${record.name}.rows`, 'UTC_TIMESTAMP(3)');
  const statements = rows.map(({ values }) => {
    const given = new Map(values.map(({ name, value }) => [name, valueText(value, { record, formulas })] as const));
    const made = storedFields(record, formulas).flatMap((field): readonly (readonly [string, string])[] => {
      if (given.has(field.name)) return [];
      if (field.origin === 'key' && record.keyKind === 'uuid') return [[field.name, 'UUID()']];
      const start = startValue(field, formulas, place);
      return start === undefined ? [] : [[field.name, start === CALLER.id ? 'NULL' : start]];
    });
    const names = [...given.keys(), ...made.map(([name]) => name)].map(quote);
    const texts = [...given.values(), ...made.map(([, text]) => text)];
    // The same row again: by its key, by what must differ, or by all that it says.
    const rule = record.unique
      .map(({ fields }) => fields.flatMap((field) => (field.node === 'field' ? [field.field] : [])))
      .find((fields) => fields.length > 0 && fields.every((name) => given.has(name)));
    const same = record.keyKind === 'fields' ? record.key : (rule ?? [...given.keys()]);
    const isThere = same.map((name) => `target.${quote(name)} <=> ${given.get(name) ?? 'NULL'}`);
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
  return literal(JSON.stringify(plainValue(value)));
}

/** A list or an item of one, as JSON has it. */
function plainValue(value: Value): unknown {
  if (Array.isArray(value)) return (value as readonly Value[]).map(plainValue);
  if (typeof value !== 'object' || value === null) return value;
  const { fields } = value as { readonly fields: readonly { readonly name: string; readonly value: Value }[] };
  return Object.fromEntries(fields.map((field) => [field.name, plainValue(field.value)] as const));
}

/** What stands in for a field that nobody gives. Undefined: the column's own default. */
export function startValue(field: StoredField, formulas: MysqlFormulas, place: Place): string | undefined {
  const { default: given } = field;
  if (field.origin === 'timestamps') return field.name.endsWith('_at') ? place.now : CALLER.id;
  if (field.origin === 'tenant') return formulas.tenant;
  if (given === undefined) return undefined;
  return formulas.value(given, place);
}
