import type { Json } from '@beds/sdk';
import type { Caller, CheckedField, CheckedRecord, CheckedSpecification, Type } from '#sdk/spec';

/** Documents that are right, with every construct of the language somewhere, and calls of them: what two sides must agree about. */

/** A number from 0 to below 1, the same again for the same seed. */
export type Draw = () => number;

export function drawing(seed: number): Draw {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) % 2 ** 32;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Loose = Record<string, unknown> & { name: string };

const CALLERS: readonly Caller[] = [
  { id: 'anna', roles: ['boss'], tenant: 'north' },
  { id: 'ben', roles: [], tenant: 'north' },
  { id: 'cleo', roles: [], tenant: 'south' },
];

class Maker {
  readonly #draw: Draw;

  constructor(draw: Draw) {
    this.#draw = draw;
  }

  is(oneOf: number): boolean {
    return this.number(1, oneOf) === 1;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.number(0, items.length - 1)];
    if (item === undefined) throw new TypeError('nothing to pick from');
    return item;
  }

  number(from: number, to: number): number {
    return from + Math.floor(this.#draw() * (to - from + 1));
  }

  some<T>(items: readonly T[], oneOf = 2): readonly T[] {
    return items.filter(() => this.is(oneOf));
  }
}

/** Fields that a record may have, each with what formulas can say of it. */
function fieldsOf(maker: Maker): readonly Loose[] {
  const optional = (): object => (maker.is(3) ? { optional: true } : {});
  const all: readonly (() => Loose)[] = [
    () => ({
      name: 'amount',
      type: 'integer',
      ...optional(),
      ...(maker.is(2) ? { min: '0', max: '9' } : {}),
      ...(maker.is(4) ? { multiple_of: '3' } : {}),
      ...(maker.is(4) ? { default: '3' } : {}),
      ...(maker.is(6) ? { managed: true, optional: true } : {}),
    }),
    () => ({
      name: 'price',
      type: 'decimal',
      precision: 8,
      scale: 2,
      ...optional(),
      ...(maker.is(2) ? { min: '0' } : {}),
      ...(maker.is(3) ? { unit: 'CHF' } : {}),
    }),
    () => ({
      name: 'code',
      type: 'text',
      ...maker.pick<object>([{ max_length: 10, letter_case: 'upper' }, { mask: 'AAdd' }, { max_length: 5 }]),
      ...optional(),
      ...(maker.is(4) ? { write_once: true } : {}),
    }),
    () => ({ name: 'body', type: 'text', max_length: maker.pick([300, 2_000, 5_000]), optional: true }),
    () => ({ name: 'open', type: 'boolean', ...maker.pick<object>([{ default: 'true' }, { optional: true }]) }),
    () => ({ name: 'day', type: 'date', ...optional(), ...(maker.is(4) ? { default: '@today' } : {}) }),
    () => ({ name: 'hour_of_day', type: 'time', ...optional() }),
    () => ({ name: 'kind', type: 'enum', values: ['small', 'middle', 'big'], ...optional() }),
    () => ({ name: 'weight', type: 'float', optional: true }),
    () => ({ name: 'data', type: 'json', optional: true }),
    () => ({ name: 'spot', type: 'point', optional: true }),
    () => ({ name: 'tags', type: 'text', max_length: 10, max_items: 3, optional: true }),
    () => ({ name: 'position', type: 'integer', optional: true }),
  ];
  return maker.some(all).map((make) => make());
}

const has = (fields: readonly Loose[], name: string): boolean => fields.some((field) => field.name === name);

function computedOf(maker: Maker, fields: readonly Loose[]): readonly Loose[] {
  const known: readonly (readonly [string, Loose])[] = [
    ['title', { name: 'short', type: 'text', computed: "concat(substring(title, 1, 2), '.')" }],
    ['title', { name: 'address', type: 'text', computed: 'slug(title)', optional: true }],
    ['title', { name: 'length', type: 'integer', computed: 'len(trim(title))' }],
    ['amount', { name: 'double', type: 'integer', computed: 'amount * 2 + 1', optional: true }],
    ['amount', { name: 'size', type: 'enum', values: ['low', 'high'], computed: "if(amount > 3, 'high', 'low')" }],
    [
      'price',
      { name: 'tax', type: 'decimal', precision: 12, scale: 2, computed: 'round(price / 3, 2)', optional: true },
    ],
    ['day', { name: 'age', type: 'integer', computed: "months(day, '2026-11-30')", optional: true }],
    ['day', { name: 'work', type: 'integer', computed: "workdays(day, '2026-11-30')", optional: true }],
    ['day', { name: 'next_day', type: 'date', computed: 'day + 1 months + 2 days', optional: true }],
    ['day', { name: 'week', type: 'date', computed: "trunc(day, 'week')", optional: true }],
    ['data', { name: 'inner', type: 'text', computed: "text(data, 'a.b')", optional: true }],
    [
      'data',
      { name: 'count_in', type: 'decimal', precision: 20, scale: 10, computed: "number(data, 'n')", optional: true },
    ],
    ['spot', { name: 'far', type: 'boolean', computed: 'km(spot, spot) > 1' }],
    ['starts_at', { name: 'local_day', type: 'date', computed: 'date(starts_at)' }],
    ['owner', { name: 'mine', type: 'boolean', computed: 'owner = @user' }],
    ['tags', { name: 'tagged', type: 'boolean', computed: "has(tags, 'x')" }],
  ];
  const units = fields.some(({ unit }) => unit !== undefined) ? { unit: 'CHF' } : {};
  return maker
    .some(
      known.filter(([name]) => has(fields, name)),
      4,
    )
    .map(([, field]) => (field.name === 'tax' ? { ...field, ...units } : field));
}

const NAMES = ['house', 'room', 'guest', 'note'] as const;

// eslint-disable-next-line complexity -- each line draws one property, and none depends on many others
function recordOf(
  maker: Maker,
  index: number,
  { before, isTenant }: { readonly before: readonly Loose[]; readonly isTenant: boolean },
): Loose {
  const name = NAMES[index] ?? 'other';
  const keyOf = ({ key, part_of: parent }: Loose): string | undefined =>
    typeof key === 'string' ? 'id' : parent === undefined ? (key as readonly string[])[0] : undefined;
  const targets = before.filter((one) => keyOf(one) !== undefined);
  const parent = index > 0 && maker.is(4) && targets.length > 0 ? maker.pick(targets) : undefined;
  const key = maker.pick<unknown>(parent === undefined ? ['auto', 'auto', 'uuid', ['short_name']] : [['no'], 'auto']);
  const fields: Loose[] = [{ name: 'title', type: 'text', max_length: maker.pick([20, 200]) }];
  if (Array.isArray(key) && key[0] === 'short_name') fields.push({ name: 'short_name', type: 'text', max_length: 8 });
  if (Array.isArray(key) && key[0] === 'no') fields.push({ name: 'no', type: 'integer', min: '1' });
  for (const target of maker.some(targets)) {
    if (target === parent || has(fields, target.name)) continue;
    const isOptional = maker.is(2);
    fields.push({
      name: target.name,
      type: 'reference',
      references: target.name,
      ...(isOptional ? { optional: true } : {}),
      ...(maker.is(2) ? { on_delete: isOptional && maker.is(2) ? 'set_null' : 'cascade' } : {}),
    });
  }
  if (maker.is(8) && parent === undefined && typeof key === 'string')
    fields.push({ name: 'above', type: 'reference', references: name, optional: true });
  const isSpan = maker.is(3);
  if (isSpan)
    fields.push({ name: 'starts_at', type: 'timestamp' }, { name: 'ends_at', type: 'timestamp', optional: true });
  const isOwned = maker.is(3);
  if (isOwned) fields.push({ name: 'owner', type: 'text', max_length: 40, default: '@user', optional: true });
  const isStated = maker.is(3);
  if (isStated) fields.push({ name: 'state', type: 'enum', values: ['new', 'live', 'done'], managed: true });
  fields.push(...fieldsOf(maker).filter((field) => !has(fields, field.name)));
  const stored = [...fields];
  fields.push(...computedOf(maker, fields));
  const isPlain = (each: string): boolean => stored.some((field) => field.name === each && field['optional'] !== true);
  const unique: object[] = [
    ...(isPlain('code') ? [{ fields: ['code'] }] : []),
    ...(isPlain('amount') ? [{ fields: ['amount', 'lower(title)'] }] : []),
    { fields: ['title'], ...(isPlain('kind') ? { when: "kind != 'big'" } : {}) },
    ...(has(stored, 'day') ? [{ fields: ['month_of(day)'], when: 'day is not null' }] : []),
    ...(isSpan ? [{ fields: ['date(starts_at)', 'title'] }] : []),
  ];
  const rules: object[] = [
    ...(has(stored, 'amount') ? [{ rule: 'amount is null or amount != 5', message: 'Not {amount}.' }] : []),
    { rule: "title != 'bad'", message: 'A bad title.' },
    ...(has(stored, 'price') && has(stored, 'amount')
      ? [{ rule: 'price is null or amount is null or price < 100', message: 'Too dear.' }]
      : []),
    ...(isSpan ? [{ rule: 'ends_at is null or ends_at > starts_at', message: 'It ends before it begins.' }] : []),
  ];
  const per = stored.filter(({ type, name: each }) => type === 'reference' && each !== 'above').map((one) => one.name);
  const overlap =
    isSpan && maker.is(2)
      ? [
          {
            per: [per.length > 0 && maker.is(2) ? maker.pick(per) : 'title'],
            start: 'starts_at',
            end: 'ends_at',
            ...(maker.is(2) ? { max_at_once: '2' } : {}),
            ...(isStated && maker.is(2) ? { when: "state != 'done'" } : {}),
          },
        ]
      : [];
  const counted = before.some(({ fields: own }) =>
    (own as readonly Loose[]).some(({ rollup }) => (rollup as { child?: string } | undefined)?.child === name),
  );
  const expires =
    isSpan && !counted && maker.is(2)
      ? isStated && maker.is(2)
        ? { when: "state = 'new'", at: 'starts_at + 2 hours', set: ["state = 'done'"] }
        : { when: 'ends_at is not null', at: 'ends_at', delete: true }
      : undefined;
  return {
    name,
    description: `A ${name}`,
    key,
    ...(parent === undefined ? {} : { part_of: parent.name }),
    ...(isTenant ? { per_tenant: true } : {}),
    fields: fields.map((field) => ({ description: field.name, ...field })),
    ...(maker.is(2) ? { unique: maker.some(unique, 3) } : {}),
    ...(maker.is(2) ? { rules: maker.some(rules) } : {}),
    ...(isStated
      ? {
          states: {
            field: 'state',
            start: 'new',
            moves: [
              { from: 'new', to: ['live', 'done'] },
              { from: 'live', to: ['done'] },
            ],
          },
        }
      : {}),
    ...(overlap.length > 0 ? { no_overlap: overlap } : {}),
    ...(expires === undefined ? {} : { expires }),
    ...(isOwned && maker.is(2)
      ? { row_access: { read: "owner = @user or has_role('boss')", write: 'owner = @user' } }
      : {}),
    ...(has(stored, 'amount') && maker.is(5) ? { immutable_when: 'amount = 9' } : {}),
    ...(maker.is(4) ? { soft_delete: true } : {}),
    ...(maker.is(5) ? { version: true } : {}),
    ...(maker.is(5) ? { history: true } : {}),
    ...(maker.is(5) ? { timestamps: true } : {}),
    operations: ['create', 'update', 'delete'].filter((kind) => kind === 'create' || !maker.is(4)),
  };
}

/** Totals over children, kept or computed, once the children are known. */
function addTotals(maker: Maker, records: readonly Loose[]): void {
  for (const child of records) {
    for (const field of child['fields'] as readonly Loose[]) {
      if (field['type'] !== 'reference' || !maker.is(3)) continue;
      const parent = records.find(({ name }) => name === field['references']);
      if (parent === undefined) continue;
      const own = parent['fields'] as Loose[];
      const name = `${child.name}_count`;
      if (has(own, name)) continue;
      const key = typeof parent['key'] === 'string' ? 'id' : ((parent['key'] as readonly string[])[0] ?? 'id');
      const text = { name, description: name, type: 'integer' };
      const kind = maker.pick(['computed', 'computed all', 'sum', 'count']);
      if (kind.startsWith('computed'))
        own.push({
          ...text,
          computed: `count(${kind === 'computed' ? '' : 'all '}${child.name} where ${field.name} = this.${key})`,
        });
      else if (kind === 'sum' && has(child['fields'] as readonly Loose[], 'amount'))
        own.push({
          ...text,
          ...(maker.is(2) ? { optional: true } : {}),
          rollup: { function: 'sum', child: child.name, via: field.name, value: 'coalesce(amount, 0)' },
        });
      else own.push({ ...text, rollup: { function: 'count', child: child.name, via: field.name } });
    }
  }
}

function queriesOf(maker: Maker, records: readonly Loose[]): readonly object[] {
  return records.flatMap((record) => {
    const fields = record['fields'] as readonly Loose[];
    const shown = fields
      .filter(({ type }) => !['json', 'point', 'list'].includes(String(type)))
      .map(({ name }) => name);
    const filters = [
      ...(has(fields, 'amount') ? [{ arg: { name: 'least', type: 'integer' }, where: 'amount >= :least' }] : []),
      ...(has(fields, 'kind')
        ? [
            {
              arg: { name: 'from_kind', type: 'enum', values: ['small', 'middle', 'big'] },
              where: 'kind >= :from_kind',
            },
          ]
        : []),
      { arg: { name: 'words', type: 'text' }, where: 'match(:words, title)' },
      { arg: { name: 'part', type: 'text' }, where: 'contains(title, :part)' },
      ...(has(fields, 'spot') ? [{ arg: { name: 'near', type: 'point' }, where: 'km(spot, :near) < 200' }] : []),
    ];
    const chosen = maker.some(filters);
    const paths = fields
      .filter(({ type }) => type === 'reference')
      .map(({ name }) => `${name}_title = ${record.name}.${name}.title`);
    const found = {
      name: `find_${record.name}`,
      description: 'Finds them',
      args: chosen.map(({ arg }) => ({ description: arg.name, optional: true, ...arg })),
      from: record.name,
      where: chosen.map(({ arg, where }) => `not given(:${arg.name}) or ${where}`),
      columns: [...maker.some(shown), 'title', ...maker.some(paths)].filter((one, at, all) => all.indexOf(one) === at),
      order_by: [maker.pick(['title', 'title desc', 'len(title)'])],
      ...(maker.is(3) ? { paged: true } : {}),
    };
    const grouped = {
      name: `count_${record.name}`,
      description: 'Counts them',
      from: record.name,
      group_by: [maker.pick(['title', ...(has(fields, 'kind') ? ['kind'] : []), 'first = substring(title, 1, 1)'])],
      columns: ['many = count()', ...(has(fields, 'amount') ? ['sum = sum(amount)', 'least = min(amount)'] : [])],
    };
    const whole = {
      ...grouped,
      columns: [
        ...(grouped.group_by[0]?.startsWith('first') === true ? ['first'] : grouped.group_by),
        ...grouped.columns,
      ],
      order_by: ['many desc'],
    };
    const ranked = {
      name: `rank_${record.name}`,
      description: 'Ranks them',
      from: record.name,
      columns: [
        'title',
        'place = row_number() over (order by title)',
        'before = lag(title) over (order by title)',
        'recent = round(avg(len(title)) over (order by title rows 2 preceding), 2)',
      ],
      ...(maker.is(2) ? { top: { count: '2', per: [], order_by: ['title'] } } : {}),
      order_by: ['place'],
    };
    // n.b. what goes with another record is nothing to report of.
    const isLost = record['part_of'] !== undefined || fields.some((field) => field['on_delete'] === 'cascade');
    return maker.some(isLost ? [found] : [found, whole, ranked]);
  });
}

function actionsOf(maker: Maker, records: readonly Loose[]): readonly object[] {
  return records.flatMap((record) => {
    const fields = record['fields'] as readonly Loose[];
    if (record['part_of'] !== undefined) return [];
    const key = typeof record['key'] === 'string' ? 'id' : ((record['key'] as readonly string[])[0] ?? 'id');
    const arg = { name: 'it', description: 'Which', type: 'reference', references: record.name };
    const read = {
      op: 'read_for_update',
      record: record.name,
      as: 'r',
      where: `${key} = :it`,
      message: 'No such one.',
    };
    const rename = {
      name: `rename_${record.name}`,
      description: 'Renames it',
      args: [arg, { name: 'text', description: 'Text', type: 'text', max_length: 20 }],
      steps: [
        read,
        ...(maker.is(2) ? [{ op: 'let', values: ["longer = concat(r.title, ' ', :text)", 'size = len(longer)'] }] : []),
        { op: 'update', row: 'r', set: [maker.pick(['title = :text', "title = concat(substring(title, 1, 5), '-')"])] },
        ...(maker.is(3) ? [{ op: 'delete', row: 'r' }] : []),
      ],
      returns: ['was = :text'],
    };
    const move = {
      name: `end_${record.name}`,
      description: 'Ends it',
      args: [arg],
      steps: [
        read,
        { op: 'check', rule: "r.state != 'done'", message: 'It is {r.state}.', error: 'conflict' },
        { op: 'update', row: 'r', set: ["state = 'done'"] },
      ],
    };
    const needed = fields.filter(
      (field) =>
        field['optional'] !== true &&
        field['default'] === undefined &&
        field['computed'] === undefined &&
        field['rollup'] === undefined &&
        field.name !== 'state',
    );
    const values: Readonly<Record<string, string>> = {
      ...{
        title: ':text',
        amount: '6',
        price: '7.5',
        code: "'AB12'",
        day: '@today',
        kind: "'middle'",
        hour_of_day: "'10:30'",
      },
      ...{ starts_at: '@now + 1 hours', short_name: 'substring(:text, 1, 8)', no: '4' },
    };
    const isSimple = needed.every(({ name }) => values[name] !== undefined);
    const add = {
      name: `add_${record.name}`,
      description: 'Adds it',
      args: [{ name: 'text', description: 'Text', type: 'text', max_length: 20 }],
      steps: [
        {
          op: 'insert',
          record: record.name,
          as: 'n',
          set: needed.map(({ name }) => `${name} = ${values[name] ?? ''}`),
          ...(record['unique'] !== undefined || typeof record['key'] !== 'string'
            ? maker.pick<object>([
                {},
                { on_duplicate: 'skip' },
                { on_duplicate: 'update', update: ["title = concat(title, '+')"] },
              ])
            : {}),
        },
      ],
    };
    const all = {
      name: `shout_${record.name}`,
      description: 'All of them',
      args: [],
      steps: [
        maker.pick<object>([
          {
            op: 'update_where',
            record: record.name,
            where: "starts_with(title, 'a')",
            set: ["title = concat(title, '!')"],
          },
          {
            ...{
              op: 'for_each_row',
              record: record.name,
              where: "starts_with(title, 'a')",
              order_by: ['title'],
              as: 'a',
              max: 50,
            },
            steps: [{ op: 'update', row: 'a', set: ["title = concat(title, '?')"] }],
          },
          { op: 'delete_where', record: record.name, where: "title = 'a'" },
        ]),
      ],
    };
    return maker.some([rename, ...(has(fields, 'state') ? [move] : []), ...(isSimple ? [add] : []), all]);
  });
}

/** What nobody would write, but the language allows. n.b. not every draw is right: the checker says so. */
export function randomDocument(draw: Draw): unknown {
  const maker = new Maker(draw);
  const records: Loose[] = [];
  const isTenant = maker.is(4);
  for (let index = 0; index < maker.number(1, 3) + 1; index += 1)
    records.push(recordOf(maker, index, { before: records, isTenant }));
  addTotals(maker, records);
  return {
    beds: 1,
    domain: 'drawn',
    description: 'Drawn by lot.',
    store: 'main',
    zone: maker.pick(['UTC', 'Europe/Zurich']),
    records,
    queries: queriesOf(maker, records),
    actions: actionsOf(maker, records),
    assumptions: [],
    questions: [],
  };
}

/* Calls */

export interface DrawnCall {
  readonly operation: string;
  readonly user: Caller;
  /** Keys that the database gives are places in what was made so far. */
  readonly arguments: Readonly<Record<string, Json | MadeKey>>;
}

export class MadeKey {
  readonly record: string;
  readonly place: number;

  constructor(record: string, place: number) {
    this.record = record;
    this.place = place;
  }
}

const TEXTS = ['a', 'b', 'A', 'bad', 'swim lake', 'Zürich am See', 'a b', 'AB12', 'CD34'];

// eslint-disable-next-line complexity -- a case for each type
function valueOf(
  maker: Maker,
  { type, spec, name }: { readonly type: Type; readonly spec?: unknown; readonly name: string },
  records: readonly CheckedRecord[],
): Json | MadeKey {
  const { max_length: most, mask } = (spec ?? {}) as { readonly max_length?: number; readonly mask?: string };
  switch (type.kind) {
    case 'text':
      if (mask !== undefined) return maker.pick(['AB12', 'CD34', 'xx']);
      return maker.is(20) ? 'x'.repeat((most ?? 200) + 1) : maker.pick(TEXTS).slice(0, most ?? 200);
    case 'integer':
      return name === 'no' ? maker.number(1, 3) : maker.pick([0, 1, 3, 5, 6, 9, -1, 12]);
    case 'decimal':
      return maker.pick(['0.00', '1.50', '99.99', '100', '-1', '1.005', '1234567.00']);
    case 'float':
      return maker.pick([0, 1.5, -2.25]);
    case 'boolean':
      return maker.is(2);
    case 'date':
      return maker.pick(['2026-01-31', '2026-02-28', '2026-11-30', '2027-03-01']);
    case 'time':
      return maker.pick(['00:00', '10:30', '23:59']);
    case 'timestamp':
      return new Date(Math.floor(Date.now() / 3_600_000) * 3_600_000 + maker.number(-5, 5) * 3_600_000).toISOString();
    case 'enum':
      return maker.pick([...type.values]);
    case 'json':
      return maker.pick<Json>([{ a: { b: 'x' } }, { n: 3 }, { n: 'z', a: null }, {}, [1]]);
    case 'point':
      return maker.pick<Json>([
        { lat: 47.4, lon: 8.5 },
        { lat: 46.9, lon: 7.4 },
        { lat: -33, lon: 151 },
      ]);
    case 'list':
      return maker.pick<Json>([[], ['x'], ['x', 'y'], ['a', 'b', 'c', 'd']]);
    case 'reference': {
      const target = records.find((record) => record.name === type.record);
      const key = target?.fields.find((field) => field.name === target.key[0]);
      if (target === undefined || key === undefined) return null;
      if (target.keyKind === 'fields') return valueOf(maker, key, records);
      return new MadeKey(target.name, maker.number(0, 4));
    }
    default:
      return null;
  }
}

/** A call of any operation, with arguments that are of their types. */
export function randomCall(draw: Draw, { records, queries, actions }: CheckedSpecification): DrawnCall {
  const maker = new Maker(draw);
  const user = maker.pick(CALLERS);
  const record = maker.pick(records);
  const given = (
    args: readonly (Pick<CheckedField, 'name' | 'type'> & { readonly spec?: unknown; readonly optional: boolean })[],
  ): DrawnCall['arguments'] =>
    Object.fromEntries(
      args
        .filter(({ optional }) => !optional || maker.is(2))
        .map((arg) => [arg.name, valueOf(maker, arg, records)] as const),
    );
  const named = maker.number(0, 9);
  if (named < 3 && queries.length > 0) {
    const { name, args } = maker.pick(queries);
    return { operation: name, user, arguments: given(args) };
  }
  if (named < 5 && actions.length > 0) {
    const { name, args } = maker.pick(actions);
    return { operation: name, user, arguments: given(args) };
  }
  const wanted = maker.pick(['create', 'create', 'create', 'update', 'delete', 'fetch'] as const);
  const found = record.operations.find((one) => one.kind === wanted) ?? record.operations[0];
  const kind = found?.kind ?? 'create';
  const operation = found?.name ?? '';
  const keys = record.fields
    .filter(({ name }) => record.key.includes(name))
    .map((field) => ({
      ...field,
      type: field.origin === 'key' ? ({ kind: 'reference', record: record.name } as const) : field.type,
      optional: false,
    }));
  if (kind === 'create')
    return {
      operation,
      user,
      arguments: given(
        record.fields
          .filter(({ givenAtCreate }) => givenAtCreate)
          .map((field) => ({ ...field, optional: field.optional || field.default !== undefined })),
      ),
    };
  if (kind !== 'update') return { operation, user, arguments: given(keys) };
  const changed = record.fields
    .filter(({ givenAtUpdate }) => givenAtUpdate)
    .map((field) => ({ ...field, optional: true }));
  const version = record.fields
    .filter(({ origin }) => origin === 'version')
    .map((field) => ({ ...field, optional: false }));
  const cleared = maker.is(3)
    ? Object.fromEntries(
        maker
          .some(record.fields.filter((field) => field.givenAtUpdate && field.optional))
          .map(({ name }) => [name, null] as const),
      )
    : {};
  return { operation, user, arguments: { ...given(changed), ...cleared, ...given([...keys, ...version]) } };
}
