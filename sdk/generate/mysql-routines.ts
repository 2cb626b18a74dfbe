import {
  type CheckedArgument,
  type CheckedQuery,
  type CheckedRecord,
  type Formula,
  type Message,
  partsOf,
  withArticle,
  withCapital,
} from '../spec/index.js';
import {
  CALLER,
  declared,
  type Declared,
  grouped,
  Joins,
  type MysqlFormulas,
  nowhere,
  type Place,
  type RowRef,
  shown,
} from './mysql-formulas.js';
import {
  deleteByKey,
  deleteWhere,
  isReadByProcedures,
  historyLines,
  lockLine,
  lockReference,
  shownFrom,
  startValue,
  type StoredField,
  storedFields,
  touched,
  words,
} from './mysql-records.js';
import { constraintHandler, signal } from './mysql-refusals.js';
import { comment, HEAD, indent, listed, literal, maskPattern, quote, remark, when } from './mysql-words.js';

const TEXT = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

/** A column of what a routine answers. */
export interface AnswerColumn {
  readonly name: string;
  readonly template: string;
}

export interface Routine {
  /** What callers say. */
  readonly operation: string;
  readonly name: string;
  readonly args: readonly TemplateArgument[];
  readonly answers: 'nothing' | 'row' | 'rows' | 'page';
  readonly columns: readonly AnswerColumn[];
  readonly text: string;
  readonly reads: boolean;
  readonly usesCaller: { readonly id: boolean; readonly roles: boolean };
  /** Optional fields that an update may clear: absent keeps, null clears. */
  readonly clears: boolean;
  readonly about: string;
}

export interface TemplateArgument {
  readonly name: string;
  readonly template: string;
  readonly isLoose: boolean;
}

interface Parameter {
  readonly name: string;
  readonly type: string;
}

export interface RoutineParts {
  readonly operation: string;
  readonly about: string;
  readonly parameters: readonly Parameter[];
  readonly args: readonly TemplateArgument[];
  readonly reads: boolean;
  readonly declarations: readonly string[];
  readonly body: readonly string[];
  readonly answers: Routine['answers'];
  readonly columns: readonly AnswerColumn[];
  readonly clears?: boolean;
}

/** A procedure, with the variables that its body names. */
export function routineOf(parts: RoutineParts, formulas: MysqlFormulas): Routine {
  const { operation, about, parameters, args, reads, declarations, body, answers, columns, clears = false } = parts;
  const name = formulas.callable(`${formulas.prefix}_${operation}`);
  const moment = !reads && formulas.hasClockBounds ? ['SET @beds_now = v_now;'] : [];
  const all = [...declarations, ...moment, ...body].join('\n');
  const uses = (variable: string): boolean => new RegExp(`\\b${variable}\\b`).test(all);
  const usesCaller = { id: uses(CALLER.id), roles: uses(CALLER.roles) || uses('v_tenant') };
  const list = [
    ...parameters,
    ...(usesCaller.id ? [{ name: CALLER.id, type: `VARCHAR(200) ${TEXT}` }] : []),
    ...(usesCaller.roles ? [{ name: CALLER.roles, type: 'JSON' }] : []),
  ];
  const own = [
    ...(uses('v_now') ? ['DECLARE v_now DATETIME(3) DEFAULT UTC_TIMESTAMP(3);'] : []),
    ...(uses('v_tenant')
      ? [`DECLARE v_tenant VARCHAR(200) ${TEXT} DEFAULT ${formulas.helper('tenant', CALLER.roles)};`]
      : []),
    ...(uses('v_message') ? [`DECLARE v_message VARCHAR(1000) ${TEXT};`] : []),
    ...(uses('v_locked') ? [`DECLARE v_locked VARCHAR(200) ${TEXT};`] : []),
  ];
  const handler = reads ? [] : constraintHandler(formulas);
  // While two revisions work at once, triggers keep the rules of the one that writes.
  const said = reads ? [] : [`SET @beds_revision = ${formulas.revision};`];
  const signature =
    list.length === 0 ? '()' : `(\n${list.map((each) => `  IN ${each.name} ${each.type}`).join(',\n')}\n)`;
  const text = `${remark(about)}
${HEAD}
DROP PROCEDURE IF EXISTS ${name};

CREATE PROCEDURE ${name}${signature}
  SQL SECURITY DEFINER
  ${reads ? 'READS' : 'MODIFIES'} SQL DATA
  COMMENT ${comment(about)}
BEGIN
${indent([...own, ...declarations, ...handler, ...said, ...moment, ...body]).join('\n')}
END;
`;
  return { operation, name, args, answers, columns, text, reads, usesCaller, clears, about };
}

/* Arguments */

interface Given {
  readonly name: string;
  readonly type: CheckedArgument['type'];
  readonly declared: Declared;
  readonly spec?: object | undefined;
}

/** What is refused of values before anything is read: too many digits, a word that is none, a form that is not kept. */
function valueLines({ name, type, spec }: Given, formulas: MysqlFormulas): readonly string[] {
  const place = nowhere('arguments');
  const value = `p_${name}`;
  const say = (text: string): readonly string[] => signal([text], { error: 'invalid', field: name, formulas, place });
  const of = (spec ?? {}) as { readonly mask?: string };
  const lines: string[] = [];
  lines.push(...foldLines({ name, type, spec }));
  if (type.kind === 'decimal')
    lines.push(
      ...when(`${value} <> ROUND(${value}, ${type.scale})`, say(`At most ${type.scale} digits after the point.`)),
    );
  if (type.kind === 'point') {
    const number = (part: string): string => `JSON_EXTRACT(${value}, '$.${part}')`;
    const isNumber = (part: string): string =>
      `COALESCE(JSON_TYPE(${number(part)}), '') IN ('INTEGER', 'UNSIGNED INTEGER', 'DOUBLE', 'DECIMAL')`;
    const isOn = (part: string, most: number): string => `ABS(${number(part)} + 0e0) <= ${most}`;
    const fits = [isNumber('lat'), isNumber('lon'), isOn('lat', 90), isOn('lon', 180)].join(' AND ');
    lines.push(
      ...when(`${value} IS NOT NULL AND (${fits}) IS NOT TRUE`, say('A place: lat and lon in degrees.')),
      `SET ${value} = IF(${value} IS NULL, NULL, JSON_OBJECT('lat', ${number('lat')}, 'lon', ${number('lon')}));`,
    );
  }
  if (type.kind === 'enum')
    lines.push(...when(`${value} NOT IN (${type.values.map(literal).join(', ')})`, say(oneOf(type.values))));
  if (type.kind === 'time')
    lines.push(...when(`${value} < TIME '00:00' OR ${value} >= TIME '24:00'`, say('A time of day.')));
  if (of.mask !== undefined && type.kind === 'text')
    lines.push(...when(`${value} NOT REGEXP ${literal(maskPattern(of.mask))}`, say(`In the form ${of.mask}.`)));
  if (type.kind === 'list' || type.kind === 'objects') lines.push(...listLines({ name, type, spec }, formulas));
  return lines;
}

/** Letters in the case in which they are stored: a record is found by its key, however the caller writes it. */
function foldLines({ name, type, spec }: Pick<Given, 'name' | 'type' | 'spec'>): readonly string[] {
  const { letter_case: letters } = (spec ?? {}) as { readonly letter_case?: string };
  return letters === undefined || type.kind !== 'text' ? [] : [`SET p_${name} = ${letters.toUpperCase()}(p_${name});`];
}

function oneOf(values: readonly string[]): string {
  const text = `One of ${values.join(', ')}.`;
  return text.length > 80 ? 'None of the words that are known.' : text;
}

/** The text of an item as JSON has it, and what is wrong with it. */
export interface ItemColumn {
  readonly name: string;
  /** How JSON_TABLE reads it: wider than it may be, so that what is too long is seen. */
  readonly read: string;
  readonly wrong: (value: string) => string | undefined;
  /** From what JSON_TABLE gave to what a variable holds. */
  readonly convert: (value: string) => string;
}

function textItem(
  name: string,
  of: { readonly max_length?: number; readonly mask?: string; readonly letter_case?: string },
): ItemColumn {
  const most = of.max_length ?? 200;
  const letters = of.letter_case?.toUpperCase();
  return {
    name,
    read: most < 4000 ? `VARCHAR(${most + 1})` : 'LONGTEXT',
    wrong: (value) =>
      [
        `CHAR_LENGTH(${value}) > ${most}`,
        ...(of.mask === undefined
          ? []
          : [`${letters === undefined ? value : `${letters}(${value})`} NOT REGEXP ${literal(maskPattern(of.mask))}`]),
      ].join(' OR '),
    convert: letters === undefined ? (value) => value : (value) => `${letters}(${value})`,
  };
}

function timeItem(name: string, kind: 'date' | 'time' | 'timestamp', formulas: MysqlFormulas): ItemColumn {
  switch (kind) {
    case 'date':
      return {
        name,
        read: 'VARCHAR(20)',
        wrong: (value) =>
          `${value} NOT REGEXP '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' OR DATE_FORMAT(${value}, '%Y-%m-%d') IS NULL`,
        convert: (value) => `CAST(${value} AS DATE)`,
      };
    case 'time':
      return {
        name,
        read: 'VARCHAR(20)',
        wrong: (value) => `${value} NOT REGEXP '^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$'`,
        convert: (value) => `CAST(${value} AS TIME)`,
      };
    case 'timestamp':
      return {
        name,
        read: 'VARCHAR(40)',
        wrong: (value) => `${formulas.helper('instant', value)} IS NULL`,
        convert: (value) => formulas.helper('instant', value),
      };
  }
}

export function itemColumn(
  {
    name,
    type,
    spec,
  }: { readonly name: string; readonly type: CheckedArgument['type']; readonly spec?: object | undefined },
  formulas: MysqlFormulas,
): ItemColumn | undefined {
  const of = (spec ?? {}) as {
    readonly max_length?: number;
    readonly mask?: string;
    readonly letter_case?: string;
    readonly min?: string;
    readonly max?: string;
    readonly precision?: number;
  };
  const same = (value: string): string => value;
  const bounds = (value: string): readonly string[] =>
    isPlain
      ? [
          ...(of.min === undefined ? [] : [`${value} < ${of.min}`]),
          ...(of.max === undefined ? [] : [`${value} > ${of.max}`]),
        ]
      : [];
  // n.b. a bound of another kind is tested item by item, where the items are used.
  const isPlain = [of.min, of.max].every((bound) => bound === undefined || /^-?\d+(?:\.\d+)?$/.test(bound));
  const key = type.kind === 'reference' ? keyField(type.record, formulas) : undefined;
  if (key !== undefined) return itemColumn({ ...key, name }, formulas);
  switch (type.kind) {
    case 'text':
      return textItem(name, of);
    case 'integer':
      return {
        name,
        read: 'VARCHAR(40)',
        wrong: (value) => [`${value} NOT REGEXP '^-?[0-9]{1,18}$'`, ...bounds(`CAST(${value} AS SIGNED)`)].join(' OR '),
        convert: (value) => `CAST(${value} AS SIGNED)`,
      };
    case 'decimal': {
      const whole = (of.precision ?? 30) - type.scale;
      const form = `^-?[0-9]{1,${whole}}${type.scale === 0 ? '' : `([.][0-9]{1,${type.scale}})?`}$`;
      const number = (value: string): string => `CAST(${value} AS DECIMAL(60, ${type.scale}))`;
      return {
        name,
        read: 'VARCHAR(60)',
        wrong: (value) => [`${value} NOT REGEXP ${literal(form)}`, ...bounds(number(value))].join(' OR '),
        convert: number,
      };
    }
    case 'date':
    case 'time':
    case 'timestamp':
      return timeItem(name, type.kind, formulas);
    case 'float':
      return {
        name,
        read: 'VARCHAR(60)',
        wrong: (value) =>
          [`${value} NOT REGEXP '^-?[0-9.]+([eE][-+]?[0-9]+)?$'`, ...bounds(`(${value} + 0e0)`)].join(' OR '),
        convert: (value) => `(${value} + 0e0)`,
      };
    case 'enum':
      return {
        name,
        read: 'VARCHAR(50)',
        wrong: (value) => `${value} NOT IN (${type.values.map(literal).join(', ')})`,
        convert: same,
      };
    case 'boolean':
      return {
        name,
        read: 'VARCHAR(10)',
        wrong: (value) => `${value} NOT IN ('true', 'false', '1', '0')`,
        convert: (value) => `(${value} IN ('true', '1'))`,
      };
    default:
      return undefined;
  }
}

function keyField(
  name: string,
  formulas: MysqlFormulas,
): { readonly type: CheckedArgument['type']; readonly spec?: object | undefined } | undefined {
  const record = formulas.record(name);
  const { type, spec } = formulas.fieldOf(record, record.key[0] ?? 'id');
  return { type, spec };
}

/** What is wrong with a list is said before anything is read. */
function listLines({ name, type, spec }: Omit<Given, 'declared'>, formulas: MysqlFormulas): readonly string[] {
  const place = { path: `arguments.${name}` };
  const of = (spec ?? {}) as { readonly max_items?: number; readonly min_items?: number };
  const value = `p_${name}`;
  const say = (text: string): readonly string[] =>
    signal([text], { error: 'invalid', field: name, formulas, place: nowhere(place.path) });
  const [least, most] = [of.min_items ?? 0, of.max_items ?? 1000];
  const columns =
    type.kind === 'objects'
      ? type.columns.map((column) => ({
          column: itemColumn(column, formulas),
          path: `$.${column.name}`,
          optional: column.optional,
          name: column.name,
        }))
      : type.kind === 'list'
        ? [
            {
              column: itemColumn({ name: 'item', type: type.of, spec }, formulas),
              path: '$',
              optional: false,
              name: 'item',
            },
          ]
        : [];
  const known = columns.flatMap(({ column, ...rest }) => (column === undefined ? [] : [{ column, ...rest }]));
  if (known.length < columns.length) formulas.refuse(place, 'a list with columns of this type');
  const wrong = known.map(({ column, optional, name: each }) => {
    const text = `item.${quote(each)}`;
    return [...(optional ? [] : [`${text} IS NULL`]), column.wrong(text)].join(' OR ');
  });
  const read = known.map(({ column, path, name: each }) => `${quote(each)} ${column.read} ${TEXT} PATH '${path}'`);
  return [
    ...when(
      `NOT JSON_VALID(${value}) OR JSON_TYPE(${value}) <> 'ARRAY' OR JSON_LENGTH(${value}) NOT BETWEEN ${least} AND ${most}`,
      say(`A list of ${least === 0 ? 'at most' : `${least} to`} ${most}.`),
    ),
    ...when(
      `EXISTS (SELECT 1 FROM JSON_TABLE(${value}, '$[*]' COLUMNS (${read.join(', ')})) AS item WHERE ${wrong.join(' OR ')})`,
      say('An item is not as it must be.'),
    ),
  ];
}

/** Parameters of a query or an action, and the lines that refuse values and put in what stands for absent ones. */
export function argumentsOf(
  args: readonly CheckedArgument[],
  path: string,
  formulas: MysqlFormulas,
): Pick<RoutineParts, 'parameters' | 'args'> & { readonly lines: readonly string[] } {
  const place = nowhere(path);
  const lines: string[] = [];
  const known = args.flatMap((arg) => {
    const made = declared(arg, formulas);
    const at = { path: `${path}.args.${arg.name}` };
    if (arg.name === 'caller_id' || arg.name === 'caller_roles') formulas.refuse(at, `an argument called ${arg.name}`);
    if (made === undefined) formulas.refuse(at, `an argument of type ${arg.type.kind}`);
    return made === undefined ? [] : [{ arg, made }];
  });
  for (const { arg, made } of known) {
    const value = `p_${arg.name}`;
    const say = (text: string): readonly string[] =>
      signal([text], { error: 'invalid', field: arg.name, formulas, place });
    if (arg.default !== undefined)
      lines.push(`SET ${value} = COALESCE(${value}, ${formulas.value(arg.default, place)});`);
    else if (!arg.optional) lines.push(...when(`${value} IS NULL`, say('Is missing.')));
    const isList = arg.type.kind === 'list' || arg.type.kind === 'objects';
    const spec = isList || arg.type.kind !== 'reference' ? arg.spec : (keyField(arg.type.record, formulas)?.spec ?? {});
    lines.push(...valueLines({ name: arg.name, type: arg.type, declared: made, spec }, formulas));
    if (isList) continue;
    const { min, max, multipleOf } = arg;
    if (min !== undefined)
      lines.push(...when(`${value} < ${formulas.write(min, place)}`, say(`Not less than ${said(min)}.`)));
    if (max !== undefined)
      lines.push(...when(`${value} > ${formulas.write(max, place)}`, say(`Not more than ${said(max)}.`)));
    if (multipleOf !== undefined)
      lines.push(
        ...when(`${value} MOD ${formulas.write(multipleOf, place)} <> 0`, say(`A multiple of ${said(multipleOf)}.`)),
      );
  }
  return {
    parameters: known.map(({ arg, made }) => ({ name: `p_${arg.name}`, type: made.parameter })),
    args: known.map(({ arg, made }) => ({
      name: arg.name,
      template: made.template,
      isLoose: arg.optional || arg.default !== undefined,
    })),
    lines,
  };
}

const said = (formula: Formula): string => (formula.node === 'literal' ? String(formula.value) : 'what is allowed');

/** Refuses who may not call. */
export function allowedLines(allowed: Formula | undefined, path: string, formulas: MysqlFormulas): readonly string[] {
  if (allowed === undefined) return [];
  const place = nowhere(`${path}.allowed`);
  const text: Message = ['You may not do this.'];
  return when(formulas.negation(allowed, place), signal(text, { error: 'forbidden', formulas, place }));
}

/* Standard operations */

/** What is refused of the key of a record that is named, with words. */
function referenceLines(fields: readonly StoredField[], formulas: MysqlFormulas): readonly string[] {
  return fields.flatMap((field) => {
    if (field.type.kind !== 'reference') return [];
    const to = formulas.record(field.type.record);
    const value = `p_${field.name}`;
    const place = nowhere(`records.${to.name}`);
    const isIt = [
      `named.${quote(to.key[0] ?? 'id')} = ${value}`,
      ...(to.spec.per_tenant === true ? [`named.${quote('tenant')} = ${formulas.tenant}`] : []),
      ...formulas.isThere({ kind: 'alias', alias: 'named', record: to, isRaw: false }, place),
    ];
    const missing = `NOT EXISTS (SELECT 1 FROM ${formulas.name(to.name)} AS named WHERE ${isIt.join(' AND ')})`;
    const text = signal([`There is no such ${words(to.name)}.`], {
      error: 'conflict',
      field: field.name,
      formulas,
      place,
    });
    return when(field.optional ? `${value} IS NOT NULL AND ${missing}` : missing, text);
  });
}

function parameterOf(field: StoredField): Parameter {
  return { name: `p_${field.name}`, type: field.declared.parameter };
}

/** Waits for whoever decides by all records of which this is one. */
function anchorLines(
  record: CheckedRecord,
  value: (via: string) => string,
  formulas: MysqlFormulas,
): readonly string[] {
  return record.anchors.map(({ record: anchor, via }) =>
    via === undefined ? lockLine(anchor, formulas) : lockReference(anchor, { value: value(via) }, formulas),
  );
}

export function standardRoutines(record: CheckedRecord, formulas: MysqlFormulas): readonly Routine[] {
  const isMain = record === formulas.specification.records[0];
  return record.operations.flatMap(({ kind, name }) => {
    // The main record is fetched by its view, as that of every domain, unless only procedures read it.
    if ((kind === 'fetch' && !isMain) || (kind === 'list' && (!isMain || isReadByProcedures(record, formulas))))
      return [readRoutine(record, { kind, operation: name }, formulas)];
    if (kind === 'create') return [createRoutine(record, name, formulas)];
    if (kind === 'update') return [updateRoutine(record, name, formulas)];
    return kind === 'delete' ? [deleteRoutine(record, name, formulas)] : [];
  });
}

function recordColumns(record: CheckedRecord, formulas: MysqlFormulas): readonly AnswerColumn[] {
  return record.fields.flatMap((field) => {
    const made = declared(field, formulas);
    const isKey = field.origin === 'key' && record.keyKind === 'uuid';
    const template = isKey ? 't.string({ max: 36 })' : made?.template;
    if (template === undefined) return [];
    const isLoose =
      field.optional ||
      field.computed?.nullable === true ||
      field.rollup?.function === 'min' ||
      field.rollup?.function === 'max';
    return [{ name: field.name, template: `${template}${isLoose ? '.optional()' : ''}` }];
  });
}
export { recordColumns };

/** n.b. the keys that organisations give may be the same. */
function keyTenant(record: CheckedRecord, alias: string, formulas: MysqlFormulas): string {
  return formulas.tableKey(record).length === record.key.length ? '' : ` AND ${alias}.${quote('tenant')} = v_tenant`;
}

/** That a row is the one that the arguments name. */
function isNamed(record: CheckedRecord, formulas: MysqlFormulas): string {
  return formulas.keyIs(record, 'target', (name) => (name === 'tenant' ? formulas.tenant : `p_${name}`));
}

function answerLines(record: CheckedRecord, key: (name: string) => string, formulas: MysqlFormulas): readonly string[] {
  const where = record.key.map((name) => `shown.${quote(name)} = ${key(name)}`).join(' AND ');
  const tenant = keyTenant(record, 'shown', formulas);
  return [`SELECT shown.* FROM ${shownFrom(record, { all: true }, formulas)} AS shown WHERE ${where}${tenant};`];
}

/** A record by its key, or all that have these values. */
function readRoutine(
  record: CheckedRecord,
  { kind, operation }: { readonly kind: 'fetch' | 'list'; readonly operation: string },
  formulas: MysqlFormulas,
): Routine {
  const isList = kind === 'list';
  const given = storedFields(record, formulas).filter(({ name, type }) =>
    isList ? !['json', 'list', 'objects', 'point'].includes(type.kind) : record.key.includes(name),
  );
  const own: RowRef = { kind: 'alias', alias: 'shown', record, isRaw: true };
  const place: Place = { ...nowhere(`records.${record.name}`), row: () => own, own };
  const conditions = given.map(({ name, type }) => {
    const is = `shown.${quote(name)} = ${type.kind === 'time' ? `TIME_FORMAT(p_${name}, '%H:%i')` : `p_${name}`}`;
    return isList ? `(p_${name} IS NULL OR ${is})` : is;
  });
  if (record.spec.per_tenant === true) conditions.push(`shown.${quote('tenant')} = ${formulas.tenant}`);
  if (record.rowAccess !== undefined) conditions.push(`(${formulas.access(record.rowAccess.read, own, place)})`);
  const key = record.key.map((name) => `shown.${quote(name)}`).join(', ');
  return routineOf(
    {
      operation,
      about: isList
        ? `The ${words(record.name)} records that have these values, a thousand at most.`
        : `${withCapital(withArticle(words(record.name)))}, by its key.`,
      parameters: given.map(parameterOf),
      args: given.map(({ name, declared: made }) => ({ name, template: made.template, isLoose: isList })),
      ...{ reads: true, declarations: [] },
      body: [
        ...given.flatMap(foldLines),
        `SELECT shown.* FROM ${shownFrom(record, { all: false }, formulas)} AS shown`,
        `WHERE ${conditions.join('\n  AND ')}`,
        `ORDER BY ${key} LIMIT ${isList ? '1000' : '1'};`,
      ],
      answers: isList ? 'rows' : 'row',
      columns: recordColumns(record, formulas),
    },
    formulas,
  );
}

function createRoutine(record: CheckedRecord, operation: string, formulas: MysqlFormulas): Routine {
  const place = nowhere(`records.${record.name}`);
  const fields = storedFields(record, formulas);
  const given = fields.filter((field) => field.givenAtCreate);
  const lines: string[] = [];
  const values = new Map<string, string>();
  for (const field of given) {
    const value = `p_${field.name}`;
    const start = startValue(field, formulas, place);
    if (start !== undefined) lines.push(`SET ${value} = COALESCE(${value}, ${start});`);
    else if (!field.optional)
      lines.push(
        ...when(`${value} IS NULL`, signal(['Is missing.'], { error: 'invalid', field: field.name, formulas, place })),
      );
    lines.push(...valueLines(field, formulas));
    values.set(field.name, value);
  }
  for (const field of fields) {
    if (values.has(field.name)) continue;
    const start = field.origin === 'key' && record.keyKind === 'uuid' ? 'UUID()' : startValue(field, formulas, place);
    if (start !== undefined) values.set(field.name, start === 'UUID()' ? 'v_id' : start);
  }
  const [isUuid, isAuto] = [record.keyKind === 'uuid', record.keyKind === 'auto'];
  const keyOf = (name: string): string => (record.keyKind === 'fields' ? (values.get(name) ?? 'NULL') : 'v_id');
  const isIt = formulas.keyIs(record, 'target', (name) => (name === 'tenant' ? formulas.tenant : keyOf(name)));
  return routineOf(
    {
      operation,
      about: `Adds ${withArticle(words(record.name))} and answers it.`,
      parameters: given.map(parameterOf),
      args: given.map((field) => ({
        name: field.name,
        template: field.declared.template,
        isLoose: field.optional || field.default !== undefined,
      })),
      reads: false,
      declarations: isUuid ? ['DECLARE v_id CHAR(36) DEFAULT UUID();'] : isAuto ? ['DECLARE v_id BIGINT;'] : [],
      body: [
        ...tenantLines(record, formulas),
        ...lines,
        ...anchorLines(record, (via) => `p_${via}`, formulas),
        ...referenceLines(given, formulas),
        ...endedLines(record, (name) => values.get(name), formulas),
        listed(`INSERT INTO ${formulas.name(record.name)} (`, [...values.keys()].map(quote), ')').replace('( ', '('),
        listed('VALUES (', [...values.values()], ');').replace('( ', '('),
        ...(isAuto ? ['SET v_id = LAST_INSERT_ID();'] : []),
        ...writeAccessLines(record, isIt, formulas),
        ...historyLines(record, { isIt, kind: 'insert' }, formulas),
        ...answerLines(record, keyOf, formulas),
      ],
      answers: 'row',
      columns: recordColumns(record, formulas),
    },
    formulas,
  );
}

/** Who belongs to no organisation adds nothing to one. */
export function tenantLines(record: CheckedRecord, formulas: MysqlFormulas): readonly string[] {
  if (record.spec.per_tenant !== true) return [];
  const place = nowhere(`records.${record.name}`);
  const text = signal(['You belong to no organisation.'], { error: 'forbidden', formulas, place });
  return when(`${formulas.tenant} IS NULL`, text);
}

/** Writes down what has ended and would be in the way of what is written: the same key, or the same values of a unique rule. */
export function endedLines(
  record: CheckedRecord,
  value: (name: string) => string | undefined,
  formulas: MysqlFormulas,
): readonly string[] {
  const { expires } = record;
  if (expires === undefined) return [];
  const target = { kind: 'alias', alias: 'target', record, isRaw: true } as const;
  const place: Place = { ...nowhere(`records.${record.name}.expires`), row: () => target, own: target };
  const tenant = record.spec.per_tenant === true ? ['tenant'] : [];
  const changed = new Set(expires.set?.map(({ name }) => name));
  const rules = record.unique
    .map(({ fields, when: condition }) => ({
      names: fields.flatMap((field) => (field.node === 'field' && field.path.length === 0 ? [field.field] : [])),
      isAbout: [...fields, ...(condition === undefined ? [] : [condition])]
        .flatMap(partsOf)
        .some((part) => part.node === 'field' && changed.has(part.field)),
    }))
    .filter(({ isAbout }) => expires.set === undefined || isAbout)
    .map(({ names }) => [...tenant, ...names.filter((name) => !changed.has(name))]);
  const all = expires.set === undefined && record.keyKind === 'fields' ? [formulas.tableKey(record), ...rules] : rules;
  return all.flatMap((names) => {
    const same = names.flatMap((name) => {
      const text = value(name);
      return text === undefined ? [] : [`target.${quote(name)} = ${text}`];
    });
    if (same.length === tenant.length) return [];
    const isIt = [...same, formulas.expired(target, place)].join(' AND ');
    if (expires.set === undefined) return deleteWhere(record, isIt, { formulas });
    return [
      ...historyLines(record, { isIt, kind: 'update' }, formulas),
      `UPDATE ${formulas.name(record.name)} AS target`,
      listed('SET', endedValues(record, 'target', formulas)),
      `WHERE ${isIt};`,
    ];
  });
}

/** What has ended counts as. n.b. MySQL sets one after the other: what reads a field comes before what sets it. */
function endedValues(record: CheckedRecord, alias: string, formulas: MysqlFormulas): readonly string[] {
  const row = { kind: 'alias', alias, record, isRaw: true } as const;
  const place: Place = { ...nowhere(`records.${record.name}.expires`), row: () => row, own: row };
  const texts = (record.expires?.set ?? []).map(({ name, value }) => ({ name, text: formulas.value(value, place) }));
  const ordered = inReadingOrder(texts, alias);
  if (ordered === undefined) formulas.refuse(place, 'expires that sets fields from each other');
  return (ordered ?? texts).map(({ name, text }) => `${alias}.${quote(name)} = ${text}`);
}

/** Assignments in an order in which none reads what was set before it; undefined: there is none. */
export function inReadingOrder(
  all: readonly { readonly name: string; readonly text: string }[],
  alias: string,
): readonly { readonly name: string; readonly text: string }[] | undefined {
  const left = [...all];
  const ordered: { readonly name: string; readonly text: string }[] = [];
  while (left.length > 0) {
    const at = left.findIndex(({ name }) =>
      left.every((other) => other.name === name || !other.text.includes(`${alias}.${quote(name)}`)),
    );
    const [next] = at < 0 ? [] : left.splice(at, 1);
    if (next === undefined) return undefined;
    ordered.push(next);
  }
  return ordered;
}

/** What a caller deletes: it is gone, or stays stored and hidden. */
export function removeLines(
  record: CheckedRecord,
  key: (name: string) => string,
  formulas: MysqlFormulas,
): readonly string[] {
  if (record.spec.soft_delete !== true) return deleteByKey(record, key, { formulas });
  const isIt = formulas.keyIs(record, 'target', key);
  return [
    ...historyLines(record, { isIt, kind: 'delete' }, formulas),
    `UPDATE ${formulas.name(record.name)} AS target SET target.${quote('deleted_at')} = v_now WHERE ${isIt};`,
  ];
}

function keyFields(record: CheckedRecord, formulas: MysqlFormulas): readonly StoredField[] {
  const fields = storedFields(record, formulas);
  return record.key.flatMap((name) => fields.find((field) => field.name === name) ?? []);
}

/** Refuses a write of a record that whoever calls may not change, on the record as it is at this point. */
export function writeAccessLines(record: CheckedRecord, isIt: string, formulas: MysqlFormulas): readonly string[] {
  if (record.rowAccess === undefined) return [];
  const place = nowhere(`records.${record.name}.row_access`);
  const ref = { kind: 'alias', alias: 'target', record, isRaw: false } as const;
  const may = formulas.access(record.rowAccess.write, ref, place);
  return when(
    `NOT EXISTS (SELECT 1 FROM ${formulas.name(record.name)} AS target WHERE ${isIt} AND (${may}) FOR UPDATE)`,
    signal([`You may not change this ${words(record.name)}.`], { error: 'forbidden', formulas, place }),
  );
}

/** Takes the record itself: nobody changes it until this has ended. */
function findLines(record: CheckedRecord, formulas: MysqlFormulas): readonly string[] {
  const table = formulas.name(record.name);
  const where = isNamed(record, formulas);
  const place = nowhere(`records.${record.name}`);
  const visible = formulas.visible({ kind: 'alias', alias: 'target', record, isRaw: false }, place);
  const seen = visible === undefined ? '' : ` AND ${visible}`;
  return [
    ...anchorVia(record, formulas),
    `SELECT COUNT(*) INTO v_there FROM ${table} AS target WHERE ${where}${seen} FOR UPDATE;`,
    ...when(
      'v_there = 0',
      signal([`There is no such ${words(record.name)}.`], { error: 'not_found', formulas, place }),
    ),
    ...writeAccessLines(record, where, formulas),
  ];
}

/** The record that others lock, found by what is stored: a read that locks nothing, because locks come in one order. */
function anchorVia(record: CheckedRecord, formulas: MysqlFormulas): readonly string[] {
  const where = isNamed(record, formulas);
  return anchorLines(
    record,
    (via) =>
      record.key.includes(via)
        ? `p_${via}`
        : `(SELECT target.${quote(via)} FROM ${formulas.name(record.name)} AS target WHERE ${where})`,
    formulas,
  );
}

function updateRoutine(record: CheckedRecord, operation: string, formulas: MysqlFormulas): Routine {
  const fields = storedFields(record, formulas);
  const key = keyFields(record, formulas);
  const given = fields.filter((field) => field.givenAtUpdate);
  const place = nowhere(`records.${record.name}`);
  const version = fields.find(({ origin }) => origin === 'version');
  const clears = given.some(({ optional }) => optional);
  const set = given.map((field) => {
    const column = `target.${quote(field.name)}`;
    const kept = `COALESCE(p_${field.name}, ${column})`;
    return `${column} = ${field.optional ? `IF(JSON_CONTAINS(p_clears, '"${field.name}"') IS TRUE, NULL, ${kept})` : kept}`;
  });
  set.push(...touched(record, 'target'));
  const where = isNamed(record, formulas);
  const needed = version === undefined ? key : [...key, version];
  return routineOf(
    {
      operation,
      about: `Changes what is given of ${withArticle(words(record.name))}${clears ? ', clears what p_clears names,' : ''} and answers it.`,
      parameters: [...[...needed, ...given].map(parameterOf), ...(clears ? [{ name: 'p_clears', type: 'JSON' }] : [])],
      args: [
        ...needed.map((field) => ({ name: field.name, template: field.declared.template, isLoose: false })),
        ...given.map((field) => ({ name: field.name, template: field.declared.template, isLoose: true })),
      ],
      reads: false,
      declarations: ['DECLARE v_there BIGINT;', ...(version === undefined ? [] : ['DECLARE v_version BIGINT;'])],
      body: [
        ...key.flatMap(foldLines),
        ...given.flatMap((field) => valueLines(field, formulas)),
        ...(clears ? keptLines(given, formulas, place) : []),
        ...findLines(record, formulas),
        ...referenceLines(
          given.map((field) => ({ ...field, optional: true })),
          formulas,
        ),
        ...(version === undefined
          ? []
          : [
              `SELECT target.${quote('version')} INTO v_version FROM ${formulas.name(record.name)} AS target WHERE ${where} FOR UPDATE;`,
              ...when(
                'NOT (v_version <=> p_version)',
                signal(['It was changed by somebody else: read it again.'], {
                  error: 'conflict',
                  field: 'version',
                  formulas,
                  place,
                }),
              ),
            ]),
        ...(set.length === 0
          ? []
          : [`UPDATE ${formulas.name(record.name)} AS target`, listed('SET', set), `WHERE ${where};`]),
        ...writeAccessLines(record, where, formulas),
        ...historyLines(record, { isIt: where, kind: 'update' }, formulas),
        ...answerLines(record, (name) => `p_${name}`, formulas),
      ],
      answers: 'row',
      columns: recordColumns(record, formulas),
      clears,
    },
    formulas,
  );
}

/** What must have a value is not cleared. */
function keptLines(given: readonly StoredField[], formulas: MysqlFormulas, place: Place): readonly string[] {
  return given
    .filter(({ optional }) => !optional)
    .flatMap(({ name }) =>
      when(
        `JSON_CONTAINS(p_clears, '"${name}"') IS TRUE`,
        signal(['Is missing.'], { error: 'invalid', field: name, formulas, place }),
      ),
    );
}

function deleteRoutine(record: CheckedRecord, operation: string, formulas: MysqlFormulas): Routine {
  const key = keyFields(record, formulas);
  return routineOf(
    {
      operation,
      about: `Deletes ${withArticle(words(record.name))}.`,
      parameters: key.map(parameterOf),
      args: key.map((field) => ({ name: field.name, template: field.declared.template, isLoose: false })),
      reads: false,
      declarations: ['DECLARE v_there BIGINT;'],
      body: [
        ...key.flatMap(foldLines),
        ...findLines(record, formulas),
        ...removeLines(record, (name) => (name === 'tenant' ? formulas.tenant : `p_${name}`), formulas),
      ],
      answers: 'nothing',
      columns: [],
    },
    formulas,
  );
}

/** Writes down what has expired, some at a time. Readers see it without. */
export function sweepRoutine(record: CheckedRecord, formulas: MysqlFormulas): Routine | undefined {
  const { expires } = record;
  if (expires === undefined) return undefined;
  if (expires.set === undefined) return sweepDeletes(record, formulas);
  const table = formulas.name(record.name);
  const stored: RowRef & { readonly kind: 'alias' } = { kind: 'alias', alias: table, record, isRaw: true };
  const place: Place = { ...nowhere(`records.${record.name}.expires`), row: () => stored, own: stored };
  const raw: RowRef & { readonly kind: 'alias' } = { kind: 'alias', alias: 'target', record, isRaw: true };
  const rawPlace: Place = { ...place, row: () => raw, own: raw };
  const set = endedValues(record, table, formulas);
  return routineOf(
    {
      operation: `sweep_${record.name}`,
      about: `Writes down which ${words(record.name)} records have expired, the first of them. Readers see it without this.`,
      parameters: [{ name: 'p_most', type: 'INT' }],
      args: [{ name: 'most', template: 't.int({ min: 1, max: 10_000 })', isLoose: false }],
      reads: false,
      declarations: [],
      body: [
        ...historyLines(record, { isIt: formulas.expired(raw, rawPlace), kind: 'update', most: 'p_most' }, formulas),
        `UPDATE ${table}`,
        listed('SET', set),
        `WHERE ${formulas.expired(stored, place)}`,
        `ORDER BY ${record.key.map(quote).join(', ')} LIMIT p_most;`,
      ],
      answers: 'nothing',
      columns: [],
    },
    formulas,
  );
}

/** Deletes what has ended, some at a time. What others name, or what is never changed, stays stored: nobody sees it. */
function sweepDeletes(record: CheckedRecord, formulas: MysqlFormulas): Routine {
  const table = formulas.name(record.name);
  const old = { kind: 'alias', alias: 'old', record, isRaw: true } as const;
  const place: Place = { ...nowhere(`records.${record.name}.expires`), row: () => old, own: old };
  const key = formulas.tableKey(record);
  const named = holders(record, formulas).map(
    ({ child, field }) =>
      `NOT EXISTS (SELECT 1 FROM ${formulas.name(child.name)} AS holder WHERE holder.${quote(field)} = old.${quote(record.key[0] ?? 'id')}${child.spec.per_tenant === true ? ` AND holder.${quote('tenant')} = old.${quote('tenant')}` : ''})`,
  );
  const { immutableWhen } = record;
  const fixed = immutableWhen === undefined ? [] : [`(${formulas.condition(immutableWhen, place)}) IS NOT TRUE`];
  const columns = key.map((name) => `old.${quote(name)}`).join(', ');
  const isIt = `(${key.map((name) => `target.${quote(name)}`).join(', ')}) IN (SELECT * FROM (SELECT ${columns} FROM ${table} AS old WHERE ${[formulas.expired(old, place), ...named, ...fixed].join(' AND ')} ORDER BY ${columns} LIMIT p_most) AS ended)`;
  return routineOf(
    {
      operation: `sweep_${record.name}`,
      about: `Deletes ${words(record.name)} records that have ended, the first of them. Readers miss them without this.`,
      parameters: [{ name: 'p_most', type: 'INT' }],
      args: [{ name: 'most', template: 't.int({ min: 1, max: 10_000 })', isLoose: false }],
      reads: false,
      declarations: [],
      body: deleteWhere(record, isIt, { formulas }),
      answers: 'nothing',
      columns: [],
    },
    formulas,
  );
}

/** Records that keep a record from being deleted. */
function holders(
  record: CheckedRecord,
  formulas: MysqlFormulas,
): readonly { readonly child: CheckedRecord; readonly field: string }[] {
  return formulas.specification.records.flatMap((child) =>
    child.fields.flatMap((field) =>
      field.type.kind === 'reference' && field.type.record === record.name && field.onDelete === 'restrict'
        ? [{ child, field: field.name }]
        : [],
    ),
  );
}

/* Queries */

export function queryRoutine(query: CheckedQuery, formulas: MysqlFormulas): Routine {
  const path = `queries.${query.name}`;
  const sources: readonly { readonly record: string; readonly as: string }[] = [query.from, ...query.joins];
  const joins = new Joins();
  const aliases = new Set(sources.map(({ as }) => as));
  const rows = new Map<string, RowRef & { readonly kind: 'alias' }>(
    sources.map(({ record, as }) => [
      as,
      { kind: 'alias', alias: quote(as), record: formulas.record(record), isRaw: false },
    ]),
  );
  const [own] = rows.values();
  const columnOf = columnsOf(query);
  const inner: Place = {
    ...{ path, row: (name) => rows.get(name), own, now: 'v_now', isLocking: false, knowsCaller: true, joins, aliases },
    // n.b. a column that is called as what is grouped by is that.
    variable: (name) => {
      const group = query.groupBy.find((each) => each.name === name)?.value;
      const found = group ?? columnOf(name);
      return found === undefined ? undefined : formulas.value(found, inner);
    },
  };
  const columns = answerColumns(query, formulas);
  const isTotal = query.groupBy.length > 0 || query.columns.some(({ value }) => hasNode(value, 'total'));
  const key = isTotal
    ? query.groupBy.map(({ value }) => formulas.orderable(value, inner))
    : sources
        .slice(0, 1)
        .flatMap(({ record, as }) => formulas.record(record).key.map((name) => `${quote(as)}.${quote(name)}`));
  const order = query.orderBy.map((item) => expanded(item, columnOf));
  const orderTexts = formulas.order(order, inner);
  const whole = [
    ...orderTexts,
    ...key.filter((text) => !orderTexts.some((each) => each.replace(/ DESC$/, '') === text)),
  ];
  const isLate = query.having !== undefined && needsWindow(query, columnOf);
  const pages = isTotal || isLate ? undefined : pagesOf(query, { order, whole }, formulas);
  const args = withPages(argumentsOf(query.args, path, formulas), { query, pages }, formulas);
  const sqlColumns = [
    ...columns.map(({ name, value }) => `${shown(formulas.value(value, inner), value)} AS ${quote(name)}`),
    ...(pages === undefined ? [] : [pages.column]),
  ];
  const seen = own === undefined ? undefined : formulas.visible(own, inner);
  const where = [
    ...query.where.map((part) => formulas.condition(part, inner)).filter((text) => text !== 'TRUE'),
    ...(seen === undefined ? [] : [seen]),
    ...(pages === undefined ? [] : [pages.isBehind]),
  ];
  const group = query.groupBy.map(({ value }) => formulas.value(value, inner));
  const having = query.having === undefined || isLate ? undefined : formulas.condition(query.having, inner);
  const limit = limitOf(query);
  const main = (extra: readonly string[]): readonly string[] => [
    'SELECT',
    `  ${[...sqlColumns, ...extra].join(',\n  ')}`,
    `FROM ${formulas.name(query.from.record)} AS ${quote(query.from.as)}`,
    ...joinLines(query, inner, formulas),
    ...joins.lines,
    ...(where.length === 0 ? [] : [`WHERE ${where.map(grouped).join('\n  AND ')}`]),
    ...(group.length === 0 ? [] : [`GROUP BY ${group.join(', ')}`]),
    ...(having === undefined
      ? []
      : [`${isTotal ? 'HAVING' : where.length === 0 ? 'WHERE' : '  AND'} ${grouped(having)}`]),
  ];
  const body =
    query.top !== undefined || isLate
      ? outerQuery(
          { ...(query.top === undefined ? {} : { top: query.top }), having: isLate ? query.having : undefined },
          { main, whole, columns, inner, formulas, limit },
        )
      : [...main([]), ...(whole.length === 0 ? [] : [`ORDER BY ${whole.join(', ')}`]), `LIMIT ${limit};`];
  const place = nowhere(path);
  return routineOf(
    {
      operation: query.name,
      about: query.spec.description,
      ...{ parameters: args.parameters, args: args.args, reads: true },
      declarations: [...(limit === 'v_limit' ? ['DECLARE v_limit BIGINT;'] : []), ...(pages?.declarations ?? [])],
      body: [
        ...allowedLines(query.allowed, path, formulas),
        ...args.lines,
        ...(limit === 'v_limit' ? limitLines(query.limit, place, formulas) : []),
        ...requiredLines(query, formulas),
        ...body,
      ],
      answers: query.single ? 'row' : 'rows',
      columns: [...columns.map(({ name, template }) => ({ name, template })), ...(pages?.columns ?? [])],
    },
    formulas,
  );
}

function requiredLines({ name, requires }: CheckedQuery, formulas: MysqlFormulas): readonly string[] {
  const place = nowhere(`queries.${name}`);
  return requires.flatMap(({ rule, message }) =>
    when(formulas.negation(rule, place), signal(message, { error: 'invalid', formulas, place })),
  );
}

const MOST_AFTER = 8000;

/** How a page begins behind a row: by what its order is, so that rows that come and go meanwhile move nothing. */
interface Pages {
  /** What a row gives for the page behind it. */
  readonly column: string;
  readonly columns: readonly AnswerColumn[];
  readonly isBehind: string;
  readonly declarations: readonly string[];
  readonly lines: readonly string[];
}

/** Undefined: the query has no pages, or the place of a row in its order is not the row's own. */
function pagesOf(
  query: CheckedQuery,
  { order, whole }: { readonly order: CheckedQuery['orderBy']; readonly whole: readonly string[] },
  formulas: MysqlFormulas,
): Pages | undefined {
  const { paged, single, joins, top } = query;
  if (!paged || single || joins.length > 0 || top !== undefined) return undefined;
  if ([...query.args, ...query.columns].some(({ name }) => name === 'after')) return undefined;
  const record = formulas.record(query.from.record);
  const key = keyFields(record, formulas);
  const items = whole.map((text, index) => {
    const by = order[index]?.by;
    const own = key.find(({ name }) => text === `${quote(query.from.as)}.${quote(name)}`);
    return {
      by,
      text: text.replace(/ DESC$/, ''),
      isDown: text.endsWith(' DESC'),
      type: typeOfItem(by, own, formulas),
    };
  });
  if (items.some(({ by, type }) => type === undefined || hasNode(by, 'window'))) return undefined;
  const given = (index: number): string => `v_after_${index + 1}`;
  const isFurther = items.map(({ text, isDown }, index) =>
    isDown
      ? `(${text} < ${given(index)} OR (${text} IS NULL AND ${given(index)} IS NOT NULL))`
      : `(${text} > ${given(index)} OR (${text} IS NOT NULL AND ${given(index)} IS NULL))`,
  );
  const behind = isFurther.map((further, index) =>
    [...items.slice(0, index).map(({ text }, at) => `${text} <=> ${given(at)}`), further].join(' AND '),
  );
  const place = nowhere(`queries.${query.name}`);
  const say = signal(['What a row of the answer has as after.'], { error: 'invalid', field: 'after', formulas, place });
  const values = items.map(
    (_, index) => `${given(index)} = ${formulas.helper('json_text', `JSON_EXTRACT(p_after, '$[${index}]')`)}`,
  );
  return {
    column: `CAST(JSON_ARRAY(${items.map(({ text }) => text).join(', ')}) AS CHAR) AS ${quote('after')}`,
    columns: [{ name: 'after', template: `t.string({ max: ${MOST_AFTER} })` }],
    isBehind: `(p_after IS NULL OR ${behind.map((each) => `(${each})`).join(' OR ')})`,
    declarations: items.map(({ type }, index) => `DECLARE ${given(index)} ${type ?? 'BIGINT'};`),
    lines: when('p_after IS NOT NULL', [
      ...when(`JSON_VALID(p_after) IS NOT TRUE OR JSON_LENGTH(p_after) <> ${items.length}`, say),
      listed('SET', values, ';'),
    ]),
  };
}

/** How a value that rows are ordered by is kept; undefined: a number that loses digits on the way. */
function typeOfItem(
  by: Formula | undefined,
  own: StoredField | undefined,
  formulas: MysqlFormulas,
): string | undefined {
  const type = formulas.keyType(by?.type ?? own?.type ?? { kind: 'integer' });
  switch (type.kind) {
    case 'float':
      return undefined;
    case 'text':
      return `${formulas.hasLongTexts ? 'LONGTEXT' : 'VARCHAR(1000)'} ${TEXT}`;
    case 'decimal':
      return 'DECIMAL(60, 20)';
    case 'date':
    case 'time':
    case 'timestamp':
      return declared({ type }, formulas)?.column;
    default:
      return 'BIGINT';
  }
}

function columnsOf({ columns }: CheckedQuery): (name: string) => Formula | undefined {
  return (name) => columns.find((column) => column.name === name)?.value;
}

interface QueryColumn extends AnswerColumn {
  readonly value: Formula;
}

function answerColumns({ name: query, columns }: CheckedQuery, formulas: MysqlFormulas): readonly QueryColumn[] {
  return columns.map(({ name, value }) => {
    const made = declared(value, formulas);
    if (made === undefined) formulas.refuse({ path: `queries.${query}` }, `a column of type ${value.type.kind}`);
    return { name, value, template: `${made?.template ?? 't.json()'}${isLoose(value) ? '.optional()' : ''}` };
  });
}

type Arguments = ReturnType<typeof argumentsOf>;

/** Callers of a query with pages say behind which row they go on, or how many they have had, and how many more they want. */
function withPages(
  own: Arguments,
  { query, pages }: { readonly query: CheckedQuery; readonly pages: Pages | undefined },
  formulas: MysqlFormulas,
): Arguments {
  if (!query.paged || query.single) return own;
  for (const name of ['skip', 'limit'])
    if (query.args.some((arg) => arg.name === name))
      formulas.refuse({ path: `queries.${query.name}` }, `paged, with an argument called ${name}`);
  return {
    parameters: [
      ...own.parameters,
      ...(pages === undefined ? [] : [{ name: 'p_after', type: `VARCHAR(${MOST_AFTER}) ${TEXT}` }]),
      { name: 'p_skip', type: 'BIGINT' },
      { name: 'p_limit', type: 'BIGINT' },
    ],
    args: [
      ...own.args,
      ...(pages === undefined ? [] : [{ name: 'after', template: `t.string({ max: ${MOST_AFTER} })`, isLoose: true }]),
      { name: 'skip', template: 't.int({ min: 0 })', isLoose: true },
      { name: 'limit', template: 't.int({ min: 1, max: 1000 })', isLoose: true },
    ],
    lines: [
      ...own.lines,
      ...(pages?.lines ?? []),
      'SET p_skip = GREATEST(COALESCE(p_skip, 0), 0), p_limit = LEAST(GREATEST(COALESCE(p_limit, 100), 1), 1000);',
    ],
  };
}

function isLoose(value: Formula): boolean {
  return value.nullable || hasNode(value, 'window') || (value.node === 'call' && value.args.some(isLoose));
}

function limitLines(limit: Formula | undefined, place: Place, formulas: MysqlFormulas): readonly string[] {
  return limit === undefined ? [] : [`SET v_limit = GREATEST(COALESCE(${formulas.value(limit, place)}, 0), 0);`];
}

function limitOf(query: CheckedQuery): string {
  if (query.single) return '1';
  if (query.paged) return 'p_skip, p_limit';
  if (query.limit === undefined) return '1000';
  if (query.limit.node === 'argument') return `p_${query.limit.name}`;
  return query.limit.node === 'literal' ? String(query.limit.value) : 'v_limit';
}

function joinLines(query: CheckedQuery, inner: Place, formulas: MysqlFormulas): readonly string[] {
  return query.joins.map(({ record, as, on, left }) => {
    // n.b. what lies behind a reference is read by itself here: its table is joined further down.
    const { joins: _, ...around } = inner;
    const text = formulas.condition(on, around);
    const joined = inner.row(as);
    const seen = joined?.kind === 'alias' ? formulas.visible(joined, inner) : undefined;
    const also = seen === undefined ? '' : ` AND ${seen}`;
    return `${left ? 'LEFT JOIN' : 'JOIN'} ${formulas.name(record)} AS ${quote(as)} ON ${grouped(text)}${also}`;
  });
}

function hasNode(formula: unknown, node: string): boolean {
  if (typeof formula !== 'object' || formula === null) return false;
  const part = formula as { readonly node?: string };
  return part.node === node || Object.values(formula).some((each) => hasNode(each, node));
}

function needsWindow({ having, columns }: CheckedQuery, columnOf: (name: string) => Formula | undefined): boolean {
  if (columns.some(({ value }) => hasNode(value, 'window'))) return true;
  const seen = (formula: unknown): boolean => {
    if (typeof formula !== 'object' || formula === null) return false;
    const part = formula as { readonly node?: string; readonly name?: string };
    if (part.node === 'variable' && hasNode(columnOf(part.name ?? ''), 'window')) return true;
    return Object.values(formula).some(seen);
  };
  return seen(having);
}

function expanded(
  item: CheckedQuery['orderBy'][number],
  columnOf: (name: string) => Formula | undefined,
): CheckedQuery['orderBy'][number] {
  const { by } = item;
  return { ...item, by: by.node === 'variable' ? (columnOf(by.name) ?? by) : by };
}

interface Outer {
  readonly main: (extra: readonly string[]) => readonly string[];
  readonly whole: readonly string[];
  readonly columns: readonly { readonly name: string; readonly value: Formula }[];
  readonly inner: Place;
  readonly formulas: MysqlFormulas;
  readonly limit: string;
}

/** Where rows are chosen by what a window says of them, it must have been computed before: what it needs is given along. */
function outerQuery(
  query: Pick<CheckedQuery, 'top'> & { readonly having: Formula | undefined },
  { main, whole, columns, inner, formulas, limit }: Outer,
): readonly string[] {
  const { top, having } = query;
  const extra: string[] = [];
  const along = (text: string, name: string): string => {
    extra.push(`${text} AS ${name}`);
    return `answer.${name}`;
  };
  const ordered = (items: readonly string[], name: string): readonly string[] =>
    items.map((item, index) => {
      const [, text = item, desc = ''] = /^(.*?)( DESC)?$/s.exec(item) ?? [];
      return `${along(text, `${name}_${index + 1}`)}${desc}`;
    });
  const order = ordered(whole, 'answer_order');
  const outer: Place = {
    ...nowhere(inner.path),
    row: () => undefined,
    variable: (name) => `answer.${quote(name)}`,
    // n.b. what is asked of a field that is no column is given along.
    field: (formula) => along(formulas.write(formula, inner), `answer_field_${extra.length + 1}`),
  };
  const filter = having === undefined ? [] : [`WHERE ${grouped(formulas.condition(having, outer))}`];
  const shownColumns = columns.map(({ name }) => `answer.${quote(name)}`).join(', ');
  const tail = [`ORDER BY ${order.join(', ')}`, `LIMIT ${limit};`];
  const source = (lines: readonly string[]): readonly string[] => ['FROM (', ...indent(lines), ') AS answer'];
  if (top === undefined) return [`SELECT ${shownColumns}`, ...source(main(extra)), ...filter, ...tail];
  const columnOf = (name: string): Formula | undefined => columns.find((column) => column.name === name)?.value;
  const per = top.per.map((name, index) => {
    const value = columnOf(name);
    const text = value === undefined ? formulas.refuse(inner, `top per ${name}`) : formulas.value(value, inner);
    return along(text, `answer_group_${index + 1}`);
  });
  const items = formulas.order(
    top.orderBy.map((item) => expanded(item, columnOf)),
    inner,
  );
  const placed = [...ordered(items, 'answer_rank'), ...order].join(', ');
  const partition = per.length === 0 ? '' : `PARTITION BY ${per.join(', ')} `;
  const whichPlace = `ROW_NUMBER() OVER (${partition}ORDER BY ${placed}) AS answer_place`;
  return [
    `SELECT ${shownColumns}`,
    ...source([`SELECT answer.*, ${whichPlace}`, ...source(main(extra)), ...filter]),
    `WHERE answer.answer_place <= ${formulas.write(top.count, outer)}`,
    ...tail,
  ];
}
