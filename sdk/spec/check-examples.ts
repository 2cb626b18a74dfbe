import { didYouMean } from '../nearest.js';
import type { CheckedArgument, CheckedSpecification, Type } from './checked.js';
import type { Findings } from './findings.js';
import type { CallSpec, ExampleSpec, NamedValue, Value } from './language.js';
import type { Shapes } from './shapes.js';
import { typeName } from './type-formula.js';

export type Known = Pick<CheckedSpecification, 'records' | 'queries' | 'actions'>;

export interface Argument {
  readonly name: string;
  readonly type: Type;
  readonly required: boolean;
}

const TIME = /^~(?:now|today|tomorrow|month-start|year-start)(?:[+-]\d+(?:min|mo|h|d))?(?: \d\d:\d\d)?$/;
const FORMS: Readonly<Record<string, RegExp>> = {
  date: /^\d{4}-\d{2}-\d{2}$/,
  time: /^\d{2}:\d{2}$/,
  timestamp: /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?Z$/,
};

/** What callers can say: every operation with its arguments. */
export function operationsOf({ records, queries, actions }: Known): ReadonlyMap<string, readonly Argument[]> {
  const standard = records.flatMap((record) =>
    record.operations.map(({ kind, name }) => {
      const keys = record.fields.filter((field) => record.key.includes(field.name));
      const key = keys.map((field): Argument => ({ name: field.name, type: field.type, required: true }));
      const version = record.fields
        .filter(({ origin }) => origin === 'version')
        .map((field): Argument => ({ name: field.name, type: field.type, required: true }));
      const given = record.fields.filter((field) => (kind === 'create' ? field.givenAtCreate : field.givenAtUpdate));
      const values = given.map((field): Argument => ({
        name: field.name,
        type: field.type,
        required: kind === 'create' && !field.optional && field.default === undefined,
      }));
      const filters = record.fields.map((field): Argument => ({ name: field.name, type: field.type, required: false }));
      const args = { create: values, update: [...key, ...version, ...values], delete: key, fetch: key, list: filters }[
        kind
      ];
      return [name, args] as const;
    }),
  );
  const own = [...queries, ...actions].map(({ name, args }) => [name, args.map(argumentOf)] as const);
  return new Map([...standard, ...own]);
}

function argumentOf({ name, type, optional }: CheckedArgument): Argument {
  return { name, type, required: !optional };
}

/** The names of all operations, for messages and for whoever calls. */
export function operationNames(known: Known): readonly string[] {
  return [...operationsOf(known).keys()];
}

export function checkExamples(
  findings: Findings,
  {
    known,
    shapes,
    examples,
  }: { readonly known: Known; readonly shapes: Shapes; readonly examples: readonly ExampleSpec[] },
): void {
  const operations = operationsOf(known);
  for (const [index, example] of examples.entries()) {
    const path = `examples[${String(index)}]`;
    const made = new Set<string>();
    for (const [place, call] of example.given.entries()) {
      checkCall(findings, `${path}.given[${String(place)}]`, { call, operations, made, shapes });
      if (call.as !== undefined) made.add(call.as);
    }
    // A call that must fail may be wrong: only its names are looked at.
    checkCall(findings, `${path}.call`, {
      call: example.call,
      operations,
      made,
      shapes,
      mayFail: example.expect.outcome === 'error',
    });
  }
}

interface CallContext {
  readonly call: CallSpec;
  readonly operations: ReadonlyMap<string, readonly Argument[]>;
  readonly made: ReadonlySet<string>;
  readonly shapes: Shapes;
  readonly mayFail?: boolean;
}

function checkCall(
  findings: Findings,
  path: string,
  { call, operations, made, shapes, mayFail = false }: CallContext,
): void {
  const args = operations.get(call.operation);
  if (args === undefined) {
    findings.error(`${path}.operation`, 'unknown-name', {
      message: `there is no operation ${call.operation}.${didYouMean(call.operation, operations.keys())}`,
      known: [...operations.keys()],
    });
    return;
  }
  for (const [index, { name, value }] of call.arguments.entries()) {
    const at = `${path}.arguments[${String(index)}]`;
    const argument = args.find((one) => one.name === name);
    if (argument === undefined) {
      const names = args.map((one) => one.name);
      findings.error(at, 'unknown-name', {
        message: `${call.operation} has no argument ${name}.${didYouMean(name, names)}`,
        known: names,
      });
      continue;
    }
    const wrong = mayFail ? undefined : whyWrong(value, argument.type, { made, shapes });
    if (wrong !== undefined)
      findings.error(at, 'types', {
        message: `${name}: ${wrong.why}`,
        ...(wrong.example === undefined ? {} : { example: wrong.example }),
      });
  }
  const given = call.arguments.map(({ name }) => name);
  const missing = args.filter(({ name, required }) => required && !given.includes(name));
  if (missing.length > 0 && !mayFail) {
    findings.error(`${path}.arguments`, 'missing', {
      message: `${call.operation} needs ${missing.map(({ name }) => name).join(', ')}.`,
    });
  }
}

interface Wrong {
  readonly why: string;
  readonly example?: string;
}

function whyWrong(
  value: Value,
  type: Type,
  { made, shapes }: { readonly made: ReadonlySet<string>; readonly shapes: Shapes },
): Wrong | undefined {
  if (value === null) return undefined;
  if (typeof value === 'string' && value.startsWith('@')) {
    if (made.has(value.slice(1))) return undefined;
    return {
      why: `${value} is made by no call before.`,
      ...(made.size === 0
        ? { example: '"as": "A" in a call of given, then "@A"' }
        : { example: [...made].map((name) => `@${name}`).join(', ') }),
    };
  }
  switch (type.kind) {
    case 'reference': {
      const target = shapes.get(type.record);
      const key = target?.key === undefined ? undefined : target.fields.get(target.key)?.type;
      return key === undefined || key.kind === 'reference' ? undefined : whyWrong(value, key, { made, shapes });
    }
    case 'decimal':
      if (typeof value === 'number')
        return { why: 'a JSON number loses digits: write it as text.', example: `"${value.toFixed(type.scale)}"` };
      return typeof value === 'string' && /^-?\d+(?:\.\d+)?$/.test(value)
        ? undefined
        : wrongType(value, type, '"12.50"');
    case 'integer':
      return typeof value === 'number' && Number.isInteger(value)
        ? undefined
        : wrongType(value, type, '12; the key of what a call made is "@A", where A is its as');
    case 'float':
      return typeof value === 'number' ? undefined : wrongType(value, type, '12.5');
    case 'boolean':
      return typeof value === 'boolean' ? undefined : wrongType(value, type, 'true');
    case 'enum':
      if (typeof value === 'string' && type.values.includes(value)) return undefined;
      return {
        why: `${JSON.stringify(value)} is none of ${type.values.join(', ')}.${typeof value === 'string' ? didYouMean(value, type.values) : ''}`,
      };
    case 'date':
    case 'time':
    case 'timestamp': {
      const isTime = typeof value === 'string' && (FORMS[type.kind]?.test(value) === true || TIME.test(value));
      return isTime
        ? undefined
        : wrongType(value, type, type.kind === 'time' ? '"18:30"' : '"~now+2h", "~tomorrow 12:00", "~today+30d"');
    }
    case 'list':
      if (!Array.isArray(value)) return wrongType(value, type, '["a", "b"]');
      return (value as readonly Value[])
        .map((item) => whyWrong(item, type.of, { made, shapes }))
        .find((wrong) => wrong !== undefined);
    case 'objects': {
      if (!Array.isArray(value)) return wrongType(value, type, '[{"fields": [{"name": "amount", "value": "1.00"}]}]');
      return (value as readonly Value[])
        .map((item) => whyWrongItem(item, type, { made, shapes }))
        .find((wrong) => wrong !== undefined);
    }
    case 'text':
      return typeof value === 'string' ? undefined : wrongType(value, type, '"abc"');
    default:
      return undefined;
  }
}

function whyWrongItem(
  item: Value,
  type: Type & { readonly kind: 'objects' },
  place: { readonly made: ReadonlySet<string>; readonly shapes: Shapes },
): Wrong | undefined {
  if (typeof item !== 'object' || item === null || !('fields' in item))
    return { why: 'an item of a list of objects.', example: '{"fields": [{"name": "amount", "value": "1.00"}]}' };
  const wrong = item.fields.map(({ name, value }: NamedValue) => {
    const column = type.columns.find((one) => one.name === name);
    const known = type.columns.map((one) => one.name);
    if (column === undefined)
      return { why: `there is no column ${name}: known are ${known.join(', ')}.${didYouMean(name, known)}` };
    return whyWrong(value, column.type, place);
  });
  return wrong.find((one) => one !== undefined);
}

function wrongType(value: Value, type: Type, example: string): Wrong {
  const found = typeof value === 'string' ? `the text '${value}'` : JSON.stringify(value);
  return { why: `${found} where ${typeName(type)} is wanted.`, example };
}
