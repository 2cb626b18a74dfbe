import type { CheckedAction, CheckedRecord, CheckedStep, Formula, NamedFormula, Type } from '../spec/index.js';
import { declared, type MysqlFormulas, type Place, type RowRef, shown } from './mysql-formulas.js';
import {
  deleteWhere,
  historyLines,
  lockLine,
  shownFrom,
  startValue,
  type StoredField,
  storedFields,
  touched,
  words,
} from './mysql-records.js';
import { signal } from './mysql-refusals.js';
import {
  allowedLines,
  type AnswerColumn,
  argumentsOf,
  endedLines,
  inReadingOrder,
  itemColumn,
  recordColumns,
  removeLines,
  tenantLines,
  writeAccessLines,
  type Routine,
  routineOf,
} from './mysql-routines.js';
import { indent, listed, quote, when } from './mysql-words.js';

const TEXT = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

/** A record that an action has added or changed, as its answer shows it. */
export interface AnsweredRow {
  readonly as: string;
  readonly columns: readonly (AnswerColumn & { readonly field: string })[];
  /** It may not be there: it was made or changed in a branch, or only where it was found. */
  readonly isLoose: boolean;
}

export interface ActionRoutine {
  readonly routine: Routine;
  readonly rows: readonly AnsweredRow[];
  readonly returns: readonly AnswerColumn[];
}

interface Row {
  readonly record: CheckedRecord;
}

interface Fitting {
  readonly inside: Place & { readonly own: RowRef };
  readonly where: string;
  readonly alias: string;
}

/** A part of what formulas read, one after the other. */
interface Loop {
  readonly start: number;
  end: number;
}

/** A place behind an update of a row. */
interface Changed {
  readonly row: string;
  /** What formulas had read until then. */
  readonly at: number;
  /** In which the row is not found anew each time. */
  readonly loops: readonly Loop[];
  readonly fields: readonly string[];
}

type Step<Op extends CheckedStep['op']> = Extract<CheckedStep, { readonly op: Op }>;

/** Writes the steps of one action. Every row that has a name is held in variables, `<row>__<field>`. */
class Steps {
  readonly declarations = new Map<string, string>();
  readonly rows = new Map<string, Row>();
  readonly #formulas: MysqlFormulas;
  readonly place: Place;

  /** Fields of rows that the action needs, once they are known. */
  readonly #needed: ReadonlySet<string> | undefined;

  /** Which of the rows that are changed are read again later, once that is known. */
  readonly #readLater: readonly boolean[] | undefined;
  readonly #changed: Changed[] = [];
  readonly #openLoops: Loop[] = [];
  /** The loops in which a row got its name. */
  readonly #homes = new Map<string, readonly Loop[]>();

  constructor(path: string, formulas: MysqlFormulas, first?: Steps) {
    this.#formulas = formulas;
    this.#needed = first === undefined ? undefined : new Set(formulas.fetched);
    this.#readLater = first?.readLater;
    this.place = {
      path,
      row: (name) => this.#ref(name),
      now: 'v_now',
      isLocking: true,
      knowsCaller: true,
      aliases: new Set(),
    };
  }

  #ref(name: string): RowRef | undefined {
    const row = this.rows.get(name);
    return row === undefined ? undefined : { kind: 'variables', name, record: row.record };
  }

  /** Of each row that is changed, in order: whether a formula reads of it afterwards what may be another then. */
  get readLater(): readonly boolean[] {
    const { fetched } = this.#formulas;
    return this.#changed.map(({ row, at, loops, fields }) => {
      const later = [...fetched.slice(at), ...loops.flatMap(({ start, end }) => fetched.slice(start, end))];
      return fields.some((field) => later.includes(`${row}__${field}`));
    });
  }

  #inLoop<T>(work: () => T): T {
    const loop: Loop = { start: this.#formulas.fetched.length, end: Infinity };
    this.#openLoops.push(loop);
    const made = work();
    this.#openLoops.pop();
    loop.end = this.#formulas.fetched.length;
    return made;
  }

  #declare(name: string, type: string, place: Place): void {
    const known = this.declarations.get(name);
    if (known !== undefined && known !== type)
      this.#formulas.refuse(place, `two values of different types that are both called ${name}`);
    this.declarations.set(name, type);
  }

  write(steps: readonly CheckedStep[]): readonly string[] {
    return steps.flatMap((step) => this.#step(step));
  }

  #step(step: CheckedStep): readonly string[] {
    const lines = this.#lines(step);
    const isWrite = ['insert', 'update', 'update_where', 'delete', 'delete_where'].includes(step.op);
    return isWrite && 'record' in step ? [...lines, ...this.#totalsAfter(step.record)] : lines;
  }

  #lines(step: CheckedStep): readonly string[] {
    const formulas = this.#formulas;
    // n.b. aliases are told apart within one statement.
    const place: Place = { ...this.place, path: step.path, aliases: new Set() };
    switch (step.op) {
      case 'check':
        return when(formulas.negation(step.rule, place), signal(step.message, { error: step.error, formulas, place }));
      case 'read':
      case 'read_for_update':
        return this.#read(step, place);
      case 'let':
        return step.values.flatMap((value) => this.#let(value, place));
      case 'insert':
        return this.#insert(step, place);
      case 'update':
        return this.#update(step, place);
      case 'update_where':
        return this.#updateWhere(step, place);
      case 'delete':
        return this.#delete(step, place);
      case 'delete_where':
        return this.#deleteWhere(step, place);
      case 'lock':
        return [lockLine(step.record, formulas)];
      case 'for_each_item':
        return this.#eachItem(step, place);
      case 'for_each_row':
        return this.#eachRow(step, place);
      case 'if': {
        const then = indent(this.write(step.then));
        const other = step.else.length === 0 ? [] : ['ELSE', ...indent(this.write(step.else))];
        return [`IF ${formulas.condition(step.condition, place)} THEN`, ...then, ...other, 'END IF;'];
      }
      case 'call':
        return this.#call(step, place);
    }
  }

  /** Another action as part of this one: its steps stand here, with names of their own and its arguments as values. */
  #call(step: Step<'call'>, place: Place): readonly string[] {
    const formulas = this.#formulas;
    const action = formulas.specification.actions.find(({ name }) => name === step.action);
    if (action === undefined) return [];
    const prefix = step.as ?? action.name;
    const own = renamed(action, prefix);
    const lines = action.args.flatMap((arg) => {
      const given = step.arguments.find(({ name }) => name === arg.name)?.value;
      const value = given ?? arg.default;
      const name = `${prefix}_${arg.name}`;
      const say = (text: string): readonly string[] =>
        signal([text], { error: 'invalid', field: arg.name, formulas, place });
      this.#declareValue(`v_${name}`, arg.type, place);
      const text = value === undefined ? 'NULL' : formulas.value(value, place);
      const also =
        given !== undefined && arg.default !== undefined
          ? `COALESCE(${text}, ${formulas.value(arg.default, place)})`
          : text;
      return [
        `SET v_${name} = ${also};`,
        ...(arg.optional ? [] : when(`v_${name} IS NULL`, say('Is missing.'))),
        ...(arg.min === undefined ? [] : when(`v_${name} < ${formulas.write(arg.min, place)}`, say('Is too small.'))),
        ...(arg.max === undefined ? [] : when(`v_${name} > ${formulas.write(arg.max, place)}`, say('Is too great.'))),
      ];
    });
    const returned = own.returns.flatMap(({ name, value }) => this.#let({ name: `${prefix}_${name}`, value }, place));
    // n.b. who calls the action around it was asked for that one: a call does not ask who may.
    return [...lines, ...this.write(own.steps), ...returned];
  }

  #let({ name, value }: NamedFormula, place: Place): readonly string[] {
    const made = value.type.kind === 'span' ? { column: 'BIGINT' } : declared(value, this.#formulas);
    if (made === undefined) this.#formulas.refuse(place, `a let of type ${value.type.kind}`);
    else if (value.node !== 'literal' || value.value !== null || !this.declarations.has(`v_${name}`))
      this.#declareValue(`v_${name}`, value.type, place);
    return [`SET v_${name} = ${this.#formulas.value(value, place)};`];
  }

  /** n.b. a value that is computed may be longer than a field of its type, and an enum may be compared with other words. */
  #declareValue(name: string, type: Type, place: Place): void {
    const formulas = this.#formulas;
    const { kind } = formulas.keyType(type);
    if (kind === 'text' || kind === 'enum')
      this.#declare(name, `${kind === 'text' && formulas.hasLongTexts ? 'LONGTEXT' : 'VARCHAR(1000)'} ${TEXT}`, place);
    else if (kind === 'span') this.#declare(name, 'BIGINT', place);
    else if (kind === 'decimal') this.#declare(name, `DECIMAL(60, ${type.kind === 'decimal' ? type.scale : 0})`, place);
    else this.#declare(name, declared({ type }, formulas)?.column ?? 'BIGINT', place);
  }

  #declareRow(as: string, record: CheckedRecord, place: Place): Row {
    const known = this.rows.get(as);
    if (known !== undefined && known.record.name !== record.name)
      this.#formulas.refuse(place, `two rows of different types that are both called ${as}`);
    const row = known ?? { record };
    this.rows.set(as, row);
    this.#homes.set(as, [...this.#openLoops]);
    this.#declare(`is_there_${as}`, 'BOOLEAN DEFAULT FALSE', place);
    for (const { name, declared: made, type } of this.#fields(as, record)) {
      const column = type.kind === 'enum' ? made.parameter : made.column;
      this.#declare(`${as}__${name}`, column, place);
    }
    return row;
  }

  #fields(as: string, record: CheckedRecord): readonly StoredField[] {
    const all = storedFields(record, this.#formulas);
    const needed = this.#needed;
    return needed === undefined
      ? all
      : all.filter(({ name }) => record.key.includes(name) || needed.has(`${as}__${name}`));
  }

  #into(as: string, record: CheckedRecord): string {
    return listed('INTO', [`is_there_${as}`, ...this.#fields(as, record).map(({ name }) => `${as}__${name}`)]);
  }

  /** The row as it is now, as readers see it. */
  #select(as: string, record: CheckedRecord, place: Place & { readonly own: RowRef }): readonly string[] {
    const columns = this.#fields(as, record).map((field) => this.#formulas.read(place.own, field, place));
    return [listed('SELECT', ['TRUE', ...columns]), this.#into(as, record)];
  }

  /** n.b. SELECT INTO without a row leaves variables as they were. */
  #forget(as: string, record: CheckedRecord): string {
    const all = this.#fields(as, record).map(({ name }) => `${as}__${name} = NULL`);
    return listed('SET', [`is_there_${as} = FALSE`, ...all], ';');
  }

  #read(step: Step<'read' | 'read_for_update'>, place: Place): readonly string[] {
    const formulas = this.#formulas;
    const record = formulas.record(step.record);
    const { inside, from, where } = formulas.source(record, { where: step.where, around: place });
    const order = [...formulas.order(step.order, inside)];
    const key = record.key.map((name) => formulas.read(inside.own, formulas.fieldOf(record, name), inside));
    const isLocked = step.op === 'read_for_update';
    if (step.added) return this.#lockAdded(record, { inside, from, where });
    this.#declareRow(step.as, record, place);
    const select = this.#select(step.as, record, inside);
    // n.b. what is joined is not locked along: the row is found first, then taken by its key.
    const tables = from();
    const isJoined = tables.includes(' JOIN ');
    const orderBy =
      order.length === 0 && isKeyed(step.where, record)
        ? ''
        : `ORDER BY ${[...order, ...key.filter((text) => !order.includes(text))].join(', ')} `;
    const lock = isLocked ? ' FOR UPDATE' : '';
    const lines =
      isLocked && isJoined
        ? this.#findThenTake(step.as, record, { tables, where, orderBy, place })
        : [...select, `FROM ${tables}`, `${where.trimStart()}${where === '' ? '' : ' '}${orderBy}LIMIT 1${lock};`];
    const missing =
      step.message === undefined
        ? []
        : when(`NOT is_there_${step.as}`, signal(step.message, { error: 'not_found', formulas, place }));
    return [this.#forget(step.as, record), ...lines, ...missing];
  }

  /** A lock that the checker found to be needed: the row of the record that stands for a set. */
  #lockAdded(
    record: CheckedRecord,
    {
      inside,
      from,
      where,
    }: { readonly inside: Place & { readonly own: RowRef }; readonly from: () => string; readonly where: string },
  ): readonly string[] {
    const [key = 'id'] = record.key;
    const field = this.#formulas.read(inside.own, this.#formulas.fieldOf(record, key), inside);
    return [`SELECT ${field} INTO v_locked FROM ${from()}${where} LIMIT 1 FOR UPDATE;`];
  }

  #findThenTake(
    as: string,
    record: CheckedRecord,
    {
      tables,
      where,
      orderBy,
      place,
    }: { readonly tables: string; readonly where: string; readonly orderBy: string; readonly place: Place },
  ): readonly string[] {
    const alias = tables.split(' AS ')[1]?.split(' ')[0] ?? '';
    const found = record.key.map((name) => `${alias}.${quote(name)}`);
    const variables = record.key.map((name) => `${as}__${name}`);
    return [
      `SELECT ${found.join(', ')} INTO ${variables.join(', ')}`,
      `FROM ${tables}`,
      `${where.trimStart()} ${orderBy}LIMIT 1 FOR UPDATE;`,
      ...this.#reread(as, record, place),
    ];
  }

  /** The row as it is now, with what triggers, defaults and totals made of it. */
  #reread(as: string, record: CheckedRecord, place: Place): readonly string[] {
    const own: RowRef = { kind: 'alias', alias: 'target', record, isRaw: false };
    return [
      ...this.#select(as, record, { ...place, own, row: () => own }),
      `FROM ${this.#formulas.name(record.name)} AS target WHERE ${this.#keyIs(as, record, 'target')} FOR UPDATE;`,
    ];
  }

  #keyIs(as: string, record: CheckedRecord, alias: string): string {
    return this.#formulas.keyIs(record, alias, this.#keyOf(as));
  }

  #keyOf(as: string): (name: string) => string {
    return (name) => (name === 'tenant' ? this.#formulas.tenant : `${as}__${name}`);
  }

  #insert(step: Step<'insert'>, place: Place): readonly string[] {
    const formulas = this.#formulas;
    const record = formulas.record(step.record);
    const given = new Map(step.set.map(({ name, value }) => [name, formulas.value(value, place)] as const));
    const isUuid = record.keyKind === 'uuid';
    // n.b. whether it may be there is asked of the record itself.
    const as = step.as ?? (isLookedAt(record) ? `new_${record.name}` : undefined);
    if (as !== undefined) this.#declareRow(as, record, place);
    const columns = storedFields(record, formulas).flatMap((field): readonly (readonly [string, string])[] => {
      const value = given.get(field.name) ?? startValue(field, formulas, place);
      if (value !== undefined) return [[field.name, value]];
      return isUuid && field.origin === 'key' ? [[field.name, as === undefined ? 'UUID()' : `${as}__id`]] : [];
    });
    const insert = [
      listed(
        `INSERT INTO ${formulas.name(record.name)} (`,
        columns.map(([name]) => quote(name)),
        ')',
      ).replace('( ', '('),
      listed(
        'VALUES (',
        columns.map(([, value]) => value),
        ')',
      ).replace('( ', '('),
    ];
    const values = new Map(columns);
    const before = [...tenantLines(record, formulas), ...endedLines(record, (name) => values.get(name), formulas)];
    const keep = as === undefined ? [] : this.#keepKey(as, record, values);
    const start = [...before, ...(isUuid && as !== undefined ? [`SET ${as}__id = UUID();`] : [])];
    if (step.onDuplicate === 'update')
      return [...start, ...this.#insertOrUpdate(step, { as, record, insert, keep, values, place })];
    const whole = [...insert.slice(0, 1), `${insert[1] ?? ''};`];
    if (step.onDuplicate === 'skip') {
      const flag = as === undefined ? 'BEGIN END' : `SET is_there_${as} = FALSE`;
      return [
        ...(as === undefined ? [] : [this.#forget(as, record)]),
        ...start,
        'BEGIN',
        `  DECLARE CONTINUE HANDLER FOR 1062 ${flag};`,
        ...(as === undefined ? [] : [`  SET is_there_${as} = TRUE;`]),
        ...indent(whole),
        'END;',
        ...(as === undefined
          ? []
          : when(`is_there_${as}`, [...keep, ...this.#reread(as, record, place), ...this.#mustHold(as, record)])),
      ];
    }
    const again = as === undefined ? [] : [...this.#reread(as, record, place), ...this.#mustHold(as, record)];
    return [...start, ...whole, ...keep, ...again];
  }

  /** The key of what was just added. */
  #keepKey(as: string, record: CheckedRecord, values: ReadonlyMap<string, string>): readonly string[] {
    return record.key.flatMap((name) => {
      if (record.keyKind === 'auto') return [`SET ${as}__${name} = LAST_INSERT_ID();`];
      return record.keyKind === 'uuid' ? [] : [`SET ${as}__${name} = ${values.get(name) ?? 'NULL'};`];
    });
  }

  /** Stored totals of rows that are held in variables, after a write of their children. */
  #totalsAfter(child: string): readonly string[] {
    return [...this.rows].flatMap(([as, { record }]) => {
      const totals = record.fields.filter(
        ({ name, rollup }) => rollup?.child === child && this.#needed?.has(`${as}__${name}`) === true,
      );
      if (totals.length === 0) return [];
      const columns = totals.map(({ name }) => `target.${quote(name)}`);
      const into = totals.map(({ name }) => `${as}__${name}`);
      return [
        `SELECT ${columns.join(', ')} INTO ${into.join(', ')} FROM ${this.#formulas.name(record.name)} AS target WHERE ${this.#keyIs(as, record, 'target')} FOR UPDATE;`,
      ];
    });
  }

  #insertOrUpdate(
    step: Step<'insert'>,
    made: {
      readonly as: string | undefined;
      readonly record: CheckedRecord;
      readonly insert: readonly string[];
      readonly keep: readonly string[];
      readonly values: ReadonlyMap<string, string>;
      readonly place: Place;
    },
  ): readonly string[] {
    const { record, insert, keep, place } = made;
    const formulas = this.#formulas;
    const isPlain =
      !record.fields.some(({ numbering }) => numbering !== undefined) &&
      record.keyKind !== 'uuid' &&
      (record.keyKind !== 'fields' || record.unique.length === 0) &&
      record.expires === undefined &&
      !isLookedAt(record);
    const reads = step.update.some(({ value }, index) =>
      step.update.slice(0, index).some(({ name }) => JSON.stringify(value).includes(`"field":"${name}"`)),
    );
    if (!isPlain || reads) return this.#insertThenUpdate(step, made);
    const { as } = made;
    const table = formulas.name(record.name);
    const own: RowRef = { kind: 'alias', alias: table, record, isRaw: true };
    const inside: Place = {
      ...place,
      own,
      row: (name) => (name === 'this' || name === record.name ? own : place.row(name)),
    };
    const set = [
      ...(record.keyKind === 'auto' ? [`${quote('id')} = LAST_INSERT_ID(${table}.${quote('id')})`] : []),
      ...step.update.map(({ name, value }) => `${quote(name)} = ${formulas.value(value, inside)}`),
      ...touched(record, table),
    ];
    const again = as === undefined ? [] : [...this.#reread(as, record, place), ...this.#mustHold(as, record)];
    return [...insert, listed('ON DUPLICATE KEY UPDATE', set, ';'), ...keep, ...again];
  }

  /** Where one statement cannot do both: it is added, or, where it is there already, found by what it has in common and changed. */
  #insertThenUpdate(
    step: Step<'insert'>,
    {
      as: named,
      record,
      insert,
      keep: kept,
      values,
      place,
    }: {
      readonly as: string | undefined;
      readonly record: CheckedRecord;
      readonly insert: readonly string[];
      readonly keep: readonly string[];
      readonly values: ReadonlyMap<string, string>;
      readonly place: Place;
    },
  ): readonly string[] {
    const formulas = this.#formulas;
    const as = named ?? `new_${record.name}`;
    this.#declareRow(as, record, place);
    const keep = named === undefined ? this.#keepKey(as, record, values) : kept;
    const flag = `is_twice_${as}`;
    this.#declare(flag, 'BOOLEAN DEFAULT FALSE', place);
    const target = { kind: 'alias', alias: 'target', record, isRaw: false } as const;
    const key = record.key.map((name) => `target.${quote(name)}`).join(', ');
    const rules = [
      ...(record.keyKind === 'fields' ? [formulas.keyIs(record, 'target', (name) => values.get(name) ?? 'NULL')] : []),
      ...record.unique.map((unique) => {
        const fresh: RowRef = { kind: 'values', values, record };
        const at = (own: RowRef): Place => ({ ...place, own, row: (name) => (name === 'this' ? own : undefined) });
        const same = unique.fields.map(
          (field) => `${formulas.value(field, at(target))} = ${formulas.value(field, at(fresh))}`,
        );
        const tenant = record.spec.per_tenant === true ? [`target.${quote('tenant')} = ${formulas.tenant}`] : [];
        const counts = unique.when === undefined ? [] : [formulas.truth(unique.when, at(target))];
        return [...tenant, ...same, ...counts, ...formulas.isThere(target, place)].join(' AND ');
      }),
    ];
    const find = rules.flatMap((isIt) =>
      when(`NOT is_there_${as}`, [
        `SELECT TRUE, ${key} INTO is_there_${as}, ${record.key.map((name) => `${as}__${name}`).join(', ')}`,
        `FROM ${formulas.name(record.name)} AS target WHERE ${isIt} LIMIT 1 FOR UPDATE;`,
      ]),
    );
    const same: Place = {
      ...place,
      row: (name) => (name === 'this' ? { kind: 'variables', name: as, record } : place.row(name)),
    };
    return [
      `SET ${flag} = FALSE;`,
      'BEGIN',
      `  DECLARE CONTINUE HANDLER FOR 1062 SET ${flag} = TRUE;`,
      ...indent([...insert.slice(0, -1), `${insert.at(-1) ?? ''};`]),
      'END;',
      `IF ${flag} THEN`,
      ...indent([
        this.#forget(as, record),
        ...find,
        ...this.#reread(as, record, place),
        ...this.#change({ row: as, record, set: step.update }, same),
      ]),
      'ELSE',
      ...indent([...keep, ...this.#reread(as, record, place), ...this.#mustHold(as, record)]),
      'END IF;',
    ];
  }

  #update(step: Step<'update'>, place: Place): readonly string[] {
    const row = this.rows.get(step.row);
    if (row === undefined) return [this.#formulas.refuse(place, `an update of ${step.row}`)];
    return this.#change(step, place);
  }

  #change(
    {
      row,
      record: of,
      set: given,
    }: { readonly row: string; readonly record: CheckedRecord | string; readonly set: readonly NamedFormula[] },
    place: Place,
  ): readonly string[] {
    const formulas = this.#formulas;
    const record = typeof of === 'string' ? formulas.record(of) : of;
    const expiring = record.expires?.set ?? [];
    // Bare names on the right are fields of the stored record. Where one would be read after it was set, the row as it was read
    // stands for it: it is locked, so its variables hold what is stored.
    const written = (own: RowRef): readonly { readonly name: string; readonly text: string }[] => {
      const inside: Place = {
        ...place,
        own,
        row: (name) => (name === 'this' || name === record.name || name === row ? own : place.row(name)),
      };
      return given.map(({ name, value }) => ({ name, text: formulas.value(value, inside) }));
    };
    const variables: RowRef = { kind: 'variables', name: row, record };
    const ordered =
      expiring.length > 0
        ? undefined
        : inReadingOrder(written({ kind: 'alias', alias: 'target', record, isRaw: true }), 'target');
    const set = (ordered ?? written(variables)).map(({ name, text }) => `target.${quote(name)} = ${text}`);
    const beside = expiring
      .filter(({ name }) => !given.some((each) => each.name === name))
      .map(({ name }) => `target.${quote(name)} = ${formulas.read(variables, formulas.fieldOf(record, name), place)}`);
    const all = [...set, ...beside, ...touched(record, 'target')];
    return [
      ...this.#mayWrite(row, record),
      `UPDATE ${formulas.name(record.name)} AS target`,
      listed('SET', all),
      `WHERE ${this.#keyIs(row, record, 'target')};`,
      ...(this.#isReadLater(row, record, given) ? this.#reread(row, record, place) : []),
      ...this.#mustHold(row, record, 'update'),
    ];
  }

  /** Whether an update has changed what later steps read of the row. n.b. what ends by itself is written down along with it. */
  #isReadLater(row: string, record: CheckedRecord, given: readonly NamedFormula[]): boolean {
    const fields = storedFields(record, this.#formulas).filter(
      ({ name, origin }) =>
        record.expires?.set?.some((each) => each.name === name) === true ||
        origin === 'version' ||
        origin === 'timestamps' ||
        given.some((each) => each.name === name),
    );
    const home = this.#homes.get(row) ?? [];
    this.#changed.push({
      row,
      at: this.#formulas.fetched.length,
      loops: this.#openLoops.filter((loop) => !home.includes(loop)),
      fields: fields.map(({ name }) => name),
    });
    // n.b. by a key that is another the row is found in what follows.
    if (fields.some(({ name }) => record.key.includes(name))) return true;
    return this.#readLater?.[this.#changed.length - 1] ?? true;
  }

  /** Rows that fit, as one statement can find and change them; undefined: other tables are needed, or the same one twice. */
  #fitting(record: CheckedRecord, where: Formula, place: Place): Fitting | undefined {
    const found = this.#formulas.source(record, { where, around: place });
    const tables = found.from();
    if (tables.includes(' JOIN ') || found.where.includes('SELECT') || isLookedAt(record)) return undefined;
    return { inside: found.inside, where: found.where.trimStart(), alias: tables.split(' AS ')[1] ?? '' };
  }

  /** One by one, what one statement cannot change. */
  #eachFitting(
    { record: name, where }: { readonly record: string; readonly where: Formula },
    place: Place,
    change: (as: string, record: CheckedRecord) => readonly string[],
  ): readonly string[] {
    const formulas = this.#formulas;
    const record = formulas.record(name);
    const as = `each_${name}`;
    const { inside, from, where: text } = formulas.source(record, { where, around: { ...place, aliases: new Set() } });
    const key = record.key.map((each) => `${(inside.own as { readonly alias: string }).alias}.${quote(each)}`);
    this.#declare(`position_${as}`, 'BIGINT DEFAULT 0', place);
    return this.#loop(as, {
      select: `SELECT ${key.join(', ')} FROM ${from()}${text} ORDER BY ${key.join(', ')} FOR UPDATE`,
      into: record.key.map((each) => `${as}__${each}`),
      body: this.#inLoop(() => {
        this.#declareRow(as, record, place);
        return [...this.#reread(as, record, place), ...change(as, record)];
      }),
      place,
    });
  }

  #updateWhere(step: Step<'update_where'>, place: Place): readonly string[] {
    const formulas = this.#formulas;
    const record = formulas.record(step.record);
    const one = (): readonly string[] =>
      this.#eachFitting(step, place, (as) => this.#change({ row: as, record, set: step.set }, place));
    const fitting = this.#fitting(record, step.where, place);
    if (fitting === undefined) return one();
    const { inside, where, alias } = fitting;
    const before = step.set.map(({ name }) => name);
    const beside = (record.expires?.set ?? []).filter(({ name }) => !before.includes(name));
    // n.b. MySQL sets one after the other, from the left: what reads a field comes before what sets it.
    const texts = [
      ...beside.map(({ name }) => ({ name, text: formulas.read(inside.own, formulas.fieldOf(record, name), inside) })),
      ...step.set.map(({ name, value }) => ({ name, text: formulas.value(value, inside) })),
    ];
    const ordered = inReadingOrder(texts, alias);
    if (ordered === undefined || texts.some(({ text }) => text.includes('SELECT'))) return one();
    const set = ordered.map(({ name, text }) => `${alias}.${quote(name)} = ${text}`);
    const all = [...set, ...touched(record, alias)];
    return [
      `UPDATE ${formulas.name(record.name)} AS ${alias}`,
      listed('SET', all, where === '' ? ';' : ''),
      ...(where === '' ? [] : [`${where};`]),
    ];
  }

  #delete(step: Step<'delete'>, place: Place): readonly string[] {
    const formulas = this.#formulas;
    const row = this.rows.get(step.row);
    if (row === undefined) return [formulas.refuse(place, `a deletion of ${step.row}`)];
    return [...this.#deleteRow(step.row, row.record), `SET is_there_${step.row} = FALSE;`];
  }

  /** What is seen to behind a write that neither a constraint nor a trigger can see to: who may, and the history. */
  #mustHold(as: string, record: CheckedRecord, kind: 'insert' | 'update' = 'insert'): readonly string[] {
    const isIt = this.#keyIs(as, record, 'target');
    return [...this.#mayWrite(as, record), ...historyLines(record, { isIt, kind }, this.#formulas)];
  }

  #mayWrite(as: string, record: CheckedRecord): readonly string[] {
    return writeAccessLines(record, this.#keyIs(as, record, 'target'), this.#formulas);
  }

  #deleteRow(as: string, record: CheckedRecord): readonly string[] {
    return [...this.#mayWrite(as, record), ...removeLines(record, this.#keyOf(as), this.#formulas)];
  }

  #deleteWhere(step: Step<'delete_where'>, place: Place): readonly string[] {
    const formulas = this.#formulas;
    const record = formulas.record(step.record);
    const fitting = this.#fitting(record, step.where, place);
    if (fitting === undefined || deleteWhere(record, 'TRUE', { formulas }).length > 1)
      return this.#eachFitting(step, place, (as) => this.#deleteRow(as, record));
    if (record.spec.soft_delete === true)
      return [
        `UPDATE ${formulas.name(record.name)} AS ${fitting.alias} SET ${fitting.alias}.${quote('deleted_at')} = v_now`,
        `${fitting.where};`,
      ];
    return [`DELETE FROM ${fitting.alias} USING ${formulas.name(record.name)} AS ${fitting.alias} ${fitting.where};`];
  }

  #eachItem(step: Step<'for_each_item'>, place: Place): readonly string[] {
    const formulas = this.#formulas;
    const { list, as, max } = step;
    this.#declare(`position_${as}`, 'BIGINT DEFAULT 0', place);
    if (list.node === 'call' && list.name === 'range') {
      const [from, to] = list.args;
      if (from === undefined || to === undefined) return [];
      this.#declare(`v_${as}`, 'BIGINT', place);
      this.#declare(`last_of_${as}`, 'BIGINT', place);
      const body = this.#inLoop(() => this.write(step.steps));
      const many = signal([`More than ${max} at once.`], { error: 'invalid', formulas, place });
      return [
        `SET v_${as} = ${formulas.write(from, place)}, last_of_${as} = ${formulas.write(to, place)}, position_${as} = 0;`,
        ...when(`last_of_${as} - v_${as} >= ${max}`, many),
        `WHILE v_${as} <= last_of_${as} DO`,
        `  SET position_${as} = position_${as} + 1;`,
        ...indent(body),
        `  SET v_${as} = v_${as} + 1;`,
        'END WHILE;',
      ];
    }
    const { type } = list;
    const json = formulas.write(list, place);
    const argument = place.path;
    const columns =
      type.kind === 'objects'
        ? type.columns.map((column) => ({
            made: itemColumn(column, formulas),
            variable: `${as}__${column.name}`,
            path: `$.${column.name}`,
            type: column.type,
          }))
        : type.kind === 'list'
          ? [
              {
                made: itemColumn(
                  {
                    name: as,
                    type: type.of,
                    spec: list.node === 'argument' ? this.#specOf(argument, list.name) : { max_length: 3_999 },
                  },
                  formulas,
                ),
                variable: `v_${as}`,
                path: '$',
                type: type.of,
              },
            ]
          : [];
    const known = columns.flatMap(({ made, ...rest }) => (made === undefined ? [] : [{ made, ...rest }]));
    if (known.length < columns.length) formulas.refuse(place, 'a loop over a list with columns of this type');
    for (const { variable, type: each } of known) this.#declareValue(variable, each, place);
    const read = known.map(
      ({ made, path }, index) => `${quote(`column_${index}`)} ${made.read} ${TEXT} PATH '${path}'`,
    );
    const values = known.map(({ made }, index) => made.convert(`item.${quote(`column_${index}`)}`));
    const body = this.#inLoop(() => this.write(step.steps));
    return this.#loop(as, {
      select: `SELECT item.item_position, ${values.join(', ')} FROM JSON_TABLE(${json}, '$[*]' COLUMNS (item_position FOR ORDINALITY, ${read.join(', ')})) AS item ORDER BY item.item_position`,
      into: [`position_${as}`, ...known.map(({ variable }) => variable)],
      body: [
        ...when(
          `position_${as} > ${max}`,
          signal([`More than ${max} at once.`], { error: 'invalid', formulas, place }),
        ),
        ...body,
      ],
      place,
    });
  }

  /** What the argument says of its items. */
  #specOf(path: string, name: string): object | undefined {
    const [, action = ''] = path.split('.');
    const found = this.#formulas.specification.actions.find((each) => each.name === action.replace(/\[.*$/, ''));
    return found?.args.find((arg) => arg.name === name)?.spec;
  }

  #eachRow(step: Step<'for_each_row'>, place: Place): readonly string[] {
    const formulas = this.#formulas;
    const record = formulas.record(step.record);
    const { as, max } = step;
    const { inside, from, where } = formulas.source(record, { where: step.where, around: place });
    const order = formulas.order(step.order, inside);
    const own = inside.own as RowRef & { readonly kind: 'alias' };
    const key = record.key.map((name) => `${own.alias}.${quote(name)}`);
    this.#declare(`position_${as}`, 'BIGINT DEFAULT 0', place);
    const whole = [...order, ...key.filter((text) => !order.includes(text))];
    const tables = from();
    const body = this.#inLoop(() => {
      this.#declareRow(as, record, place);
      return this.write(step.steps);
    });
    return this.#loop(as, {
      // n.b. opening the cursor locks all of them.
      select: `SELECT ${key.join(', ')} FROM ${tables}${where} ORDER BY ${whole.join(', ')} LIMIT ${max + 1} FOR UPDATE`,
      into: record.key.map((name) => `${as}__${name}`),
      body: [
        `SET position_${as} = position_${as} + 1;`,
        ...when(
          `position_${as} > ${max}`,
          signal([`More than ${max} ${words(record.name)} records at once.`], { error: 'conflict', formulas, place }),
        ),
        ...this.#reread(as, record, place),
        ...body,
      ],
      place,
    });
  }

  #loop(
    as: string,
    {
      select,
      into,
      body,
      place,
    }: {
      readonly select: string;
      readonly into: readonly string[];
      readonly body: readonly string[];
      readonly place: Place;
    },
  ): readonly string[] {
    this.#declare(`is_last_${as}`, 'BOOLEAN DEFAULT FALSE', place);
    return [
      'BEGIN',
      `  DECLARE all_${as} CURSOR FOR`,
      `    ${select};`,
      `  SET position_${as} = 0, is_last_${as} = FALSE;`,
      `  OPEN all_${as};`,
      `  each_${as}: LOOP`,
      '    BEGIN',
      `      DECLARE CONTINUE HANDLER FOR NOT FOUND SET is_last_${as} = TRUE;`,
      `      FETCH all_${as} INTO ${into.join(', ')};`,
      '    END;',
      ...indent(when(`is_last_${as}`, [`LEAVE each_${as};`]), 4),
      ...indent(body, 4),
      '  END LOOP;',
      `  CLOSE all_${as};`,
      'END;',
    ];
  }
}

/** An action with the names of its rows, values and items prefixed, and with values in place of its arguments. */
function renamed({ steps, returns }: CheckedAction, prefix: string): Pick<CheckedAction, 'steps' | 'returns'> {
  const names = new Set<string>();
  const collect = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const { as, op, values } = value as {
      readonly as?: string;
      readonly op?: string;
      readonly values?: readonly NamedFormula[];
    };
    if (op !== undefined && typeof as === 'string') names.add(as);
    if (op === 'let') for (const { name } of values ?? []) names.add(name);
    Object.values(value).forEach(collect);
  };
  collect(steps);
  const own = (name: unknown): unknown => (typeof name === 'string' && names.has(name) ? `${prefix}_${name}` : name);
  const map = (value: unknown, key?: string): unknown => {
    if (Array.isArray(value)) return value.map((item) => map(item, key));
    if (typeof value !== 'object' || value === null)
      return ['as', 'row', 'item', 'answer'].includes(key ?? '') ? own(value) : value;
    const part = value as { readonly node?: string; readonly name?: string; readonly op?: string };
    const entries = Object.entries(value)
      .filter(([each]) => each !== 'spec')
      .map(([each, inner]) => [each, each === 'type' ? inner : map(inner, each)] as const);
    const copy = Object.fromEntries(entries);
    if (part.node === 'argument_column') return { ...copy, list: `v_${prefix}_${part.name ?? ''}` };
    if (part.node === 'argument') return { ...copy, node: 'variable', name: `${prefix}_${part.name ?? ''}` };
    if (part.node === 'given') {
      const of = { node: 'variable', name: `${prefix}_${part.name ?? ''}`, type: { kind: 'text' }, nullable: true };
      return { node: 'is_null', of, not: true, type: { kind: 'boolean' }, nullable: false };
    }
    if (part.node === 'variable') return { ...copy, name: own(part.name) };
    if (part.op === 'let')
      return {
        ...copy,
        values: (copy['values'] as readonly NamedFormula[]).map((each) => ({ ...each, name: own(each.name) })),
      };
    return copy;
  };
  return map({ steps, returns }) as Pick<CheckedAction, 'steps' | 'returns'>;
}

/** Whether something must be seen to after each write of such a record. */
function isLookedAt(record: CheckedRecord): boolean {
  return record.rowAccess !== undefined || record.spec.history === true;
}

/** Whether a filter names the key, so that there is one at most. */
function isKeyed(where: Formula, record: CheckedRecord): boolean {
  const parts = where.node === 'and' ? where.of : [where];
  return record.key.every((name) =>
    parts.some(
      (part) =>
        part.node === 'compare' &&
        part.op === '=' &&
        [part.left, part.right].some(
          (side) => side.node === 'field' && side.row === record.name && side.path.length === 0 && side.field === name,
        ),
    ),
  );
}

export function actionRoutine(action: CheckedAction, formulas: MysqlFormulas): ActionRoutine {
  const path = `actions.${action.name}`;
  // Twice: once it is known which fields of which rows formulas read, only these are fetched.
  formulas.fetched.length = 0;
  const first = new Steps(path, formulas);
  writeAction(action, first, formulas);
  return writeAction(action, new Steps(path, formulas, first), formulas);
}

function writeAction(action: CheckedAction, steps: Steps, formulas: MysqlFormulas): ActionRoutine {
  const path = `actions.${action.name}`;
  const args = argumentsOf(action.args, path, formulas);
  const lines = steps.write(action.steps);
  const place: Place = { ...steps.place, aliases: new Set() };
  const returns = action.returns.map(({ name, value }) => {
    const made = declared(value, formulas);
    if (made === undefined) formulas.refuse({ path }, `an answer of type ${value.type.kind}`);
    const isLoose = value.nullable || value.node === 'field' || value.node === 'variable';
    const text = `${shown(formulas.value(value, place), value)} AS ${quote(name)}`;
    return { name, template: `${made?.template ?? 't.json()'}${isLoose ? '.optional()' : ''}`, text };
  });
  const rows = action.answers.map(({ name, record: of, row, optional }) => {
    const record = formulas.record(of);
    const columns = recordColumns(record, formulas).map((column) => ({
      name: `${name}__${column.name}`,
      field: column.name,
      template: optional ? column.template.replace(/(?:\.optional\(\))?$/, '.optional()') : column.template,
    }));
    const alias = quote(name);
    const isIt = formulas.keyIs(record, alias, (key) => (key === 'tenant' ? formulas.tenant : `${row}__${key}`));
    return {
      as: name,
      columns,
      isLoose: optional,
      alias,
      join: `LEFT JOIN ${shownFrom(record, { all: true }, formulas)} AS ${alias} ON ${isIt}`,
    };
  });
  const columns = [
    ...returns.map(({ text }) => text),
    ...rows.flatMap(({ alias, columns: own }) => own.map(({ name, field }) => `${alias}.${quote(field)} AS ${name}`)),
  ];
  // n.b. records are answered as readers see them at the end, with what triggers and totals made of them.
  const from = rows.length === 0 ? [] : ['FROM (SELECT 1 AS one) AS answer', ...rows.map(({ join }) => join)];
  const answer = columns.length === 0 ? [] : [listed('SELECT', columns), ...from];
  const routine = routineOf(
    {
      operation: action.name,
      about: action.spec.description,
      ...{ parameters: args.parameters, args: args.args, reads: false },
      declarations: [...steps.declarations].map(([name, type]) => `DECLARE ${name} ${type};`),
      body: [
        ...allowedLines(action.allowed, path, formulas),
        ...args.lines,
        ...lines,
        ...(answer.length === 0 ? [] : [`${answer.join('\n')};`]),
      ],
      answers: answer.length === 0 ? 'nothing' : 'row',
      columns: [...returns, ...rows.flatMap(({ columns: own }) => own)].map(({ name, template }) => ({
        name,
        template,
      })),
    },
    formulas,
  );
  return { routine, rows, returns: returns.map(({ name, template }) => ({ name, template })) };
}
