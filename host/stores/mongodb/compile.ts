import type { ValueType } from '@beds/sdk';
import type { Compilation, Context, Part, PlainObject } from './body.js';
import { inside, isDocument, problem } from './body.js';
import type { OperationName } from './operations.js';
import { operationOf } from './operations.js';

/** The parts of a body, ready to be filled in, by the name the driver calls them. */
export type CompiledBody = Readonly<Record<string, Part>>;

export interface CompileResult {
  readonly parts: CompiledBody;
  readonly problems: readonly string[];
  /** Collections that the body reads besides its own. */
  readonly reads: readonly string[];
}

/** Run code in the server, write elsewhere, or look behind the collection. */
const FORBIDDEN = new Set(['$out', '$merge', '$function', '$accumulator', '$where']);

export interface BodySource {
  readonly op: OperationName;
  readonly body: unknown;
  /** The arguments, and which of them may be left out. */
  readonly args: ReadonlyMap<string, { readonly optional: boolean; readonly type: ValueType }>;
}

/** Reads a body once: what arguments mean in it, and everything that is wrong with it. */
export function compileBody({ op, body, args }: BodySource): CompileResult {
  const into: Compilation = {
    declared: new Set(args.keys()),
    optional: new Set([...args].filter(([, arg]) => arg.optional).map(([name]) => name)),
    whole: new Set([...args].filter(([, arg]) => arg.type === 'integer').map(([name]) => name)),
    used: new Set(),
    problems: [],
    reads: new Set(),
  };
  const context: Context = { into, at: 'body', mayOmit: true };
  const parts = isDocument(body) ? compileParts(op, body, context) : {};
  if (!isDocument(body)) problem(context, 'must be a document');
  findForbidden(body, context);
  for (const name of into.declared) {
    if (!into.used.has(name)) into.problems.push(`args.${name}: is declared but the body does not use it`);
  }
  return { parts, problems: into.problems, reads: [...into.reads] };
}

function compileParts(op: OperationName, body: PlainObject, context: Context): CompiledBody {
  const { required, optional } = operationOf(op);
  for (const name of Object.keys(required)) {
    if (!Object.hasOwn(body, name)) problem(context, `${op} needs ${name}`);
  }
  const known = { ...required, ...optional };
  return Object.fromEntries(
    Object.entries(body).map(([name, node]) => {
      const compile = Object.hasOwn(known, name) ? known[name] : undefined;
      const at = inside(context, name);
      return [name, compile === undefined ? problem(at, `${op} does not know this part`) : compile(node, at)];
    }),
  );
}

function findForbidden(node: unknown, context: Context): void {
  if (Array.isArray(node)) {
    for (const [index, item] of node.entries()) findForbidden(item, inside(context, index));
    return;
  }
  if (typeof node !== 'object' || node === null) return;
  if ((node as { _bsontype?: unknown })._bsontype === 'Code') problem(context, 'holds JavaScript');
  if (!isDocument(node)) return;
  for (const [key, child] of Object.entries(node)) {
    if (FORBIDDEN.has(key)) problem(inside(context, key), 'is not allowed');
    findForbidden(child, inside(context, key));
  }
}
