import { storeErrors } from '../../errors/store.js';

/** What a bound argument gives: its BSON value, or nothing where the DBA lets it fall away. */
export type Arguments = ReadonlyMap<string, unknown>;

/** A part of a body, ready to be filled in. */
export type Part = (args: Arguments) => unknown;

/** Stands for a part that falls away because its optional argument was left out. */
export const ABSENT: unique symbol = Symbol('absent');

/** What is learned of a body while it is compiled. */
export interface Compilation {
  readonly declared: ReadonlySet<string>;
  readonly optional: ReadonlySet<string>;
  /** Arguments that are whole numbers. */
  readonly whole: ReadonlySet<string>;
  readonly used: Set<string>;
  readonly problems: string[];
  /** Collections that a pipeline reads besides its own. */
  readonly reads: Set<string>;
}

export interface Context {
  readonly into: Compilation;
  /** Where in the body, for messages. */
  readonly at: string;
  /** Whether `absent: 'omit'` may be used here. */
  readonly mayOmit: boolean;
}

export type PlainObject = Readonly<Record<string, unknown>>;

/** Whether a node is a document, not a BSON value such as a date or an ObjectId. */
export function isDocument(node: unknown): node is PlainObject {
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return false;
  const prototype: unknown = Object.getPrototypeOf(node);
  return (prototype === Object.prototype || prototype === null) && !('_bsontype' in node);
}

export function isArgument(node: unknown): node is PlainObject {
  return isDocument(node) && '$arg' in node;
}

export function inside(context: Context, key: string | number): Context {
  return { ...context, at: `${context.at}.${key}` };
}

export function problem(context: Context, text: string): Part {
  context.into.problems.push(`${context.at}: ${text}`);
  return () => undefined;
}

/** `{ $arg: name }` or `{ $arg: name, absent: 'omit' }`. */
export function argument(node: PlainObject, context: Context, wrap: (value: unknown, name: string) => unknown): Part {
  const { $arg: name, absent, ...rest } = node;
  if (typeof name !== 'string') return problem(context, '$arg must be the name of an argument');
  if (Object.keys(rest).length > 0) return problem(context, `$arg ${name} stands with other keys than absent`);
  if (absent !== undefined && absent !== 'omit') return problem(context, `absent of $arg ${name} knows only 'omit'`);
  if (!context.into.declared.has(name)) return problem(context, `$arg names ${name}, which args does not declare`);
  context.into.used.add(name);
  if (absent === 'omit') {
    if (!context.mayOmit) return problem(context, `$arg ${name} must not be omitted here`);
    if (!context.into.optional.has(name)) return problem(context, `$arg ${name} is omitted but is not optional`);
    return (args) => (args.get(name) === null ? ABSENT : wrap(args.get(name), name));
  }
  return (args) => wrap(args.get(name), name);
}

/** A document whose fields are compiled one by one. What lost all its fields to absent arguments is absent itself. */
export function documentOf(parts: readonly (readonly [string, Part])[]): Part {
  return (args) => {
    const entries = parts.map(([key, part]) => [key, part(args)] as const).filter(([, value]) => value !== ABSENT);
    return entries.length === 0 && parts.length > 0 ? ABSENT : Object.fromEntries(entries);
  };
}

export function listOf(parts: readonly Part[]): Part {
  return (args) => {
    const items = parts.map((part) => part(args)).filter((value) => value !== ABSENT);
    return items.length === 0 && parts.length > 0 ? ABSENT : items;
  };
}

export function constant(node: unknown): Part {
  return () => node;
}

/** A part in which no argument can stand. */
export function fixed(node: unknown, context: Context): Part {
  if (isArgument(node)) return problem(context, 'an argument cannot stand here');
  const children = Array.isArray(node) ? [...node.entries()] : isDocument(node) ? Object.entries(node) : [];
  for (const [key, child] of children) fixed(child, inside(context, key));
  return constant(node);
}

/** A part in which every node is a plain value: documents to store, values to compare with. */
export function value(node: unknown, context: Context): Part {
  if (isArgument(node)) return argument(node, context, (bound) => bound);
  if (Array.isArray(node)) return listOf(node.map((item, index) => value(item, inside(context, index))));
  if (!isDocument(node)) return constant(node);
  return documentOf(Object.entries(node).map(([key, child]) => [key, value(child, inside(context, key))]));
}

/** The text that a regular expression matches only literally. */
export function quotePattern(text: string): string {
  // n.b. a pattern travels as a C string: it cannot hold NUL itself.
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&').replaceAll('\0', '\\x00');
}

/** A caller's text in a pattern is text: it matches itself. */
export function pattern(node: unknown, context: Context): Part {
  if (!isArgument(node)) return fixed(node, context);
  return argument(node, context, (bound, name) => {
    if (typeof bound === 'string') return quotePattern(bound);
    throw storeErrors.make('BEDS_STORE_INVALID_VALUE', 'A value must be text.', { field: name });
  });
}

const INT32_MAX = 2_147_483_647;

/** A whole number from `least`, such as a limit, or what stands for one that was left out. */
export function wholeNumber(least: number, otherwise?: unknown): (node: unknown, context: Context) => Part {
  const isWhole = (node: unknown): boolean =>
    Number.isInteger(node) && Number(node) >= least && Number(node) <= INT32_MAX;
  return (node, context) => {
    if (!isArgument(node))
      return isWhole(node) ? constant(node) : problem(context, `must be a whole number from ${least}`);
    const { whole } = context.into;
    if (typeof node['$arg'] === 'string' && context.into.declared.has(node['$arg']) && !whole.has(node['$arg'])) {
      return problem(context, `$arg ${node['$arg']} must be declared as integer here`);
    }
    return argument(node, { ...context, mayOmit: false }, (bound, name) => {
      if (bound === null && otherwise !== undefined) return otherwise;
      if (isWhole(bound)) return bound;
      throw storeErrors.make('BEDS_STORE_INVALID_VALUE', `A value must be a whole number from ${least}.`, {
        field: name,
      });
    });
  };
}
