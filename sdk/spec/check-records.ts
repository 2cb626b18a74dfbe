import { didYouMean } from '../nearest.js';
import type {
  CheckedField,
  CheckedOverlap,
  CheckedRecord,
  CheckedRule,
  CheckedUnique,
  Formula,
  NamedFormula,
  StandardOperation,
  Type,
} from './checked.js';
import { computeFormula } from './compute.js';
import { Exact } from './exact.js';
import type { Findings } from './findings.js';
import { compareComputed, type Computed } from './functions.js';
import type { FieldSpec, RecordSpec, RuleSpec } from './language.js';
import { emptyScope, recordScope, type ShapedField, type ShapedRecord, type Shapes } from './shapes.js';
import { partsOf, type Scope, typeName, unitOf } from './type-formula.js';

/** A record before the rest of the document is known: without its indexes, anchors and rank. */
export type RecordDraft = Omit<CheckedRecord, 'indexes' | 'feeds' | 'anchors' | 'lockRank'>;

interface Context {
  readonly findings: Findings;
  readonly shapes: Shapes;
}

const CURRENCIES = ['CHF', 'EUR', 'USD', 'GBP', 'SEK', 'NOK', 'DKK', 'PLN', 'CZK', 'JPY', 'CAD', 'AUD', '€', '$', '£'];
const MONEY = /(?:^|_)(?:price|amount|total|balance|cost|fee|deposit|salary|fare|rent|tax|vat)(?:$|_)/;

/** The standard operations of a record, by the names that callers use. */
function standardOperations(spec: RecordSpec, isFirst: boolean): readonly StandardOperation[] {
  const kinds = ['create', 'update', 'delete'] as const;
  const written = kinds.filter((kind) => spec.operations.includes(kind));
  return [...written, 'fetch' as const, 'list' as const].map((kind) => ({
    kind,
    name: isFirst ? kind : `${spec.name}_${kind}`,
  }));
}

/** Values of an enum differ in more than letter case and spaces: databases take such texts for the same. */
export function checkWords(
  findings: Findings,
  path: string,
  spec: { readonly type: string; readonly values?: readonly string[] },
): void {
  if (spec.type !== 'enum') return;
  const plain = (spec.values ?? []).map((value) => value.normalize('NFKC').trim().toLowerCase());
  const values = spec.values ?? [];
  const twice = values.find((_, index) => plain.indexOf(plain[index] ?? '') !== index);
  if (twice !== undefined)
    findings.error(path, 'duplicate-name', { message: `'${twice}' is there twice, as databases compare texts.` });
  const spaced = values.find((value) => value !== value.trim());
  if (spaced !== undefined)
    findings.error(path, 'form', {
      message: `'${spaced}' begins or ends with a space.`,
      example: `'${spaced.trim()}'`,
    });
}

/** Bounds that nothing can keep, and a default that is refused wherever it is used. */
export function checkBounds(
  findings: Findings,
  path: string,
  { min, max, multipleOf, value }: Readonly<Record<'min' | 'max' | 'multipleOf' | 'value', Formula | undefined>>,
): void {
  const known = { min: constantOf(min), max: constantOf(max), step: constantOf(multipleOf), value: constantOf(value) };
  const isLess = (a: Computed | undefined, b: Computed | undefined): boolean =>
    a !== undefined && b !== undefined && compareComputed(a, b) < 0;
  if (isLess(known.max, known.min))
    findings.error(path, 'contradiction', { message: 'max is less than min: no value is allowed.' });
  if (isLess(known.value, known.min) || isLess(known.max, known.value))
    findings.error(`${path}.default`, 'contradiction', { message: 'the default is outside of min and max.' });
  if (known.step instanceof Exact && known.step.compare(Exact.of(0)) <= 0)
    findings.error(`${path}.multiple_of`, 'contradiction', { message: 'a multiple is of something greater than 0.' });
}

/** What a formula without clock and caller comes to; undefined where it depends on more. */
function constantOf(formula: Formula | undefined): Computed | undefined {
  const changing = ['now', 'today', 'caller', 'has_role', 'field', 'argument', 'given', 'set', 'variable'];
  if (formula === undefined || partsOf(formula).some(({ node }) => changing.includes(node))) return undefined;
  const value = computeFormula(formula, { zone: 'UTC', now: new Date(0) });
  return value === null || Array.isArray(value) ? undefined : value;
}

export function checkRecord(context: Context, spec: RecordSpec, isFirst: boolean): RecordDraft {
  const { shapes, findings } = context;
  const path = `records.${spec.name}`;
  const shape = shapes.get(spec.name);
  const scope = recordScope(shapes, spec.name, false);
  const fields = [...(shape?.fields.values() ?? [])].map((field) => checkField(context, spec, field));
  checkKey(context, spec, shape);
  checkTenant(context, spec);
  if (isFirst && (shape?.keys.length ?? 0) > 1) {
    findings.error(`${path}.key`, 'key', {
      message: `the first record of a domain is named by one value, because callers fetch it by one key; this one by ${(shape?.keys ?? []).join(' and ')} together.`,
      example: '"key": "auto" with a unique rule, or another record first',
    });
  }
  checkStates(findings, spec, shape);
  const condition = (name: string, text: string | undefined, of: Scope): Formula | undefined =>
    text === undefined ? undefined : findings.condition(`${path}.${name}`, text, of);
  const access = spec.row_access;
  const withSets = recordScope(shapes, spec.name, true);
  const read = condition('row_access.read', access?.read, withSets);
  const write = condition('row_access.write', access?.write, withSets);
  const immutableWhen = condition('immutable_when', spec.immutable_when, scope);
  const expires = checkExpiry(context, spec);
  return {
    spec,
    name: spec.name,
    fields,
    key: shape?.keys ?? [],
    keyKind: typeof spec.key === 'string' ? spec.key : 'fields',
    ...(spec.part_of === undefined ? {} : { parent: spec.part_of }),
    unique: (spec.unique ?? []).map((_, index) => checkUnique(context, spec, index)),
    rules: (spec.rules ?? []).flatMap((rule, index) => checkRule(context, spec, { rule, index })),
    ...(spec.states === undefined ? {} : { states: spec.states }),
    noOverlap: (spec.no_overlap ?? []).map((_, index) => checkOverlap(context, spec, index)),
    ...(expires === undefined ? {} : { expires }),
    ...(read === undefined || write === undefined ? {} : { rowAccess: { read, write } }),
    ...(immutableWhen === undefined ? {} : { immutableWhen }),
    operations: standardOperations(spec, isFirst),
  };
}

function checkKey({ findings, shapes }: Context, spec: RecordSpec, shape: ShapedRecord | undefined): void {
  const path = `records.${spec.name}`;
  if (spec.part_of !== undefined && !shapes.has(spec.part_of)) {
    findings.error(`${path}.part_of`, 'unknown-name', {
      message: `there is no record ${spec.part_of}.${didYouMean(spec.part_of, shapes.keys())}`,
      known: [...shapes.keys()],
    });
  }
  const parent = spec.part_of === undefined ? undefined : shapes.get(spec.part_of);
  if (parent !== undefined && parent.keys.length > 1) {
    findings.error(`${path}.part_of`, 'reference', {
      message: `${parent.name} is named by ${parent.keys.join(' and ')} together, and a part names its whole by one value.`,
      example: `give ${parent.name} "key": "auto" with a unique rule`,
    });
  }
  if (typeof spec.key === 'string') return;
  for (const name of spec.key) {
    const field = shape?.fields.get(name);
    if (field !== undefined && !isKeyType(field.type)) {
      findings.error(`${path}.key`, 'key', {
        message: `${name} is ${typeName(field.type)}, and a key is compared and sorted.`,
        example: '"key": "auto"',
      });
    }
    const known = [...(shape?.fields.keys() ?? [])];
    if (field === undefined) {
      const example = name === 'id' ? '"key": "auto"' : undefined;
      findings.error(`${path}.key`, 'unknown-name', {
        message: `${spec.name} has no field ${name}.${didYouMean(name, known)}`,
        known,
        ...(example === undefined ? {} : { example }),
      });
    } else if (field.nullable || field.spec?.computed !== undefined) {
      findings.error(`${path}.key`, 'key', {
        message: `${name} is ${field.nullable ? 'optional' : 'computed'}, and a key always has a stored value.`,
      });
    }
  }
}

/** What can stand in a key, a unique rule or a per: it is equal or not, for ever. */
function isKeyType({ kind }: Type): boolean {
  return !['float', 'json', 'point', 'list', 'objects'].includes(kind);
}

/** What belongs to a record of an organisation belongs to that organisation. */
function checkTenant({ findings, shapes }: Context, spec: RecordSpec): void {
  if (spec.per_tenant === true) {
    if (spec.rows !== undefined)
      findings.error(`records.${spec.name}.rows`, 'tenant', {
        message: `rows that are there from the start belong to no organisation, and each ${spec.name} belongs to one.`,
        example: 'rows without per_tenant, or per_tenant without rows',
      });
    return;
  }
  const names = spec.fields.flatMap((field) => (field.type === 'reference' ? [field.references] : []));
  const owner = [...(spec.part_of === undefined ? [] : [spec.part_of]), ...names].find(
    (name) => shapes.get(name)?.spec.per_tenant === true,
  );
  if (owner === undefined) return;
  findings.error(`records.${spec.name}`, 'tenant', {
    message: `${spec.name} has no tenant while its ${owner} has: other organisations would see it.`,
    example: '"per_tenant": true',
  });
}

function checkField(context: Context, record: RecordSpec, field: ShapedField): CheckedField {
  const { spec } = field;
  const base = {
    name: field.name,
    description: field.description,
    type: field.type,
    optional: field.nullable,
    origin: field.origin,
  };
  const isState = record.states?.field === field.name;
  const isKey = typeof record.key !== 'string' && record.key.includes(field.name);
  if (spec === undefined) {
    return { ...base, givenAtCreate: field.origin === 'parent', givenAtUpdate: false, isState };
  }
  const path = `records.${record.name}.fields.${field.name}`;
  const { findings, shapes } = context;
  checkType(context, path, spec);
  const constants = emptyScope(shapes, 'a bound or default, which knows constants, @user, @now and @today,');
  const own = { type: field.type.kind === 'list' ? field.type.of : field.type, nullable: false, ...unitOf(spec) };
  const bound = (name: 'min' | 'max' | 'multiple_of'): Formula | undefined => {
    const text = (spec as { readonly [key in typeof name]?: string })[name];
    return text === undefined
      ? undefined
      : findings.valueOf(`${path}.${name}`, text, { scope: constants, wanted: own });
  };
  const wanted = { ...own, type: field.type, nullable: field.nullable };
  const given = (text: string | undefined, name: string, scope: Scope): Formula | undefined =>
    text === undefined ? undefined : findings.valueOf(`${path}.${name}`, text, { scope, wanted });
  const min = bound('min');
  const max = bound('max');
  const multipleOf = bound('multiple_of');
  const value = given(spec.default, 'default', constants);
  checkBounds(findings, path, { min, max, multipleOf, value });
  // What is computed is null where a part of it is: every reader must reckon with it only if the field says so.
  const computed = given(spec.computed, 'computed', recordScope(shapes, record.name, true));
  const rollup = checkRollup(context, { record, spec, path });
  const numbering = 'numbering' in spec ? spec.numbering : undefined;
  const per = (numbering?.per ?? []).flatMap(
    (text, index) =>
      findings.value(`${path}.numbering.per[${String(index)}]`, text, recordScope(shapes, record.name, false)) ?? [],
  );
  const isMade =
    computed !== undefined || rollup !== undefined || numbering !== undefined || spec.computed !== undefined;
  const onDelete = spec.type === 'reference' ? (spec.on_delete ?? 'restrict') : undefined;
  return {
    ...base,
    spec,
    isState,
    ...(value === undefined ? {} : { default: value }),
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(multipleOf === undefined ? {} : { multipleOf }),
    ...(computed === undefined ? {} : { computed }),
    ...(rollup === undefined ? {} : { rollup }),
    ...(numbering === undefined ? {} : { numbering: { per, gapless: numbering.gapless } }),
    ...(onDelete === undefined ? {} : { onDelete }),
    // What actions manage is theirs from the start; a value that every record has may begin as a caller says.
    givenAtCreate: !isMade && !isState && (spec.managed !== true || !field.nullable),
    givenAtUpdate: !isMade && !isKey && spec.write_once !== true && spec.managed !== true,
  };
}

function checkType({ findings, shapes }: Context, path: string, spec: FieldSpec): void {
  if (spec.type === 'reference') {
    const target = shapes.get(spec.references);
    if (target === undefined) {
      findings.error(`${path}.references`, 'unknown-name', {
        message: `there is no record ${spec.references}.${didYouMean(spec.references, shapes.keys())}`,
        known: [...shapes.keys()],
      });
    } else if (target.key === undefined) {
      findings.error(`${path}.references`, 'reference', {
        message: `${spec.references} is named by ${target.keys.join(' and ')} together, and a reference is one value.`,
        example: `give ${spec.references} "key": "auto", or refer to ${target.keys[0] ?? 'its parent'}`,
      });
    }
    if (spec.on_delete === 'set_null' && spec.optional !== true) {
      findings.error(`${path}.on_delete`, 'contradiction', {
        message: 'set_null clears the field, which is not optional.',
        example: '"optional": true',
      });
    }
  }
  const unit = 'unit' in spec ? spec.unit : undefined;
  const isMoney = (unit !== undefined && CURRENCIES.includes(unit)) || (unit === undefined && MONEY.test(spec.name));
  if (spec.type === 'float' && isMoney) {
    findings.error(`${path}.type`, 'money', {
      message: `${spec.name} is money, and a float loses cents.`,
      example: '"type": "decimal", "precision": 12, "scale": 2, "unit": "CHF"',
    });
  }
  if (spec.type === 'decimal' && spec.scale > spec.precision) {
    findings.error(`${path}.scale`, 'digits', {
      message: `${String(spec.scale)} digits after the point of ${String(spec.precision)} in all.`,
      example: '"precision": 12, "scale": 2',
    });
  }
  for (const one of [spec, ...(spec.type === 'list' ? spec.columns : [])]) checkWords(findings, `${path}.values`, one);
  if (
    spec.type === 'text' &&
    spec.mask !== undefined &&
    spec.max_length !== undefined &&
    spec.max_length < spec.mask.length
  ) {
    findings.error(`${path}.mask`, 'contradiction', {
      message: `the mask has ${String(spec.mask.length)} characters, and max_length allows ${String(spec.max_length)}.`,
    });
  }
  const makers = [
    spec.computed,
    'rollup' in spec ? spec.rollup : undefined,
    'numbering' in spec ? spec.numbering : undefined,
    spec.default,
  ];
  if (makers.filter((maker) => maker !== undefined).length > 1) {
    findings.error(path, 'contradiction', {
      message: `computed, rollup, numbering and default all say where the value comes from: give one.`,
    });
  }
}

function checkRollup(
  { findings, shapes }: Context,
  { record, spec, path }: { readonly record: RecordSpec; readonly spec: FieldSpec; readonly path: string },
): CheckedField['rollup'] {
  const rollup = 'rollup' in spec ? spec.rollup : undefined;
  if (rollup === undefined) return undefined;
  const child = shapes.get(rollup.child);
  if (child === undefined) {
    findings.error(`${path}.rollup.child`, 'unknown-name', {
      message: `there is no record ${rollup.child}.${didYouMean(rollup.child, shapes.keys())}`,
      known: [...shapes.keys()],
    });
    return undefined;
  }
  const via = child.fields.get(rollup.via);
  if (via?.type.kind !== 'reference' || via.type.record !== record.name) {
    const known = [...child.fields.values()]
      .filter(({ type }) => type.kind === 'reference' && type.record === record.name)
      .map(({ name }) => name);
    findings.error(`${path}.rollup.via`, 'unknown-name', {
      message: `${rollup.via} is no field of ${rollup.child} that refers to ${record.name}.`,
      known,
    });
    return undefined;
  }
  const scope = recordScope(shapes, rollup.child, false);
  const when = rollup.when === undefined ? undefined : findings.condition(`${path}.rollup.when`, rollup.when, scope);
  if (rollup.function !== 'count' && rollup.value === undefined) {
    findings.error(`${path}.rollup.value`, 'missing', {
      message: `${rollup.function} of what?`,
      example: '"value": "amount"',
    });
  }
  // The least and greatest of no children are nothing, and a sum of nothing is 0.
  const isNullable = rollup.function === 'min' || rollup.function === 'max';
  if (isNullable && spec.optional !== true) {
    findings.error(path, 'contradiction', {
      message: `the ${rollup.function} of no ${rollup.child} is null, and the field is not optional.`,
      example: '"optional": true',
    });
  }
  const wanted = {
    type: shapes.get(record.name)?.fields.get(spec.name)?.type ?? { kind: 'integer' as const },
    nullable: true,
    ...unitOf(spec),
  };
  const value =
    rollup.value === undefined ? undefined : findings.valueOf(`${path}.rollup.value`, rollup.value, { scope, wanted });
  timeless(findings, `${path}.rollup`, [value, when]);
  return {
    function: rollup.function,
    child: rollup.child,
    via: rollup.via,
    ...(value === undefined ? {} : { value }),
    ...(when === undefined ? {} : { when }),
  };
}

/** What is stored must stay true: it may not depend on the clock or on who looks. */
function timeless(findings: Findings, path: string, formulas: readonly (Formula | undefined)[]): void {
  const parts = formulas.flatMap((formula) => (formula === undefined ? [] : partsOf(formula)));
  const found = parts.find(
    ({ node }) => node === 'now' || node === 'today' || node === 'caller' || node === 'has_role',
  );
  if (found === undefined) return;
  const isTime = found.node === 'now' || found.node === 'today';
  findings.error(path, isTime ? 'not-lasting' : 'access', {
    message: isTime
      ? 'what is stored must stay true, and @now and @today go on. A rule of a moment is a check of an action, or the min of a write_once field; what ends by itself is expires.'
      : 'what is stored holds whoever looks. Who may is for row_access, allowed, or a check of an action.',
    example: isTime
      ? '{"op": "check", "rule": ":day >= @today", "message": "…"}'
      : '"row_access": {"read": "true", "write": "owner = @user"}',
  });
}

function checkRule(
  { findings, shapes }: Context,
  spec: RecordSpec,
  { rule, index }: { readonly rule: RuleSpec; readonly index: number },
): readonly CheckedRule[] {
  const path = `records.${spec.name}.rules[${String(index)}]`;
  const scope = recordScope(shapes, spec.name, false);
  const formula = findings.condition(`${path}.rule`, rule.rule, scope);
  const message = findings.message(`${path}.message`, rule.message, scope);
  timeless(findings, path, [formula]);
  return formula === undefined ? [] : [{ rule: formula, message, name: ruleName(spec.name, rule.message, index) }];
}

/** A name for a constraint, from its sentence: `place_a_sold_seat_has_a`. */
function ruleName(record: string, message: string, index: number): string {
  const words = message
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^a-z0-9 ]/g, '')
    .split(/\s+/)
    .filter((word) => word !== '');
  return (
    `${record}_${words.slice(0, 5).join('_')}`.slice(0, 56) + (words.length === 0 ? `rule_${String(index + 1)}` : '')
  );
}

function checkUnique({ findings, shapes }: Context, spec: RecordSpec, index: number): CheckedUnique {
  const path = `records.${spec.name}.unique[${String(index)}]`;
  const unique = spec.unique?.[index];
  const scope = recordScope(shapes, spec.name, false);
  const fields = (unique?.fields ?? []).flatMap(
    (text, place) => findings.value(`${path}.fields[${String(place)}]`, text, scope) ?? [],
  );
  const when = unique?.when === undefined ? undefined : findings.condition(`${path}.when`, unique.when, scope);
  timeless(findings, path, [...fields, when]);
  const unfit = fields.find(({ type }) => !isKeyType(type));
  if (unfit !== undefined)
    findings.error(`${path}.fields`, 'types', { message: `${typeName(unfit.type)} is never the same as another one.` });
  const open = fields.find((field) => field.node === 'field' && field.nullable);
  if (open?.node === 'field' && when === undefined) {
    findings.error(path, 'unique-null', {
      message: `${open.field} is optional: any number of records without it would pass. Say which records must differ.`,
      example: `"when": "${open.field} is not null", or for at most one open one "when": "${open.field} is null" without ${open.field} in fields`,
    });
  }
  const names = fields.flatMap((field) => (field.node === 'field' ? [field.field] : []));
  const message =
    unique?.message === undefined ? undefined : findings.message(`${path}.message`, unique.message, scope);
  const name =
    names.length === fields.length ? `${spec.name}_${names.join('_')}` : `${spec.name}_unique_${String(index + 1)}`;
  return {
    name: name.slice(0, 56),
    fields,
    ...(when === undefined ? {} : { when }),
    ...(message === undefined ? {} : { message }),
  };
}

function checkOverlap({ findings, shapes }: Context, spec: RecordSpec, index: number): CheckedOverlap {
  const path = `records.${spec.name}.no_overlap[${String(index)}]`;
  const overlap = spec.no_overlap?.[index] ?? { per: [], start: '', end: '' };
  const fields = shapes.get(spec.name)?.fields;
  for (const [name, at] of [
    ...overlap.per.map((one) => [one, 'per']),
    [overlap.start, 'start'],
    [overlap.end, 'end'],
  ] as [string, string][]) {
    if (fields?.has(name) === true) continue;
    const known = [...(fields?.keys() ?? [])];
    findings.error(`${path}.${at}`, 'unknown-name', {
      message: `${spec.name} has no field ${name}.${didYouMean(name, known)}`,
      known,
    });
  }
  const unfit = overlap.per.find(
    (name) => fields !== undefined && !isKeyType(fields.get(name)?.type ?? { kind: 'text' }),
  );
  if (unfit !== undefined)
    findings.error(`${path}.per`, 'types', {
      message: `no two records agree in ${unfit}: it is ${typeName(fields?.get(unfit)?.type ?? { kind: 'json' })}.`,
    });
  const [start, end] = [fields?.get(overlap.start), fields?.get(overlap.end)];
  if (
    start !== undefined &&
    end !== undefined &&
    (start.type.kind !== end.type.kind || !['date', 'timestamp', 'time'].includes(start.type.kind))
  ) {
    findings.error(path, 'types', {
      message: `a span goes from a date to a date or from a timestamp to a timestamp, not from ${typeName(start.type)} to ${typeName(end.type)}.`,
    });
  }
  if (start?.nullable === true)
    findings.error(`${path}.start`, 'types', { message: `${overlap.start} is optional, and a span has a start.` });
  for (const bound of [start, end]) {
    if (bound?.spec?.computed !== undefined) {
      findings.error(path, 'types', {
        message: `${bound.name} is computed; a span is stored, so that the database can keep it apart.`,
        example: `a stored field ${bound.name} that an action sets`,
      });
    }
  }
  const scope = recordScope(shapes, spec.name, false);
  const when = overlap.when === undefined ? undefined : findings.condition(`${path}.when`, overlap.when, scope);
  const atOnce = overlap.max_at_once;
  const maxAtOnce =
    atOnce === undefined
      ? undefined
      : findings.valueOf(`${path}.max_at_once`, atOnce, {
          scope: { ...scope, sets: true },
          wanted: { type: { kind: 'integer' }, nullable: false },
        });
  const message =
    overlap.message === undefined ? undefined : findings.message(`${path}.message`, overlap.message, scope);
  return {
    name: `${spec.name}_${overlap.per.join('_')}_apart`.slice(0, 56),
    per: overlap.per,
    start: overlap.start,
    end: overlap.end,
    ...(when === undefined ? {} : { when }),
    ...(maxAtOnce === undefined ? {} : { maxAtOnce }),
    ...(message === undefined ? {} : { message }),
  };
}

function checkExpiry({ findings, shapes }: Context, spec: RecordSpec): CheckedRecord['expires'] {
  const { expires } = spec;
  if (expires === undefined) return undefined;
  const path = `records.${spec.name}.expires`;
  const scope = recordScope(shapes, spec.name, false);
  const when = findings.condition(`${path}.when`, expires.when, scope);
  const at = findings.value(`${path}.at`, expires.at, scope);
  timeless(findings, path, [when, at]);
  if (at !== undefined && at.type.kind !== 'date' && at.type.kind !== 'timestamp') {
    findings.error(`${path}.at`, 'types', {
      message: `it expires at a timestamp or on a date, not at ${typeName(at.type)}.`,
      example: '"at": "held_until"',
    });
  }
  if ((expires.set === undefined) === (expires.delete !== true)) {
    findings.error(path, 'contradiction', {
      message: 'say what it counts as then: set, or delete true.',
      example: '"set": ["state = \'free\'"]',
    });
  }
  const set = expires.set?.flatMap(
    (text, index) =>
      assignment(findings, `${path}.set[${String(index)}]`, { text, shape: shapes.get(spec.name), scope }) ?? [],
  );
  if (when === undefined || at === undefined) return undefined;
  return { when, at, ...(set === undefined ? {} : { set }) };
}

/** `field = formula` of a record. Who may write the field is for the caller to say. */
export function assignment(
  findings: Findings,
  path: string,
  { text, shape, scope }: { readonly text: string; readonly shape: ShapedRecord | undefined; readonly scope: Scope },
): NamedFormula | undefined {
  const [, name] = /^\s*([a-z][a-z0-9_]*)\s*=(?!=)\s*/.exec(text) ?? [];
  const field = name === undefined ? undefined : shape?.fields.get(name);
  if (name === undefined) {
    findings.error(path, 'formula', {
      message: `"${text}": expected "name = formula".`,
      example: '"state = \'held\'"',
    });
    return undefined;
  }
  if (field === undefined) {
    const known = [...(shape?.fields.keys() ?? [])];
    findings.error(path, 'unknown-name', {
      message: `${shape?.name ?? 'it'} has no field ${name}.${didYouMean(name, known)}`,
      known,
    });
    return undefined;
  }
  const value = text.slice(text.indexOf('=') + 1).trim();
  const formula = findings.valueOf(path, value, {
    scope,
    wanted: { type: field.type, nullable: field.nullable, ...(field.unit === undefined ? {} : { unit: field.unit }) },
  });
  return formula === undefined ? undefined : { name, value: formula };
}

function checkStates(findings: Findings, spec: RecordSpec, shape: ShapedRecord | undefined): void {
  const { states } = spec;
  if (states === undefined) return;
  const path = `records.${spec.name}.states`;
  const field = shape?.fields.get(states.field);
  if (field?.type.kind !== 'enum') {
    findings.error(`${path}.field`, 'types', {
      message: `${states.field} is no enum field of ${spec.name}.`,
      known: [...(shape?.fields.values() ?? [])].filter(({ type }) => type.kind === 'enum').map(({ name }) => name),
    });
    return;
  }
  if (field.nullable)
    findings.error(`${path}.field`, 'contradiction', {
      message: `${states.field} is optional, and a record always has a state.`,
    });
  const { values } = field.type;
  const known = (value: string, at: string): void => {
    if (values.includes(value)) return;
    findings.error(at, 'unknown-name', {
      message: `${states.field} has no value '${value}'.${didYouMean(value, values)}`,
      known: values,
    });
  };
  known(states.start, `${path}.start`);
  for (const [index, { from, to }] of states.moves.entries()) {
    for (const value of [from, ...to]) known(value, `${path}.moves[${String(index)}]`);
    if (states.moves.findIndex((move) => move.from === from) !== index) {
      findings.error(`${path}.moves[${String(index)}]`, 'duplicate-name', {
        message: `the moves from ${from} are there twice: join them.`,
      });
    }
  }
  // n.b. what ends by itself needs no move: every reader sees the new state, whoever writes it later.
  const ended = values.filter((value) => spec.expires?.set?.some((text) => text.includes(`'${value}'`)) === true);
  const reached = new Set([states.start, ...ended]);
  for (let size = 0; size !== reached.size;) {
    size = reached.size;
    const next = states.moves.filter(({ from }) => reached.has(from)).flatMap(({ to }) => to);
    for (const value of next) reached.add(value);
  }
  for (const value of values) {
    if (reached.has(value)) continue;
    findings.error(`${path}.moves`, 'unreachable', {
      message: `the state '${value}' is never reached: no move leads to it from ${states.start}.`,
      example: `{"from": "${states.start}", "to": ["${value}"]}, or leave ${value} out of the values`,
    });
  }
}
