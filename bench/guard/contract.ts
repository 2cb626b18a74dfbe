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

/** The lower cost of each: what else the machine does only ever adds. */
export function least(one: Costs, other: Costs | undefined): Costs {
  const of = (name: Guarded): Cost => ({
    time: Math.min(one[name].time, other?.[name].time ?? Infinity),
    heapBytes: Math.min(one[name].heapBytes, other?.[name].heapBytes ?? Infinity),
  });
  return { dispatch: of('dispatch'), client: of('client') };
}
