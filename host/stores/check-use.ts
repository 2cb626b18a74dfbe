import type { ObjectManifest, ValueDescription, ValueType } from '@beds/sdk';
import type { GivenParameter, NamedObject, NamedValue, ObjectFinding, StoreAdapter } from './contract.js';

type Values = Readonly<Record<string, ValueDescription>>;

/** Which types of the database take a value that the template declares as the key. */
const GOES_INTO: Readonly<Record<StoredType, readonly ValueType[]>> = {
  string: ['string'],
  integer: ['integer', 'bigint', 'number', 'decimal'],
  bigint: ['bigint', 'decimal'],
  number: ['number', 'decimal'],
  decimal: ['decimal'],
  boolean: ['boolean'],
  date: ['date'],
  datetime: ['datetime'],
  binary: ['binary'],
  json: ['json'],
};

/** Which types of the database give a value that the template may call the key. */
const COMES_FROM: Readonly<Record<StoredType, readonly ValueType[]>> = {
  ...GOES_INTO,
  integer: ['integer'],
  bigint: ['bigint'],
  number: ['number', 'integer'],
};

/** All objects of a template, by its aliases, as it may use them, and what does not fit. `check`: the store's own. */
export function checkUses(
  uses: Readonly<Record<string, ObjectManifest>>,
  found: ReadonlyMap<string, NamedObject>,
  check: StoreAdapter['check'],
): { readonly objects: Readonly<Record<string, NamedObject>>; readonly findings: readonly ObjectFinding[] } {
  const objects: Record<string, NamedObject> = {};
  const findings: ObjectFinding[] = [];
  for (const [alias, use] of Object.entries(uses)) {
    const object = found.get(use.name);
    if (object !== undefined) objects[alias] = narrowObject(use, object);
    findings.push(...check(use, object));
  }
  return { objects, findings };
}

type RoutineManifest = Exclude<ObjectManifest, { kind: 'view' }>;

/** What the routine is called with: the arguments that are given, and those that the host fills in. */
function argumentsOf({ args, bind }: RoutineManifest): Values {
  if (bind === undefined) return args;
  const bound = Object.entries(bind).map(([name, { value }]) => [name, value] as const);
  return { ...args, ...Object.fromEntries(bound) };
}
type ViewManifest = Extract<ObjectManifest, { kind: 'view' }>;
type FoundRoutine = Exclude<NamedObject, { kind: 'view' }>;
type FoundView = Extract<NamedObject, { kind: 'view' }>;
type StoredType = Exclude<ValueType, 'enum' | 'list' | 'object' | 'schema'>;

/**
 * What a database knows of a type: the strings of an enum are strings, and whatever has parts is JSON. Undefined: a schema says
 * too little, and a string of it may be a day or a decimal number as well, so the type is the database's.
 */
function storedType({ type, schema }: ValueDescription): StoredType | undefined {
  switch (type) {
    case 'enum':
      return 'string';
    case 'list':
    case 'object':
      return 'json';
    case 'schema':
      return typeof schema?.['type'] === 'string' ? STORED_OF_SCHEMA[schema['type']] : undefined;
    default:
      return type;
  }
}

/** By the type that a JSON Schema has. */
const STORED_OF_SCHEMA: Readonly<Partial<Record<string, StoredType>>> = {
  integer: 'integer',
  number: 'number',
  boolean: 'boolean',
  array: 'json',
  object: 'json',
};

function fits(value: NamedValue, declared: ValueDescription, types: typeof GOES_INTO): boolean {
  const stored = storedType(declared);
  return stored === undefined || types[stored].includes(value.type) || isAlternative(value, stored);
}

/** n.b. MariaDB shows the columns of a view to those only who may execute the functions that it calls. */
const CALLED = ', as also EXECUTE on the functions that a view of MariaDB calls';

/** Compares what a template needs with what the catalogue says. */
export function checkUse(use: ObjectManifest, found: NamedObject | undefined): readonly ObjectFinding[] {
  if (found === undefined) {
    return [
      finding('OBJECT_MISSING', use, {
        message: `There is no ${use.kind} ${use.name}, or the runtime account may not see it.`,
        hint: `Create ${use.name} and grant it to the runtime account${use.kind === 'view' ? CALLED : ''}; the template activates itself then.`,
      }),
    ];
  }
  const { notSupported } = found.native;
  if (typeof notSupported === 'string') return [unserved(use, notSupported)];
  if (use.kind !== found.kind) {
    return [
      finding('KIND_MISMATCH', use, {
        message: `${use.name} is a ${found.kind}; the template uses it as a ${use.kind}.`,
        hint: `Declare it with ${found.kind === 'function' ? 'fn' : found.kind}('${use.name}', …).`,
      }),
    ];
  }
  if (use.kind === 'view') return found.kind === 'view' ? checkView(use, found) : [];
  return found.kind === 'view' ? [] : checkArguments(use, found);
}

/** n.b. a column that is there and cannot be carried is not a column that is missing, for which a version would wait. */
function checkView(use: ViewManifest, { columns: found, native }: FoundView): readonly ObjectFinding[] {
  const { uncarried } = native;
  const types = new Map(typeof uncarried === 'object' && uncarried !== null ? Object.entries(uncarried) : []);
  const columns = Object.entries(use.columns);
  const reasons = columns.flatMap(([name]) => {
    const type = types.get(name);
    return typeof type === 'string' ? [unserved(use, `its column ${name} is ${type}, which BEDS cannot carry`)] : [];
  });
  const carried = Object.fromEntries(columns.filter(([name]) => !types.has(name)));
  return [...reasons, ...checkColumns({ ...use, columns: carried }, found)];
}

function unserved(use: ObjectManifest, reason: string): ObjectFinding {
  return finding('NOT_SUPPORTED', use, {
    message: `${use.name} cannot be served: ${reason}.`,
    hint: 'Ask the DBA to change the object.',
  });
}

/** The parameters by the names that the template has for them: statements bind them by their place. */
function withoutPrefix<Value extends NamedValue>(
  args: readonly Value[],
  { prefix }: { readonly prefix?: string },
): readonly Value[] {
  if (prefix === undefined) return args;
  return args.map((value) =>
    value.name.startsWith(prefix) ? { ...value, name: value.name.slice(prefix.length) } : value,
  );
}

function checkArguments(use: RoutineManifest, routine: FoundRoutine): readonly ObjectFinding[] {
  const found = withoutPrefix(routine.args, use);
  const gives = withoutPrefix(routine.gives ?? [], use);
  const takes = `It takes: ${found.map((value) => value.name).join(', ') || 'none'}.`;
  const args = argumentsOf(use);
  const unknown = Object.keys(args)
    .filter((name) => !found.some((value) => value.name === name))
    .map((name) =>
      finding('ARGUMENT_UNKNOWN', use, {
        message: `${use.name} takes no argument ${name}.`,
        hint: gives.some((value) => value.name === name)
          ? `${name} is an OUT parameter: it comes back in the last result set. ${takes}`
          : takes,
      }),
    );
  return [...unknown, ...found.flatMap((value) => checkArgument(use, value, args))];
}

function checkArgument(use: ObjectManifest, value: NamedValue, args: Values): readonly ObjectFinding[] {
  const declared = Object.hasOwn(args, value.name) ? args[value.name] : undefined;
  const mayBeAbsent = value.optional === true || value.default !== undefined;
  if (declared === undefined) {
    if (mayBeAbsent) return [];
    return [
      finding('ARGUMENT_MISSING', use, {
        message: `${use.name} needs the argument ${value.name} (${value.nativeType}), which the template does not name.`,
        hint: `Add ${value.name}: ${makerOf(value.type)} to the arguments of ${use.name} in the template.`,
      }),
    ];
  }
  if (!fits(value, declared, GOES_INTO)) return [typeMismatch(use, value, declared)];
  if (declared.optional === true && declared.default === undefined && !mayBeAbsent && value.nullable !== true) {
    return [
      finding('ARGUMENT_MISSING', use, {
        message: `${use.name} always needs the argument ${value.name}; the template says it may be left out.`,
        hint: `Declare ${value.name} as ${makerOf(value.type)}, without .optional(), or with .default(…).`,
      }),
    ];
  }
  return [];
}

function checkColumns(use: ViewManifest, found: readonly NamedValue[]): ObjectFinding[] {
  return Object.entries(use.columns).flatMap(([name, declared]) => {
    const column = found.find((value) => value.name === name);
    if (column === undefined) {
      return [
        finding('COLUMN_MISSING', use, {
          message: `The view ${use.name} has no column ${name}.`,
          hint: `It has: ${found.map((value) => value.name).join(', ')}.`,
        }),
      ];
    }
    return fits(column, declared, COMES_FROM) ? [] : [typeMismatch(use, column, declared)];
  });
}

/** As a template writes the type. */
function makerOf(type: ValueType): string {
  return `t.${type === 'integer' ? 'int' : type}()`;
}

function typeMismatch(use: ObjectManifest, value: NamedValue, declared: ValueDescription): ObjectFinding {
  return finding('TYPE_MISMATCH', use, {
    message: `${value.name} of ${use.name} is ${value.nativeType} in the database, '${declared.type}' in the template.`,
    hint: `Declare ${value.name} as ${makerOf(value.type)}.`,
  });
}

function isAlternative({ alternatives }: NamedValue, stored: StoredType): boolean {
  return alternatives?.includes(stored) === true;
}

/** The type that a template chose of those that the database leaves open. */
function chosenType(value: NamedValue, declared: ValueDescription | undefined): ValueType {
  const stored = declared === undefined ? undefined : storedType(declared);
  return stored !== undefined && isAlternative(value, stored) ? stored : value.type;
}

type Reason<Code> = Code extends `BEDS_PREFLIGHT_${infer Name}` ? Name : never;

function finding(
  reason: Reason<ObjectFinding['code']>,
  use: ObjectManifest,
  text: { readonly message: string; readonly hint: string },
): ObjectFinding {
  return { code: `BEDS_PREFLIGHT_${reason}`, object: use.name, ...text };
}

/**
 * The object as this template may use it: what the database says, narrowed by what the template declared. Arguments
 * that the template calls optional may be left out; a view gives the declared columns only. `use` fits `found`.
 */
export function narrowObject(use: ObjectManifest, found: NamedObject): NamedObject {
  if (found.kind === 'view') {
    const columns = use.kind === 'view' ? use.columns : {};
    const used = found.columns.filter((column) => Object.hasOwn(columns, column.name));
    return { ...found, columns: used.map((column) => ({ ...column, type: chosenType(column, columns[column.name]) })) };
  }
  if (use.kind === 'view') return found;
  const declared = use.kind === 'function' ? storedType(use.returns) : undefined;
  const args = argumentsOf(use);
  return {
    ...found,
    args: withoutPrefix(found.args, use).map((value) => narrowValue(value, args[value.name])),
    ...(found.gives !== undefined && { gives: narrowGiven(found.gives, use) }),
    ...(declared !== undefined && { declared }),
    ...(use.kind === 'procedure' && use.together === true && { together: true as const }),
  };
}

/** n.b. the row that they come back in is the last one that the template names. */
function narrowGiven(gives: readonly GivenParameter[], use: RoutineManifest): readonly GivenParameter[] {
  const { returns } = use;
  const last = Array.isArray(returns) ? (returns as readonly ValueDescription[]).at(-1) : (returns as ValueDescription);
  const declared = (last?.type === 'list' ? last.items?.fields : last?.fields) ?? {};
  return withoutPrefix(gives, use).map((value) => ({ ...value, type: chosenType(value, declared[value.name]) }));
}

function narrowValue(value: NamedValue, declared: ValueDescription | undefined): NamedValue {
  if (declared === undefined) return value;
  const { maxLength, min, max } = { ...value, ...declared };
  return {
    name: value.name,
    type: chosenType(value, declared),
    nativeType: value.nativeType,
    optional: declared.optional ?? false,
    nullable: declared.optional ?? false,
    ...(declared.default === undefined ? {} : { default: declared.default }),
    ...(maxLength === undefined ? {} : { maxLength: Math.min(maxLength, value.maxLength ?? maxLength) }),
    ...(min === undefined ? {} : { min: Math.max(min, value.min ?? min) }),
    ...(max === undefined ? {} : { max: Math.min(max, value.max ?? max) }),
  };
}
