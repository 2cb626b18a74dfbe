import { z } from 'zod';

/**
 * The document in which a domain is described: `domain.json`. This file is its only definition. The types, the check of its
 * form, the JSON Schema for editors and models, the reference page and the prompt are made of it.
 *
 * One shape for each type of field and each step, told apart by `type` and `op`; lists of named things and never open maps,
 * because strict structured output has none and a key that is given twice vanishes. What computes is a short text, a
 * formula, which `parse-formula.ts` reads.
 */

export const NAME_PATTERN = /^[a-z][a-z0-9_]{0,29}$/;
const DOMAIN_PATTERN = /^[a-z][a-z0-9-]{0,29}$/;

const name = (description: string): z.ZodString => z.string().regex(NAME_PATTERN).describe(description);
const sentence = (description: string): z.ZodString => z.string().min(1).max(500).describe(description);
const formula = (description: string): z.ZodString => z.string().min(1).max(1000).describe(`Formula. ${description}`);
const flag = (description: string): z.ZodExactOptional<z.ZodBoolean> =>
  z.boolean().exactOptional().describe(description);
const names = (description: string): z.ZodArray<z.ZodString> =>
  z.array(z.string().regex(NAME_PATTERN)).min(1).max(16).describe(description);
const assignments = (description: string): z.ZodArray<z.ZodString> =>
  z.array(z.string().min(1).max(1000)).min(1).max(60).describe(`${description} Each item is "name = formula".`);
const order = (description: string): z.ZodArray<z.ZodString> =>
  z
    .array(z.string().min(1).max(500))
    .min(1)
    .max(8)
    .describe(`${description} Each item is a formula, with " desc" behind it for descending.`);

/** A value in example calls and reference rows. n.b. a decimal is a text: JSON numbers lose digits. */
export type Value = string | number | boolean | null | readonly Value[] | { readonly fields: readonly NamedValue[] };
export interface NamedValue {
  readonly name: string;
  readonly value: Value;
}

const value: z.ZodType<Value> = z
  .lazy(() =>
    z.union([
      z.string().max(2000),
      z.number(),
      z.boolean(),
      z.null(),
      z.array(value).max(200),
      z.strictObject({ fields: namedValues('The fields of an item of a list.') }),
    ]),
  )
  .meta({
    id: 'value',
    description:
      'Text, number, true, false, null, a list of values, or {"fields": […]} for an item of a list of objects. Decimals, dates and times are texts: "12.50", "2026-01-31", "~now+2h".',
  });
const namedValue: z.ZodType<NamedValue> = z
  .strictObject({ name: name('Name of the field or argument.'), value })
  .meta({ id: 'named_value', description: 'A value and what it is for.' });
function namedValues(description: string): z.ZodType<readonly NamedValue[]> {
  return z.array(namedValue).max(60).describe(description);
}

/* Fields */

const optional = flag('True where the value may be absent (null). Without it every record has a value.');
const number = {
  min: formula('Least value that is allowed.').exactOptional(),
  max: formula('Greatest value that is allowed.').exactOptional(),
  unit: z
    .string()
    .min(1)
    .max(20)
    .exactOptional()
    .describe('Unit of the number: CHF, kg, min, %. Two units are never added.'),
};
const multipleOf = formula('The value is a multiple of this.').exactOptional();
const maxItems = z
  .int()
  .min(1)
  .max(1000)
  .exactOptional()
  .describe('Makes the field a list of at most this many values. Without it the field has one value.');
const text = {
  type: z.literal('text').describe('Characters.'),
  max_length: z.int().min(1).max(100_000).exactOptional().describe('Most characters. Default 200.'),
  mask: z
    .string()
    .min(1)
    .max(60)
    .exactOptional()
    .describe(
      'Form of the text, character by character: d is a digit, A a capital letter, everything else itself: "dddd-dd".',
    ),
  letter_case: z
    .enum(['lower', 'upper'])
    .exactOptional()
    .describe(
      'Letters are stored in this case, so that Anna@x.ch and anna@X.ch are the same. For e-mail addresses, plates, codes.',
    ),
  max_items: maxItems,
};
const integer = {
  type: z.literal('integer').describe('A whole number.'),
  ...number,
  multiple_of: multipleOf,
  max_items: maxItems,
};
const decimal = {
  type: z.literal('decimal').describe('An exact number, for money and quantities. A text in JSON: "12.50".'),
  precision: z.int().min(1).max(30).describe('Digits in all, those after the point included.'),
  scale: z.int().min(0).max(10).describe('Digits after the point.'),
  ...number,
  multiple_of: multipleOf,
  max_items: maxItems,
};
const float = {
  type: z.literal('float').describe('A measured number that need not be exact. Never for money.'),
  ...number,
};
const boolean = { type: z.literal('boolean').describe('true or false.') };
const date = {
  type: z.literal('date').describe('A day of the calendar: "2026-01-31".'),
  min: formula('First day that is allowed.').exactOptional(),
  max: formula('Last day that is allowed.').exactOptional(),
  max_items: maxItems,
};
const time = { type: z.literal('time').describe('A time of day without a date: "18:30".') };
const timestamp = {
  type: z.literal('timestamp').describe('A moment. In JSON with its zone: "2026-01-31T18:30:00Z".'),
  min: formula('First moment that is allowed.').exactOptional(),
  max: formula('Last moment that is allowed.').exactOptional(),
};
const enumeration = {
  type: z.literal('enum').describe('One of a list of words.'),
  values: z
    .array(z.string().min(1).max(40))
    .min(1)
    .max(60)
    .describe('The words. Their order here is their order in comparisons and lists.'),
  max_items: maxItems,
};
const reference = {
  type: z.literal('reference').describe('The key of a record of another type, or of the same type.'),
  references: name('Name of the type of record.'),
  max_items: maxItems,
};
const point = { type: z.literal('point').describe('A place on the earth: {"lat": 47.1, "lon": 8.5}.') };
const json = {
  type: z.literal('json').describe('Free data that no rule looks into. A text holding JSON in examples.'),
};

/** What an argument of a query or an action has beside its type. */
const ofArgument = {
  name: name('Name of the argument; formulas write it with a colon before it, :name.'),
  description: sentence('What the argument is, in one sentence.'),
  optional: flag('True where callers may leave the argument out. Formulas ask for it with given(:name).'),
  default: formula('What an absent argument counts as.').exactOptional(),
};
/** What a column of a list of objects has beside its type. */
const ofColumn = {
  name: name('Name of the column.'),
  description: sentence('What the column is, in one sentence.'),
  optional,
};
const shapesOf = <Own extends z.core.$ZodShape>(own: Own, kind: string) =>
  [
    z.strictObject({ ...own, ...text }).meta({ id: `${kind}_text` }),
    z.strictObject({ ...own, ...integer }).meta({ id: `${kind}_integer` }),
    z.strictObject({ ...own, ...decimal }).meta({ id: `${kind}_decimal` }),
    z.strictObject({ ...own, ...float }).meta({ id: `${kind}_float` }),
    z.strictObject({ ...own, ...boolean }).meta({ id: `${kind}_boolean` }),
    z.strictObject({ ...own, ...date }).meta({ id: `${kind}_date` }),
    z.strictObject({ ...own, ...time }).meta({ id: `${kind}_time` }),
    z.strictObject({ ...own, ...timestamp }).meta({ id: `${kind}_timestamp` }),
    z.strictObject({ ...own, ...enumeration }).meta({ id: `${kind}_enum` }),
    z.strictObject({ ...own, ...reference }).meta({ id: `${kind}_reference` }),
    z.strictObject({ ...own, ...point }).meta({ id: `${kind}_point` }),
    z.strictObject({ ...own, ...json }).meta({ id: `${kind}_json` }),
  ] as const;

const column = z
  .discriminatedUnion('type', shapesOf(ofColumn, 'column'))
  .meta({ id: 'column', description: 'A column of a list of objects.' });
const list = {
  type: z.literal('list').describe('A list of objects, all with the same columns.'),
  columns: z.array(column).min(1).max(30).describe('The columns of each object.'),
  min_items: z.int().min(0).max(1000).exactOptional().describe('Fewest objects. Default 0.'),
  max_items: z.int().min(1).max(1000).describe('Most objects.'),
};
const argument = z
  .discriminatedUnion('type', [
    ...shapesOf(ofArgument, 'argument'),
    z.strictObject({ ...ofArgument, ...list }).meta({ id: 'argument_list' }),
  ])
  .meta({ id: 'argument', description: 'An argument of a query or an action.' });

const rollup = z
  .strictObject({
    function: z.enum(['sum', 'count', 'min', 'max']).describe('What is kept.'),
    child: name('The type of record that is summed or counted.'),
    value: formula('What is summed: a formula over the child. Absent for count.').exactOptional(),
    via: name('The reference field of the child that names this record.'),
    when: formula('Only children for which this is true count.').exactOptional(),
  })
  .meta({
    id: 'rollup',
    description: 'A stored total over children, kept exact by every write of a child. Nothing else sets the field.',
  });
const numbering = z
  .strictObject({
    per: z
      .array(z.string().min(1).max(200))
      .max(4)
      .describe(
        'Formulas over this record: each combination of their values counts from 1. [] counts through all. "year(day)" starts again each year.',
      ),
    gapless: z.boolean().describe('True where no number may ever be missing, as the law asks for invoices.'),
  })
  .meta({ id: 'numbering', description: 'The field is the next number. Nothing else sets it.' });

/** What a field of a record has beside its type. */
const ofField = {
  name: name('Name of the field, in English.'),
  description: sentence('What the field is, in one sentence.'),
  was: z.string().min(1).max(64).exactOptional().describe('The name before a rename, or the name in an older system.'),
  optional,
  default: formula('The value where a new record gives none. May use @user, @now and @today.').exactOptional(),
  write_once: flag('True where the value is given at creation and never changed afterwards, by nothing.'),
  managed: flag(
    'True where only actions change the value: update does not take it, and create only where it is not optional.',
  ),
  computed: formula(
    'The value is not stored but computed on reading, from other fields of the record.',
  ).exactOptional(),
};
const ofNumber = { rollup: rollup.exactOptional() };
const field = z
  .discriminatedUnion('type', [
    z.strictObject({ ...ofField, ...text }).meta({ id: 'field_text' }),
    z
      .strictObject({ ...ofField, ...integer, ...ofNumber, numbering: numbering.exactOptional() })
      .meta({ id: 'field_integer' }),
    z.strictObject({ ...ofField, ...decimal, ...ofNumber }).meta({ id: 'field_decimal' }),
    z.strictObject({ ...ofField, ...float }).meta({ id: 'field_float' }),
    z.strictObject({ ...ofField, ...boolean }).meta({ id: 'field_boolean' }),
    z.strictObject({ ...ofField, ...date, ...ofNumber }).meta({ id: 'field_date' }),
    z.strictObject({ ...ofField, ...time }).meta({ id: 'field_time' }),
    z.strictObject({ ...ofField, ...timestamp, ...ofNumber }).meta({ id: 'field_timestamp' }),
    z.strictObject({ ...ofField, ...enumeration }).meta({ id: 'field_enum' }),
    z
      .strictObject({
        ...ofField,
        ...reference,
        on_delete: z
          .enum(['restrict', 'cascade', 'set_null'])
          .exactOptional()
          .describe(
            'When the record that is named is deleted: restrict refuses that, cascade deletes this one too, set_null clears the field. Default restrict.',
          ),
      })
      .meta({ id: 'field_reference' }),
    z.strictObject({ ...ofField, ...point }).meta({ id: 'field_point' }),
    z.strictObject({ ...ofField, ...json }).meta({ id: 'field_json' }),
    z.strictObject({ ...ofField, ...list }).meta({ id: 'field_list' }),
  ])
  .meta({ id: 'field', description: 'A field of a record. `type` says which other properties it has.' });

/* Records */

const rule = z
  .strictObject({
    rule: formula('True for everything that is allowed.'),
    message: sentence('What the caller is told when it is not true. {name} stands for a value.'),
  })
  .meta({ id: 'rule', description: 'A rule, and what is said when it is broken.' });

const record = z
  .strictObject({
    name: name('Name of the type of record, in English, in the singular.'),
    description: sentence('What one record is, in one sentence.'),
    was: z
      .string()
      .min(1)
      .max(64)
      .exactOptional()
      .describe('The name before a rename, or the name in an older system.'),
    key: z
      .union([z.enum(['auto', 'uuid']), names('Fields of the record that name it; a caller gives them.')])
      .describe(
        '"auto": a number that the database gives, in a field id. "uuid": a random id. Or fields, only where the brief says that they name the record for ever.',
      ),
    part_of: name(
      'The type of record inside which this one lives: deleted with it, stored with it, with a field of its name. Its key needs to be unique inside that record only.',
    ).exactOptional(),
    per_tenant: flag(
      'True where each organisation has records of its own: gives the field tenant, filters every read and write by @tenant, widens unique rules and binds references to the same tenant.',
    ),
    fields: z.array(field).min(1).max(80).describe('The fields, the most important first.'),
    unique: z
      .array(
        z
          .strictObject({
            fields: z
              .array(z.string().min(1).max(200))
              .min(1)
              .max(8)
              .describe('Field names or formulas over the record.'),
            when: formula('Only records for which this is true must differ.').exactOptional(),
            message: sentence(
              'What the caller is told. Default: a sentence with the names of the fields.',
            ).exactOptional(),
          })
          .meta({ id: 'unique' }),
      )
      .max(20)
      .exactOptional()
      .describe('Combinations that no two records share.'),
    rules: z
      .array(rule)
      .max(40)
      .exactOptional()
      .describe('Rules on one record, tested on the new state at every write, whoever writes.'),
    states: z
      .strictObject({
        field: name('An enum field of this record. New records have its first state.'),
        start: z.string().min(1).max(40).describe('The state of a new record.'),
        moves: z
          .array(
            z
              .strictObject({
                from: z.string().min(1).max(40).describe('A state.'),
                to: z.array(z.string().min(1).max(40)).min(1).max(30).describe('The states that may follow it.'),
              })
              .meta({ id: 'move' }),
          )
          .min(1)
          .max(60)
          .describe(
            'What may follow what. A state that is no `from` is final. Writing the state that a record has already is no move and is allowed.',
          ),
      })
      .meta({ id: 'states' })
      .exactOptional()
      .describe('The life of a record, where not every change of a state is allowed.'),
    no_overlap: z
      .array(
        z
          .strictObject({
            per: names('Reference or other fields: records that agree in them must not overlap.'),
            start: name('Field with the start of the span, which belongs to it.'),
            end: name('Field with the end of the span, which does not belong to it. Absent means for ever.'),
            when: formula('Only records for which this is true count.').exactOptional(),
            max_at_once: formula('As many may overlap. Default 1.').exactOptional(),
            message: sentence(
              'What the caller is told. Default: a sentence with the names of the fields.',
            ).exactOptional(),
          })
          .meta({ id: 'no_overlap' }),
      )
      .max(8)
      .exactOptional()
      .describe('Spans of time that must not overlap.'),
    expires: z
      .strictObject({
        when: formula('Records for which this is true expire.'),
        at: formula('The moment or the day from which on the record counts as changed.'),
        set: assignments('What the record then counts as.').exactOptional(),
        delete: flag('True where the record then counts as deleted. Give either set or delete.'),
      })
      .meta({ id: 'expires' })
      .exactOptional()
      .describe(
        'What ends by itself: every reader sees the new state from that moment on, without a job. A sweep writes it later.',
      ),
    row_access: z
      .strictObject({
        read: formula(
          'Who sees the record: uses @user, @tenant, has_role(name) and its fields. Everybody else does not find it.',
        ),
        write: formula('Who changes it. Tested on the record before and after the change.'),
      })
      .meta({ id: 'row_access' })
      .exactOptional()
      .describe('Who may see and change which records. Only where the brief asks for it.'),
    immutable_when: formula(
      'While this is true for the stored record, nothing changes or deletes it. "true": never.',
    ).exactOptional(),
    soft_delete: flag('True where deleted records stay stored and hidden.'),
    version: flag('True where update needs the version that was read, so that of two editors the second is told.'),
    history: flag('True where every change is kept with who, when and the values, in <record>_history.'),
    timestamps: flag('True for fields created_at, created_by, changed_at and changed_by.'),
    operations: z
      .array(z.enum(['create', 'update', 'delete']))
      .max(3)
      .describe(
        'Which standard operations callers have beside fetch and list, which every record has. [] where all writes are actions. A write that an action guards by checks is not in this list.',
      ),
    rows: z
      .array(z.strictObject({ values: namedValues('The values of the row.') }).meta({ id: 'row' }))
      .max(300)
      .exactOptional()
      .describe('Reference data that is there from the start.'),
  })
  .meta({ id: 'record', description: 'A type of record.' });

/* Queries */

const query = z
  .strictObject({
    name: name('Name of the operation.'),
    description: sentence('What it answers, in one sentence.'),
    was: z.string().min(1).max(64).exactOptional().describe('The name before a rename.'),
    args: z.array(argument).max(30).exactOptional().describe('Arguments.'),
    allowed: formula(
      'Who may ask: uses @user, @tenant, has_role(name) and the arguments. Absent: everybody who reaches the domain.',
    ).exactOptional(),
    requires: z.array(rule).max(10).exactOptional().describe('Rules on the arguments.'),
    from: name('The type of record that is read.'),
    as: name('Its name in formulas. Default: the name of the type.').exactOptional(),
    joins: z
      .array(
        z
          .strictObject({
            record: name('The type of record that is joined.'),
            as: name('Its name in formulas.'),
            on: formula('Which records belong together.'),
            left: flag('True where a row stays when nothing belongs to it; the fields of the join are absent then.'),
          })
          .meta({ id: 'join' }),
      )
      .max(8)
      .exactOptional()
      .describe('Further types of record. A path such as order.customer.name needs no join.'),
    where: z
      .array(z.string().min(1).max(1000))
      .max(20)
      .exactOptional()
      .describe('Formulas that must all be true. An optional argument is written "not given(:zone) or zone = :zone".'),
    group_by: z
      .array(z.string().min(1).max(500))
      .min(1)
      .max(10)
      .exactOptional()
      .describe('Field names, or "name = formula", by which rows are joined into one.'),
    columns: z
      .array(z.string().min(1).max(1000))
      .min(1)
      .max(60)
      .describe(
        'What the answer has: field names, or "name = formula". With group_by every column is one of its items or a total: count(), sum(price).',
      ),
    having: formula('Which rows of the answer stay; sees the columns, totals and windows too.').exactOptional(),
    top: z
      .strictObject({
        count: formula('How many rows of each group.'),
        per: z.array(z.string().min(1).max(200)).max(6).describe('Column names: each combination is a group.'),
        order_by: order('Which come first.'),
      })
      .meta({ id: 'top' })
      .exactOptional()
      .describe('The first rows of each group only.'),
    order_by: order('Order of the rows. The key is added, so that it is always definite.').exactOptional(),
    limit: formula('Most rows. Default 1000.').exactOptional(),
    single: flag(
      'True where the answer is one row and not a list. Without a row: not found, but totals without group_by always have one.',
    ),
    paged: flag('True where callers page through the answer.'),
  })
  .meta({ id: 'query', description: 'A named read.' });

/* Actions */

const checkStep = z
  .strictObject({
    op: z.literal('check').describe('Refuses the whole action where a rule is not true.'),
    rule: formula('True where the action may go on.'),
    message: sentence('What the caller is told otherwise. {name} stands for a value.'),
    error: z
      .enum(['invalid', 'conflict', 'forbidden', 'not_found'])
      .exactOptional()
      .describe(
        'Class of the error. invalid: the arguments are wrong; conflict: the stored state does not allow it. Default invalid.',
      ),
  })
  .meta({ id: 'step_check' });
const readStep = z
  .strictObject({
    op: z
      .enum(['read_for_update', 'read'])
      .describe(
        'read_for_update reads one record and locks it to the end of the action; read does not lock, so nothing may be decided by it that must still hold at the end.',
      ),
    record: name('The type of record.'),
    as: name('Its name in the following steps.'),
    where: formula('Which one. Bare names are fields of the record.'),
    order_by: order('Which one of several: the first.').exactOptional(),
    message: sentence(
      'What the caller is told where there is none (not found). Without it the name is null then, and the steps ask "x is null".',
    ).exactOptional(),
  })
  .meta({ id: 'step_read' });
const letStep = z
  .strictObject({
    op: z.literal('let').describe('Computes values and names them.'),
    values: assignments('The values; a later one may use an earlier one, and a name may be given again.'),
  })
  .meta({ id: 'step_let' });
const insertStep = z
  .strictObject({
    op: z.literal('insert').describe('Adds a record.'),
    record: name('The type of record.'),
    set: assignments('Its values. Fields that are not named get their default.'),
    as: name('Its name in the following steps.').exactOptional(),
    on_duplicate: z
      .enum(['skip', 'update'])
      .exactOptional()
      .describe(
        'Where a record with the same key or unique fields exists: skip leaves it (and `as` is null), update changes it as `update` says. Default: conflict.',
      ),
    update: assignments(
      'What is changed with on_duplicate "update". Bare names on the right are fields of the stored record.',
    ).exactOptional(),
  })
  .meta({ id: 'step_insert' });
const updateStep = z
  .strictObject({
    op: z.literal('update').describe('Changes one record that was read for update or inserted.'),
    row: name('The name that it has in this action. Afterwards the name stands for the new state.'),
    set: assignments('The new values. Bare names on the right are fields of the stored record.'),
  })
  .meta({ id: 'step_update' });
const updateWhereStep = z
  .strictObject({
    op: z.literal('update_where').describe('Changes all records that fit.'),
    record: name('The type of record.'),
    where: formula('Which ones. Bare names are fields of the record.'),
    set: assignments('The new values.'),
  })
  .meta({ id: 'step_update_where' });
const deleteStep = z
  .strictObject({
    op: z.literal('delete').describe('Deletes one record that was read for update.'),
    row: name('The name that it has in this action.'),
  })
  .meta({ id: 'step_delete' });
const deleteWhereStep = z
  .strictObject({
    op: z.literal('delete_where').describe('Deletes all records that fit.'),
    record: name('The type of record.'),
    where: formula('Which ones. Bare names are fields of the record.'),
  })
  .meta({ id: 'step_delete_where' });
const lockStep = z
  .strictObject({
    op: z
      .literal('lock')
      .describe(
        'Lets one action at a time decide over all records of a type. For rules over a whole set that no single record stands for.',
      ),
    record: name('The type of record.'),
  })
  .meta({ id: 'step_lock' });
const callStep = z
  .strictObject({
    op: z.literal('call').describe('Runs another action of this domain as part of this one.'),
    action: name('Name of the action.'),
    arguments: assignments('Its arguments.').exactOptional(),
    as: name('Name of its answer in the following steps.').exactOptional(),
  })
  .meta({ id: 'step_call' });

const eachItemFields = {
  op: z.literal('for_each_item').describe('Runs steps for each item of a list.'),
  list: formula('A list argument, such as :lines, or range(1, 4).'),
  as: name('The item in the steps. position(name) is its place, from 1.'),
  max: z.int().min(1).max(1000).describe('Most items.'),
};
const eachRowFields = {
  op: z.literal('for_each_row').describe('Runs steps for each stored record that fits; all of them are locked first.'),
  record: name('The type of record.'),
  where: formula('Which ones. Bare names are fields of the record.').exactOptional(),
  order_by: order('In which order.').exactOptional(),
  as: name('The record in the steps. position(name) is its place, from 1.'),
  max: z.int().min(1).max(10_000).describe('Most records. More are refused.'),
};
const ifFields = {
  op: z.literal('if').describe('Runs steps only where a condition is true.'),
  condition: formula('The condition.'),
};
type Own<Shape extends z.core.$ZodShape> = z.infer<z.ZodObject<Shape, z.core.$strict>>;
export type EachItemStep = Own<typeof eachItemFields> & { readonly steps: readonly Step[] };
export type EachRowStep = Own<typeof eachRowFields> & { readonly steps: readonly Step[] };
export type IfStep = Own<typeof ifFields> & { readonly then: readonly Step[]; readonly else?: readonly Step[] };
export type Step =
  | z.infer<typeof checkStep>
  | z.infer<typeof readStep>
  | z.infer<typeof letStep>
  | z.infer<typeof insertStep>
  | z.infer<typeof updateStep>
  | z.infer<typeof updateWhereStep>
  | z.infer<typeof deleteStep>
  | z.infer<typeof deleteWhereStep>
  | z.infer<typeof lockStep>
  | z.infer<typeof callStep>
  | EachItemStep
  | EachRowStep
  | IfStep;

const steps = (description: string): z.ZodType<readonly Step[]> =>
  z
    .array(z.lazy(() => step))
    .min(1)
    .max(60)
    .describe(description);
const step: z.ZodType<Step> = z
  .discriminatedUnion('op', [
    checkStep,
    readStep,
    letStep,
    insertStep,
    updateStep,
    updateWhereStep,
    deleteStep,
    deleteWhereStep,
    lockStep,
    callStep,
    z.strictObject({ ...eachItemFields, steps: steps('The steps.') }).meta({ id: 'step_for_each_item' }),
    z.strictObject({ ...eachRowFields, steps: steps('The steps.') }).meta({ id: 'step_for_each_row' }),
    z
      .strictObject({
        ...ifFields,
        then: steps('The steps where it is true.'),
        else: steps('The steps where it is not.').exactOptional(),
      })
      .meta({ id: 'step_if' }),
  ])
  .meta({ id: 'step', description: 'A step of an action. `op` says which other properties it has.' });

const action = z
  .strictObject({
    name: name('Name of the operation.'),
    description: sentence('What it does, in one sentence.'),
    was: z.string().min(1).max(64).exactOptional().describe('The name before a rename.'),
    args: z.array(argument).max(30).describe('Arguments.'),
    allowed: formula(
      'Who may call it: uses @user, @tenant, has_role(name) and the arguments. Absent: everybody who reaches the domain.',
    ).exactOptional(),
    steps: steps('What happens, all or nothing.'),
    returns: assignments('What the answer has beside the records that were added and changed.').exactOptional(),
  })
  .meta({ id: 'action', description: 'A named write: steps that happen together or not at all.' });

/* Examples */

const call = z
  .strictObject({
    operation: z.string().min(1).max(64).describe('Name of the operation: create, place_create, hold.'),
    arguments: namedValues('Arguments. "@A" is the key of what the call with as "A" made.'),
    as: z.string().min(1).max(20).exactOptional().describe('Name of what it made, for later calls.'),
    user: z
      .strictObject({
        id: z.string().min(1).max(60).describe('The user, @user.'),
        tenant: z.string().min(1).max(60).exactOptional().describe('The organisation of the user, @tenant.'),
        roles: z.array(z.string().min(1).max(60)).max(10).exactOptional().describe('Roles of the user, for has_role.'),
      })
      .meta({ id: 'caller' })
      .exactOptional()
      .describe('Who calls.'),
  })
  .meta({ id: 'call', description: 'A call of an operation.' });
const expectation = z
  .discriminatedUnion('outcome', [
    z
      .strictObject({
        outcome: z.literal('ok').describe('The call succeeds.'),
        values: namedValues('Values that the answer has; others are ignored.').exactOptional(),
      })
      .meta({ id: 'expect_ok' }),
    z
      .strictObject({
        outcome: z.literal('error').describe('The call is refused.'),
        error: z.enum(['invalid', 'conflict', 'forbidden', 'not_found']).describe('Class of the error.'),
      })
      .meta({ id: 'expect_error' }),
    z
      .strictObject({
        outcome: z.literal('rows').describe('The call answers rows.'),
        count: z.int().min(0).max(1000).exactOptional().describe('How many.'),
        rows: z
          .array(
            z
              .strictObject({ values: namedValues('Values of the row; others are ignored.') })
              .meta({ id: 'expected_row' }),
          )
          .max(50)
          .exactOptional()
          .describe('The first rows, in this order.'),
      })
      .meta({ id: 'expect_rows' }),
  ])
  .meta({ id: 'expectation', description: 'What comes out.' });
const example = z
  .strictObject({
    description: sentence('What the example shows.'),
    given: z.array(call).max(30).describe('Calls before it that succeed.'),
    pass: z
      .string()
      .regex(/^\d{1,5}(min|h|d)$/)
      .exactOptional()
      .describe('Time that passes before the call: "16min", "3h", "2d".'),
    call,
    expect: expectation,
  })
  .meta({ id: 'example', description: 'An example: it is run on a scratch database and must come out as it says.' });

export const specificationSchema = z
  .strictObject({
    beds: z.literal(1).describe('Version of this language.'),
    domain: z.string().regex(DOMAIN_PATTERN).describe('Name of the domain: a-z, 0-9 and hyphens.'),
    description: sentence('What the domain is for, in one sentence.'),
    store: name('Name of the store in the configuration of BEDS. "main" unless the brief says another.'),
    revision: z
      .int()
      .min(1)
      .max(9999)
      .exactOptional()
      .describe('Number of this version of the document. Tools count it: leave it as it is.'),
    zone: z.string().min(1).max(60).describe('Time zone by IANA, in which @today and days are meant: "Europe/Zurich".'),
    records: z
      .array(record)
      .min(1)
      .max(60)
      .describe(
        'The types of record, the main one first. Its standard operations are create, fetch, list, update, delete; those of the others have the name of the record before them: place_create.',
      ),
    queries: z
      .array(query)
      .max(80)
      .exactOptional()
      .describe('Reads beside the standard list: joins, totals, rankings.'),
    actions: z
      .array(action)
      .max(80)
      .exactOptional()
      .describe('Writes that change several records, or that are guarded by more than rules on one record.'),
    examples: z
      .array(example)
      .max(60)
      .exactOptional()
      .describe('Examples, of what must work and of what must be refused.'),
    covers: z
      .array(
        z
          .strictObject({
            sentence: z.int().min(1).max(200).describe('Number of the sentence in the brief.'),
            paths: z
              .array(z.string().min(1).max(200))
              .max(12)
              .describe(
                'What keeps it: "records.booking.no_overlap", "actions.pay". [] where a question or an assumption answers it.',
              ),
          })
          .meta({ id: 'cover' }),
      )
      .max(200)
      .exactOptional()
      .describe('Which sentence of the brief is kept by what, where the brief comes with numbered sentences.'),
    assumptions: z
      .array(sentence('A decision that the brief leaves open, as you took it.'))
      .max(40)
      .describe('Decisions that the brief leaves open.'),
    questions: z
      .array(sentence('A question to the person who wrote the brief.'))
      .max(20)
      .describe('What the brief contradicts itself in, or leaves out and nobody can guess.'),
  })
  .meta({ id: 'specification', title: 'BEDS domain specification', description: 'A data domain of BEDS.' });

export type Specification = z.infer<typeof specificationSchema>;
export type RecordSpec = z.infer<typeof record>;
export type FieldSpec = z.infer<typeof field>;
export type ArgumentSpec = z.infer<typeof argument>;
export type ColumnSpec = z.infer<typeof column>;
export type RuleSpec = z.infer<typeof rule>;
export type QuerySpec = z.infer<typeof query>;
export type ActionSpec = z.infer<typeof action>;
export type ExampleSpec = z.infer<typeof example>;
export type CallSpec = z.infer<typeof call>;
