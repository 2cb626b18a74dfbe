import type { Arithmetic, Comparison, Formula, Type, Unit } from './checked.js';
import { Exact } from './exact.js';
import { compareComputed, type Computed, FUNCTIONS, monthsLater, printed, type Span } from './functions.js';

/** What a formula comes to, by the rules of the language: what every database must come to as well. */
export interface Surroundings {
  readonly zone: string;
  readonly now: Date;
  readonly user?: string;
  readonly tenant?: string;
  readonly roles?: readonly string[];
  readonly args?: Readonly<Record<string, Computed>>;
  /** Fields by the name of their row: those of the record itself are in `this`. */
  readonly rows?: Readonly<Record<string, Readonly<Record<string, Computed>>>>;
  /** What a part comes to for whoever knows more than this; undefined: it is computed here. */
  readonly resolve?: (part: Formula) => Computed | undefined;
}

const UNIT_MS: Readonly<Record<Exclude<Unit, 'months' | 'years'>, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  min: 60_000,
  hours: 3_600_000,
  days: 86_400_000,
  weeks: 604_800_000,
};

/** Computes a formula that looks at rows and arguments, but at no stored sets. */
export function computeFormula(formula: Formula, around: Surroundings): Computed {
  const known = around.resolve?.(formula);
  if (known !== undefined) return known;
  const of = (part: Formula): Computed => computeFormula(part, around);
  switch (formula.node) {
    case 'literal':
      return literal(formula.value, formula.type);
    case 'span':
      return formula.in === 'months' || formula.in === 'years'
        ? { months: formula.amount * (formula.in === 'years' ? 12 : 1), ms: 0 }
        : { months: 0, ms: formula.amount * UNIT_MS[formula.in] };
    case 'argument':
      return argumentIn(around, formula.name);
    case 'given':
      return argumentIn(around, formula.name) !== null;
    case 'caller':
      return around[formula.what] ?? null;
    case 'has_role':
      return (around.roles ?? []).includes(formula.role);
    case 'now':
      return around.now;
    case 'today':
      return FUNCTIONS.get('date')?.run([around.now], around.zone) ?? null;
    case 'field':
      return around.rows?.[formula.row]?.[[...formula.path.map(({ field }) => field), formula.field].join('.')] ?? null;
    case 'not':
      return of(formula.of) !== true;
    case 'negate':
      return negated(of(formula.of));
    case 'and':
      return formula.of.every((part) => of(part) === true);
    case 'or':
      return formula.of.some((part) => of(part) === true);
    case 'compare':
      return compared(formula.op, ...ranked(formula.left, formula.right, of));
    case 'is_null':
      return (of(formula.of) === null) !== formula.not;
    case 'in': {
      const value = of(formula.of);
      const list = 'node' in formula.list ? (of(formula.list) as readonly Computed[] | null) : formula.list.map(of);
      const isIn = (list ?? []).some((item) => compared('=', value, item));
      return formula.not ? value !== null && !isIn : isIn;
    }
    case 'arithmetic':
      return calculated(formula.op, of(formula.left), of(formula.right));
    case 'call':
      return called(formula, around, of);
    default:
      throw new TypeError(`${formula.node} looks at more than one row`);
  }
}

function literal(value: string | number | boolean | null, type: Type): Computed {
  if (type.kind === 'timestamp' && typeof value === 'string') return new Date(value);
  const isNumber = type.kind === 'integer' || type.kind === 'decimal';
  return isNumber && value !== null ? Exact.of(String(value)) : value;
}

function argumentIn({ args = {} }: Surroundings, name: string): Computed {
  return args[name] ?? null;
}

function called(
  { name, args: given }: Formula & { readonly node: 'call' },
  { zone }: Surroundings,
  of: (part: Formula) => Computed,
): Computed {
  const info = FUNCTIONS.get(name);
  const args = given.map(of);
  return info === undefined || (!info.nulls && args.includes(null)) ? null : info.run(args, zone);
}

/** Both sides of a comparison; words of an enum by their places in it. */
function ranked(left: Formula, right: Formula, of: (part: Formula) => Computed): readonly [Computed, Computed] {
  const sides = [of(left), of(right)] as const;
  const lists = [left.type, right.type].flatMap((type) => (type.kind === 'enum' ? [type.values] : []));
  const words = lists.toSorted((a, b) => b.length - a.length)[0];
  const [a, b] = sides;
  if (words === undefined || typeof a !== 'string' || typeof b !== 'string') return sides;
  return words.includes(a) && words.includes(b) ? [words.indexOf(a), words.indexOf(b)] : sides;
}

/** Less, equal, greater: of two values of one type, lengths of time too. */
export function compareSame(left: Computed, right: Computed): number {
  if (isSpan(left) && isSpan(right)) return left.ms - right.ms;
  return compareComputed(left, right);
}

/** Comparing with null is false. */
function compared(op: Comparison, left: Computed, right: Computed): boolean {
  if (left === null || right === null) return false;
  const order = compareSame(left, right);
  return { '=': order === 0, '!=': order !== 0, '<': order < 0, '<=': order <= 0, '>': order > 0, '>=': order >= 0 }[
    op
  ];
}

function isSpan(value: Computed): value is Span {
  return typeof value === 'object' && value !== null && 'months' in value;
}

function negated(value: Computed): Computed {
  if (value instanceof Exact) return value.negated();
  if (isSpan(value)) return { months: -value.months, ms: -value.ms };
  return typeof value === 'number' ? -value : null;
}

/** Null where one side is, and for a division by zero. */
function calculated(op: Arithmetic, left: Computed, right: Computed): Computed {
  if (left === null || right === null) return null;
  if (left instanceof Exact && right instanceof Exact) return exactly(op, left, right);
  if (left instanceof Date && right instanceof Date) return { months: 0, ms: left.getTime() - right.getTime() };
  if (isSpan(left) && right instanceof Exact) return stretched(left, right);
  if (left instanceof Exact && isSpan(right)) return stretched(right, left);
  if (isSpan(right)) {
    const span = op === '-' ? (negated(right) as Span) : right;
    if (isSpan(left)) return { months: left.months + span.months, ms: left.ms + span.ms };
    return moved(left, span);
  }
  if (isSpan(left)) return moved(right, left);
  const [a, b] = [left, right].map((value) => (value instanceof Exact ? value.toNumber() : Number(value))) as [
    number,
    number,
  ];
  if ((op === '/' || op === '%') && b === 0) return null;
  return { '+': a + b, '-': a - b, '*': a * b, '/': a / b, '%': a % b }[op];
}

function exactly(op: Arithmetic, left: Exact, right: Exact): Computed {
  if (op === '+') return left.plus(right);
  if (op === '-') return left.plus(right.negated());
  if (op === '*') return left.times(right);
  return (op === '/' ? left.dividedBy(right) : left.remainder(right)) ?? null;
}

function stretched(span: Span, by: Exact): Span {
  return { months: span.months * by.toNumber(), ms: span.ms * by.toNumber() };
}

/** A day or a moment, so much later: months first, then the rest. */
function moved(value: Computed, span: Span): Computed {
  const start = value instanceof Date ? value : new Date(`${printed(value)}T00:00:00Z`);
  const end = new Date(monthsLater(start, span.months).getTime() + span.ms);
  return value instanceof Date ? end : end.toISOString().slice(0, 10);
}
