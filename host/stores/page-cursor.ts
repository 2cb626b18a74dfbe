import type { Scalar, ValueType } from '@beds/sdk';
import { storeErrors } from '../errors/store.js';
import type { NamedValue } from './contract.js';
import type { PlannedOrder, QueryPlan } from './query-plan.js';

/** Types whose values sort in JavaScript as in every database; of text, only the database knows its collation. */
const SORTED: ReadonlySet<ValueType> = new Set(['integer', 'number', 'decimal', 'boolean', 'date', 'datetime']);

/**
 * The cursor of the page that `found` makes, the rows that the plan asked for; undefined where no more of them follow.
 * Throws BEDS_STORE_CURSOR_STUCK where the page does not lie after the cursor that it began with: its caller would ask for
 * pages for ever.
 */
export function cursorOf<Row>(
  plan: QueryPlan,
  found: readonly Row[],
  valueOf: (row: Row, column: NamedValue) => Scalar,
): string | undefined {
  const hasMore = found.length > plan.limit;
  const { start } = plan;
  if (!hasMore && start === undefined) return undefined;
  const positionOf = (row: Row | undefined): readonly Scalar[] | undefined =>
    row === undefined ? undefined : plan.order.map(({ column }) => valueOf(row, column));
  const last = positionOf(found[plan.limit - 1]);
  if (start !== undefined) {
    for (const position of [positionOf(found[0]), last]) {
      if (position !== undefined && !isAfter(plan.order, start, position)) {
        throw storeErrors.make('BEDS_STORE_CURSOR_STUCK');
      }
    }
  }
  return hasMore && last !== undefined ? plan.cursorAt(last) : undefined;
}

/** Whether `position` may lie after `start`: true where only the database can tell. */
function isAfter(order: readonly PlannedOrder[], start: readonly Scalar[], position: readonly Scalar[]): boolean {
  for (const [index, { column, direction }] of order.entries()) {
    const compared = compare(column, position[index] ?? null, start[index] ?? null);
    if (compared === undefined) return true;
    if (compared !== 0) return direction === 'asc' ? compared > 0 : compared < 0;
  }
  return false;
}

/** Negative where `a` sorts before `b`; undefined where that cannot be told here. Null sorts before every value. */
function compare({ type }: NamedValue, a: Scalar, b: Scalar): number | undefined {
  if (a === b) return 0;
  if (a === null || b === null) return a === null ? -1 : 1;
  if (!SORTED.has(type)) return undefined;
  if (type === 'date' || type === 'datetime') return compareInstants(String(a), String(b));
  // n.b. two exact numbers may be the same number here.
  return Number(a) - Number(b) || undefined;
}

/** The digits of a second are as many as are needed, and sort before the Z that ends them. */
function compareInstants(a: string, b: string): number {
  return a.replace('Z', '') < b.replace('Z', '') ? -1 : 1;
}
