import type { z } from 'zod';
import { didYouMean } from '../nearest.js';
import type { Problem } from './checked.js';
import { UNSEEN } from './findings.js';
import { type Specification, specificationSchema } from './language.js';

/** The first look at a document: whether it has the form of a specification. Says what a model or a person most likely meant. */

/** Words of other languages for properties and types. */
const PROPERTY_SYNONYMS = synonyms({
  ...{
    about: 'description',
    comment: 'description',
    desc: 'description',
    nullable: 'optional',
    opt: 'optional',
    required: 'optional, the reverse',
  },
  ...{
    len: 'max_length',
    length: 'max_length',
    size: 'max_length',
    maxLength: 'max_length',
    regex: 'mask',
    pattern: 'mask',
    like: 'mask',
    fold: 'letter_case',
  },
  ...{
    of: 'values, references or child',
    to: 'references',
    ref: 'references',
    references_to: 'references',
    target: 'references',
    gone: 'on_delete',
    onDelete: 'on_delete',
  },
  ...{
    digits: 'precision and scale',
    decimals: 'scale',
    check: 'rules',
    checks: 'rules',
    constraints: 'rules',
    that: 'rule',
    else: 'message',
    may: 'allowed',
    permission: 'allowed',
  },
  ...{
    do: 'steps',
    give: 'returns',
    return: 'returns',
    apart: 'no_overlap',
    lapse: 'expires',
    keep: 'rollup',
    serial: 'numbering',
    rows_of: 'row_access',
    fixed: 'immutable_when',
  },
  ...{
    once: 'write_once',
    readonly: 'managed',
    plain: 'operations',
    part: 'part_of',
    parent: 'part_of',
    is: 'computed',
    formula: 'computed',
    soft: 'soft_delete',
    stamps: 'timestamps',
  },
  ...{
    cols: 'columns',
    select: 'columns',
    group: 'group_by',
    groupBy: 'group_by',
    join: 'joins',
    by: 'order_by',
    orderBy: 'order_by',
    sort: 'order_by',
    one: 'single',
    page: 'paged',
  },
  ...{
    arguments: 'args',
    params: 'args',
    parameters: 'args',
    primaryKey: 'key',
    primary_key: 'key',
    indexes: 'nothing: indexes are made for every filter and order',
  },
  ...{
    error_message: 'message',
    errorMessage: 'message',
    as_error: 'error',
    enum: 'values',
    options: 'values',
    many: 'max_items',
    items: 'columns',
    fields: 'columns',
    step: 'multiple_of',
  },
});
const TYPE_SYNONYMS = synonyms({
  ...{
    string: 'text',
    str: 'text',
    varchar: 'text',
    char: 'text',
    email: 'text with letter_case',
    url: 'text',
    uuid: 'text, or "key": "uuid" of the record',
  },
  ...{
    int: 'integer',
    bigint: 'integer',
    serial: 'integer with numbering',
    dec: 'decimal with precision and scale',
    numeric: 'decimal with precision and scale',
    money: 'decimal with precision and scale',
  },
  ...{
    num: 'float',
    number: 'integer, decimal or float',
    double: 'float',
    real: 'float',
    bool: 'boolean',
    datetime: 'timestamp',
    timestamptz: 'timestamp',
  },
  ...{
    ref: 'reference',
    fk: 'reference',
    foreign_key: 'reference',
    location: 'point',
    geo: 'point',
    array: 'list, or any type with max_items',
    object: 'list or json',
    jsonb: 'json',
    blob: 'text',
  },
});
const OP_SYNONYMS = synonyms({
  ...{
    get: 'read_for_update',
    find: 'read_for_update',
    select: 'read',
    look: 'read',
    fetch: 'read_for_update',
    add: 'insert',
    create: 'insert',
    set: 'update or update_where',
  },
  ...{
    drop: 'delete or delete_where',
    remove: 'delete or delete_where',
    each: 'for_each_item or for_each_row',
    for_each: 'for_each_item or for_each_row',
    foreach: 'for_each_item or for_each_row',
    loop: 'for_each_item or for_each_row',
  },
  ...{
    when: 'if',
    assert: 'check',
    require: 'check',
    fail: 'check',
    raise: 'check',
    return: 'returns of the action',
    upsert: 'insert with on_duplicate "update"',
  },
});

/** n.b. a map: a document may call something `constructor`. */
function synonyms(words: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(Object.entries(words));
}

/** Steps inside of steps, and lists inside of lists: nobody reads more, and no reader of JSON gets to its end. */
const MOST_LEVELS = 60;

export type Formed =
  | { readonly ok: true; readonly specification: Specification }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Reads a document. A property that is null counts as absent: strict structured output cannot leave one out. */
export function checkForm(document: unknown): Formed {
  if (
    typeof document === 'object' &&
    document !== null &&
    !('beds' in document) &&
    ('$schema' in document || '$defs' in document || 'properties' in document)
  ) {
    const message = 'this is the JSON Schema, not a document that follows it.';
    const example = '{"beds": 1, "domain": "songs", …}';
    return { ok: false, problems: [{ path: '', code: 'schema-echo', message, example, severity: 'error' }] };
  }
  if (isTooDeep(document)) {
    const message = `goes more than ${String(MOST_LEVELS)} levels deep.`;
    const example = 'an action of its own for the inner steps, and {"op": "call", …}';
    return { ok: false, problems: [{ path: '', code: 'form', message, example, severity: 'error' }] };
  }
  const result = specificationSchema.safeParse(withoutNulls(document));
  if (result.success) return { ok: true, specification: result.data };
  return { ok: false, problems: result.error.issues.flatMap((issue) => problemsOf(issue, document)) };
}

/** n.b. without recursion: that is what it keeps others from. */
function isTooDeep(document: unknown): boolean {
  let level: readonly unknown[] = [document];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MOST_LEVELS) return true;
    level = level.flatMap((value) =>
      typeof value === 'object' && value !== null ? (Object.values(value) as unknown[]) : [],
    );
  }
  return false;
}

/** n.b. the value of an argument in an example may be null, and stays. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => (item === null ? null : withoutNulls(item)));
  if (typeof value !== 'object' || value === null) return value;
  const isNamedValue = 'name' in value && 'value' in value && Object.keys(value).length === 2;
  const entries = Object.entries(value).filter(([key, inner]) => inner !== null || (isNamedValue && key === 'value'));
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutNulls(inner)]));
}

type Issue = z.core.$ZodIssue;

function problemsOf(issue: Issue, document: unknown): readonly Problem[] {
  const path = namedPath(issue.path, document);
  const found = valueAt(document, issue.path);
  const problem = (
    message: string,
    extra: { readonly known?: readonly string[]; readonly example?: string } = {},
  ): Problem => ({ path, code: 'form', message, ...extra, severity: 'error' });
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(document, issue.path);
    return issue.keys.map((key) => {
      const synonym = PROPERTY_SYNONYMS.get(key);
      const meant = synonym === undefined ? didYouMean(key, known) : ` It is ${synonym} here.`;
      return problem(`there is no property ${word(key)} here.${meant}`, known.length === 0 ? {} : { known });
    });
  }
  if (issue.code === 'invalid_union' && issue.discriminator !== undefined) {
    const options = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
    const given = typeof found === 'string' ? found : undefined;
    if (given === undefined)
      return [
        problem(`${issue.discriminator} is missing: it says what this is.`, {
          known: options,
          example: `"${issue.discriminator}": "${options[0] ?? ''}"`,
        }),
      ];
    const first = /^[a-z_]+/i.exec(given.toLowerCase())?.[0] ?? given;
    const synonym =
      issue.discriminator === 'op'
        ? OP_SYNONYMS.get(first)
        : (TYPE_SYNONYMS.get(first) ??
          (options.includes(first)
            ? `${first} with properties of its own, such as "precision": 10, "scale": 2`
            : undefined));
    const meant = synonym === undefined ? didYouMean(given, options) : ` You mean ${synonym}.`;
    return [problem(`'${word(given)}' is none of ${options.join(', ')}.${meant}`, { known: options })];
  }
  if (issue.code === 'invalid_union') {
    const branches = issue.errors.filter((branch) => branch.length > 0);
    const best = branches.toSorted((a, b) => depth(b) - depth(a))[0];
    if (best !== undefined && depth(best) > 0)
      return best.flatMap((inner) => problemsOf({ ...inner, path: [...issue.path, ...inner.path] }, document));
    return [
      problem(
        `${shown(found)} does not fit here.`,
        path.endsWith('.key') ? { example: '"key": "auto", or "key": ["code"]' } : {},
      ),
    ];
  }
  if (issue.code === 'invalid_type' && found === undefined) return [problem('is missing.', exampleOf(issue.path))];
  if (issue.code === 'invalid_type') {
    const isText = issue.expected === 'string' && (typeof found === 'number' || typeof found === 'boolean');
    return [
      problem(
        `${shown(found)} where ${wordFor(issue.expected)} is wanted.`,
        isText ? { example: `"${String(found)}"` } : exampleOf(issue.path),
      ),
    ];
  }
  if (issue.code === 'invalid_value') {
    const values = issue.values.map(String);
    return [
      problem(
        `${shown(found)} is none of ${values.join(', ')}.${typeof found === 'string' ? didYouMean(found, values) : ''}`,
        { known: values },
      ),
    ];
  }
  if (issue.code === 'invalid_format' && issue.format === 'regex') {
    if (path.endsWith('.pass'))
      return [problem(`${shown(found)} is no span of time.`, { example: '"16min", "3h", "2d"' })];
    return [
      problem(
        `${shown(found)} is no name here: small letters a-z, digits and _, at most 30, beginning with a letter. Names are English; keep another name in "was".`,
        { example: nameLike(found) },
      ),
    ];
  }
  return [problem(`${shown(found)}: ${issue.message}.`)];
}

function depth(issues: readonly { readonly path: readonly PropertyKey[] }[]): number {
  return Math.max(0, ...issues.map(({ path }) => path.length));
}

function nameLike(found: unknown): string {
  const plain = String(found)
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .replaceAll('ß', 'ss')
    .replaceAll(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
  return (
    plain
      .replaceAll(/[^a-z0-9]+/g, '_')
      .replaceAll(/^[^a-z]+|_$/g, '')
      .slice(0, 30) || 'name'
  );
}

function wordFor(expected: string): string {
  return (
    {
      string: 'a text',
      array: 'a list',
      object: 'an object',
      int: 'a whole number',
      number: 'a number',
      boolean: 'true or false',
    }[expected] ?? expected
  );
}

function exampleOf(path: readonly PropertyKey[]): { readonly example?: string } {
  const examples: Readonly<Record<string, string>> = {
    beds: '"beds": 1',
    scale: '"scale": 2',
    precision: '"precision": 12',
    values: '"values": ["open", "closed"]',
    references: '"references": "customer"',
    operations: '"operations": ["create", "update", "delete"]',
    message: '"message": "The seat is taken."',
    rows: '[{"values": [{"name": "code", "value": "A"}]}]',
    arguments: '[{"name": "code", "value": "A"}]',
    columns: '"columns": ["code", "total = sum(price)"]',
    moves: '[{"from": "open", "to": ["closed"]}]',
    key: '"key": "auto"',
    max_items: '"max_items": 20',
    questions: '"questions": []',
    assumptions: '"assumptions": []',
  };
  const example = examples[String(path.findLast((key) => typeof key === 'string'))];
  return example === undefined ? {} : { example };
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) return 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** What somebody calls something: in short, and as JSON where a part of it is not seen. */
function word(name: string): string {
  return name.length > 60 || UNSEEN.test(name) ? shown(name) : name;
}

/** n.b. a path is shown as it is: what could not be a name, in whatever language, has no place in one. */
function isWord(name: string): boolean {
  return /^[\p{L}\p{N}\p{M}_$ -]{1,60}$/u.test(name);
}

function valueAt(document: unknown, path: readonly PropertyKey[]): unknown {
  let value = document;
  for (const key of path) value = (value as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[key];
  return value;
}

/** `records[0].fields[2]` by names: `records.place.fields.price`. */
function namedPath(path: readonly PropertyKey[], document: unknown): string {
  let value: unknown = document;
  let text = '';
  for (const key of path) {
    value = (value as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[key];
    const name =
      typeof value === 'object' &&
      value !== null &&
      'name' in value &&
      typeof value.name === 'string' &&
      isWord(value.name)
        ? value.name
        : undefined;
    if (typeof key !== 'number') text += `${text === '' ? '' : '.'}${String(key)}`;
    else text += name === undefined ? `[${String(key)}]` : `.${name}`;
  }
  return text;
}

interface Shape {
  readonly _zod: {
    readonly def: {
      readonly type: string;
      readonly shape?: Readonly<Record<string, Shape>>;
      readonly element?: Shape;
      readonly innerType?: Shape;
      readonly options?: readonly Shape[];
      readonly discriminator?: string;
      readonly getter?: () => Shape;
      readonly values?: readonly unknown[];
    };
  };
}

/** The properties that the object at this path can have. */
function knownKeys(document: unknown, path: readonly PropertyKey[]): readonly string[] {
  let shape: Shape | undefined = specificationSchema;
  let value = document;
  shape = chosen(shape, value);
  for (const key of path) {
    value = (value as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[key];
    const { def } = shape?._zod ?? { def: { type: '' } };
    shape = chosen(typeof key === 'number' ? def.element : def.shape?.[String(key)], value);
  }
  return Object.keys(shape?._zod.def.shape ?? {});
}

function chosen(shape: Shape | undefined, value: unknown): Shape | undefined {
  if (shape === undefined) return undefined;
  const { def } = shape._zod;
  if (def.innerType !== undefined) return chosen(def.innerType, value);
  if (def.getter !== undefined) return chosen(def.getter(), value);
  if (def.options === undefined) return shape;
  const tag =
    def.discriminator === undefined
      ? undefined
      : (value as Readonly<Record<string, unknown>> | null | undefined)?.[def.discriminator];
  return def.options.find((option) => {
    const of = def.discriminator === undefined ? undefined : option._zod.def.shape?.[def.discriminator];
    const values = Object.values(
      (of?._zod.def as { readonly entries?: object; readonly values?: readonly unknown[] } | undefined)?.entries ??
        of?._zod.def.values ??
        [],
    );
    return values.includes(tag);
  });
}
