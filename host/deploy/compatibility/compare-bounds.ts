import type { ValueDescription } from '@beds/sdk';
import { breaking, compatible, type Difference } from './difference.js';

interface Facet {
  readonly name: 'maxLength' | 'min' | 'max';
  /** What a bound that is not given stands for. */
  readonly unbounded: number;
}

const FACETS: readonly Facet[] = [
  { name: 'maxLength', unbounded: Infinity },
  { name: 'min', unbounded: -Infinity },
  { name: 'max', unbounded: Infinity },
];

/** Two descriptions of a value. `what` names it: `argument limit`. */
export interface ValuePair {
  readonly what: string;
  readonly live: ValueDescription;
  readonly next: ValueDescription;
}

/** Compares length and range. What is given must still fit (`tighter` breaks); what is received must be foreseen (`looser` breaks). */
export function compareBounds(pair: ValuePair, breaks: 'tighter' | 'looser'): readonly Difference[] {
  return FACETS.flatMap(({ name, unbounded }) => {
    const live = pair.live[name] ?? unbounded;
    const next = pair.next[name] ?? unbounded;
    if (live === next) return [];
    const isTighter = unbounded > 0 ? next < live : next > live;
    const message = `${name} of ${pair.what} ${describeBound({ live, next, unbounded })}`;
    return [isTighter === (breaks === 'tighter') ? breaking(message) : compatible(message)];
  });
}

function describeBound(bound: { readonly live: number; readonly next: number; readonly unbounded: number }): string {
  const { live, next, unbounded } = bound;
  if (live === unbounded) return `was set to ${String(next)}`;
  if (next === unbounded) return `(${String(live)}) is gone`;
  return `was ${next < live ? 'lowered' : 'raised'} from ${String(live)} to ${String(next)}`;
}
