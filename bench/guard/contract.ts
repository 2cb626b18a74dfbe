/** What is guarded: the request path and the client, each without any I/O. */
export const GUARDED = ['dispatch', 'client'] as const;

export type Guarded = (typeof GUARDED)[number];

/** What one operation costs. */
export interface Cost {
  /** Its time, as a multiple of that of the yardstick. */
  readonly time: number;
  /** Bytes that it allocates on the heap. */
  readonly heapBytes: number;
}

export type Costs = Readonly<Record<Guarded, Cost>>;

/** How much may be measured, as a multiple of the reference. */
export const BOUNDS: Readonly<Record<keyof Cost, number>> = { time: 1.5, heapBytes: 1.25 };

/** The middle cost of each: what else the machine does adds to some, and to the yardsticks of others. */
export function middle(all: readonly Costs[]): Costs {
  const of = (name: Guarded): Cost => ({
    time: median(all.map((costs) => costs[name].time)),
    heapBytes: median(all.map((costs) => costs[name].heapBytes)),
  });
  return { dispatch: of('dispatch'), client: of('client') };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
