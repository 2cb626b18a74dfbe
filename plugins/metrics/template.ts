import { createHash } from 'node:crypto';
import { type Call, defineDomain, operationsOf, type RowOf, t } from '@beds/sdk';
import { definition, type kept, type point, usage } from './definition.js';

/** Samples are taken every five seconds; of these are made such of a minute, of those such of five, and of those such of an hour. */
const FINE = 5;
const MINUTE = 60;
const FIVE_MINUTES = 300;
const HOUR = 3_600;
const DAY = 86_400;
/** How long samples are kept, by their step. */
const KEPT_SECONDS: readonly (readonly [step: number, seconds: number])[] = [
  [FINE, DAY],
  [MINUTE, 8 * DAY],
  [FIVE_MINUTES, 32 * DAY],
  [HOUR, 366 * DAY],
];
/** Of which samples which are made, and of how many seconds again each time. */
const ROLL_UPS = [
  [FINE, MINUTE, 10 * MINUTE],
  [MINUTE, FIVE_MINUTES, 30 * MINUTE],
  [FIVE_MINUTES, HOUR, 3 * HOUR],
] as const;
const KEPT_USAGE_DAYS = 400;
/** Samples of so many moments are removed at a time. */
const MOMENTS_AT_ONCE = 10;
const MAX_POINTS = 2_000;
/** An overview reads every domain on every node this often at most, unless it is of more than half a day. */
const OVERVIEW_MOMENTS = 15;
const ROWS_AT_ONCE = 500;

const { query, mutation, pages, unsupported } = operationsOf<typeof definition>();
const name = t.string({ max: 200 });
/** Milliseconds since 1970. */
const instant = t.int({ min: 0 });

type Database = Call<unknown, typeof definition>['db'];
type Kept = RowOf<typeof kept.fields>;

/** Figures as operators get them: times in milliseconds. */
const shownFigures = {
  ...{ calls: t.int(), failures: t.int(), p50Ms: t.number(), p95Ms: t.number(), p99Ms: t.number() },
  ...{
    inFlight: t.int(),
    queued: t.int(),
    waiting: t.int(),
    memoryMb: t.int(),
    cpuPercent: t.number(),
    swaps: t.int(),
  },
};
const NAMES = Object.keys(shownFigures) as (keyof typeof shownFigures)[];

const given = {
  calls: t.int({ min: 0 }),
  failures: t.int({ min: 0 }),
  ...{ p50Ms: t.number({ min: 0 }), p95Ms: t.number({ min: 0 }), p99Ms: t.number({ min: 0 }) },
  ...{ inFlight: t.int({ min: 0 }), queued: t.int({ min: 0 }), waiting: t.int({ min: 0 }) },
  ...{ memoryMb: t.int({ min: 0 }), cpuPercent: t.number({ min: 0 }), swaps: t.int({ min: 0 }) },
};

const MAX_COUNT = 2_000_000_000;

function bounded(value: number): number {
  return Math.min(MAX_COUNT, Math.max(0, Math.round(value)));
}

function toKept(
  sample: RowOf<typeof given> & { readonly domain: string },
  { installation, node, at }: Pick<Kept, 'installation' | 'node' | 'at'>,
): Kept {
  const { domain, calls, failures, p50Ms, p95Ms, p99Ms, inFlight, queued, waiting, memoryMb, cpuPercent, swaps } =
    sample;
  return {
    ...{ installation, step: FINE, domain, at: Math.floor(at / 1_000 / FINE) * FINE, node },
    ...{ calls: bounded(calls), failures: bounded(failures) },
    ...{ p50_us: bounded(p50Ms * 1_000), p95_us: bounded(p95Ms * 1_000), p99_us: bounded(p99Ms * 1_000) },
    ...{ in_flight: bounded(inFlight), queued: bounded(queued), waiting: bounded(waiting) },
    ...{ memory_mb: bounded(memoryMb), cpu_permille: bounded(cpuPercent * 10), swaps: bounded(swaps) },
  };
}

function idOf({ installation, step, domain, at, node }: Kept): string {
  return `${installation}/${step}/${domain}/${at}/${node}`;
}

function shown(row: Omit<RowOf<typeof point.fields>, 'at'>): RowOf<typeof shownFigures> {
  return {
    ...{ calls: row.calls, failures: row.failures },
    ...{ p50Ms: row.p50_us / 1_000, p95Ms: row.p95_us / 1_000, p99Ms: row.p99_us / 1_000 },
    ...{ inFlight: row.in_flight, queued: row.queued, waiting: row.waiting },
    ...{ memoryMb: row.memory_mb, cpuPercent: row.cpu_permille / 10, swaps: row.swaps },
  };
}

/** The steps of samples that are still kept of that instant, the finest first. */
function stepsKept(from: number): readonly number[] {
  const age = Date.now() / 1_000 - from;
  return KEPT_SECONDS.filter(([, seconds]) => age <= seconds).map(([step]) => step);
}

/** The samples that tell as much as is asked for, of those that are still kept. */
function stepFor(width: number, from: number): number {
  const still = stepsKept(from);
  const [finest = HOUR] = still;
  return still.findLast((step) => step <= width) ?? finest;
}

function isConflict(error: unknown): boolean {
  return (error as { readonly code?: unknown }).code === 'BEDS_STORE_CONFLICT';
}

/** n.b. what was sent twice is kept once: by its id. */
async function keep(db: Database, rows: readonly Kept[]): Promise<void> {
  for (let begin = 0; begin < rows.length; begin += ROWS_AT_ONCE) {
    const part = rows.slice(begin, begin + ROWS_AT_ONCE);
    try {
      await db.add({ samples: part.map((row) => ({ _id: idOf(row), ...row })) });
    } catch (error) {
      if (!isConflict(error)) throw error;
      for (const row of part) await db.put({ id: idOf(row), ...row });
    }
  }
}

/** Points of one domain, or with an empty name of everything, at equal distances; of one node, or of all together. */
const series = query(
  {
    input: {
      ...{ domain: name.default(''), node: name.default(''), from: instant, to: instant },
      points: t.int({ min: 1, max: MAX_POINTS }).default(120),
      metrics: t.list(t.enum(NAMES)).optional(),
    },
    output: t.object({
      /** Milliseconds from one point to the next. */
      stepMs: t.int(),
      points: t.list(
        t
          .row({ at: instant, ...shownFigures })
          .partial()
          .extend({ at: instant }),
      ),
    }),
  },
  async ({ input: { domain, node, from, to, points, metrics }, db, self: { installation } }) => {
    const fromAt = Math.floor(from / 1_000);
    const span = Math.max(1, Math.ceil(to / 1_000) - fromAt);
    const step = stepFor(span / points, fromAt);
    const width = Math.max(step, Math.ceil(span / points / step) * step);
    const range = { from_at: Math.floor(fromAt / width) * width, until_at: Math.max(0, Math.ceil(to / 1_000)) };
    const rows = await db.series({ installation, step, domain, node, ...range, width });
    const wanted = NAMES.filter((each) => metrics?.includes(each) ?? true);
    return {
      stepMs: width * 1_000,
      points: rows.map(({ at, ...figures }) => {
        const all = shown(figures);
        return { at: at * 1_000, ...Object.fromEntries(wanted.map((each) => [each, all[each]])) };
      }),
    };
  },
);

/** Every domain on every node over the whole time, as far as samples are complete; an empty name is a whole node. */
const overview = query(
  {
    input: { from: instant, to: instant },
    output: t.list(t.row({ domain: name, node: name, ...shownFigures })),
  },
  async ({ input: { from, to }, db, self: { installation } }) => {
    const fromAt = Math.floor(from / 1_000);
    const untilAt = Math.max(0, Math.ceil(to / 1_000));
    const kept = stepsKept(fromAt);
    const wanted = kept.find((step) => step >= (untilAt - fromAt) / OVERVIEW_MOMENTS) ?? HOUR;
    const read = (step: number): ReturnType<typeof db.overview> =>
      db.overview({ installation, step, from_at: Math.floor(fromAt / step) * step, until_at: untilAt });
    let rows = await read(wanted);
    // n.b. in the first minutes there are no coarse ones.
    for (const step of kept.filter((each) => each < wanted).toReversed())
      if (rows.length === 0) rows = await read(step);
    return rows.map(({ domain, node, ...figures }) => ({ domain, node, ...shown(figures) }));
  },
);

/** How much objects are used, by operation and version; `since`: from when on calls are counted. */
const objects = query(
  {
    input: {
      name: name.default(''),
      domain: name.default(''),
      days: t.int({ min: 1, max: KEPT_USAGE_DAYS }).default(90),
    },
    output: t.object({
      since: instant.optional(),
      days: t.int(),
      objects: t.list(
        t.row({
          ...{ store: name, object: name, kind: t.string(), domain: name, version: name, operation: name },
          ...{ calls: t.int(), callsPerDay: t.number(), failures: t.int(), p95Ms: t.number() },
          ...{ firstAt: instant, lastAt: instant },
        }),
      ),
    }),
  },
  async ({ input: { name: object, domain, days }, db, self: { installation } }) => {
    const today = Math.floor(Date.now() / 1_000 / DAY);
    const [since, rows] = await Promise.all([
      db.usageSince({ installation }),
      db.usageOf({ installation, object, domain, from_day: Math.max(0, today - days + 1) }),
    ]);
    const first = since?.first_at ?? null;
    const counted = first === null ? days : Math.min(days, Math.max(1, Date.now() / 1_000 / DAY - first / DAY));
    return {
      since: first === null ? null : first * 1_000,
      days,
      objects: rows.map(({ p95_us: p95, first_at: firstAt, last_at: lastAt, ...rest }) => ({
        ...rest,
        ...{ callsPerDay: Math.round((rest.calls / counted) * 10) / 10, p95Ms: p95 / 1_000 },
        ...{ firstAt: firstAt * 1_000, lastAt: lastAt * 1_000 },
      })),
    };
  },
);

const operations = {
  create: unsupported('Samples are added by the broker that collects them.'),
  update: unsupported('A sample is never changed.'),
  delete: unsupported('Samples are removed by their age.'),

  /** Counts of this installation. */
  fetch: pages(usage, ({ input, db, self: { installation } }) =>
    db.list({ ...input, where: { ...input.where, installation } }),
  ),

  ...{ series, overview, objects },
  /** The same for the node that takes questions of operators: it has looked at who asks. */
  ...{ seriesForDesk: series, overviewForDesk: overview, objectsForDesk: objects },

  /** Keeps what a node told of one moment. */
  add: mutation(
    {
      input: { node: name, at: instant, samples: t.list(t.object({ domain: name, ...given }), { max: 1_000 }) },
      output: {},
    },
    async ({ input: { node, at, samples }, db, self: { installation } }) => {
      await keep(
        db,
        samples.map((sample) => toKept(sample, { installation, node, at })),
      );
      return {};
    },
  ).idempotent(),

  /** Keeps what a process of a node counted of objects on a day, all of that day: said again it is the same. */
  addUsage: mutation(
    {
      input: {
        node: name,
        /** Tells processes of a node apart. */
        process: name,
        rows: t.list(
          t.object({
            ...{ day: t.int({ min: 0 }), store: name, object: name, kind: t.string({ max: 20 }), domain: name },
            ...{ version: name, operation: name, calls: t.int({ min: 0 }), failures: t.int({ min: 0 }) },
            ...{ p95Ms: t.number({ min: 0 }), firstAt: instant, lastAt: instant },
          }),
          { max: 1_000 },
        ),
      },
      output: {},
    },
    async ({ input: { node, process, rows }, db, self: { installation } }) => {
      const put = ({ p95Ms, firstAt, lastAt, ...row }: (typeof rows)[number]): Promise<unknown> => {
        const about = [
          installation,
          row.day,
          node,
          process,
          row.store,
          row.object,
          row.domain,
          row.version,
          row.operation,
        ];
        const kept: RowOf<typeof usage.fields> = {
          id: createHash('sha256').update(about.join('\0')).digest('hex'),
          ...{ ...row, installation, node, p95_us: bounded(p95Ms * 1_000) },
          ...{ first_at: Math.floor(firstAt / 1_000), last_at: Math.floor(lastAt / 1_000) },
        };
        return db.usagePut(kept);
      };
      for (let begin = 0; begin < rows.length; begin += 16) await Promise.all(rows.slice(begin, begin + 16).map(put));
      return {};
    },
  ).idempotent(),

  /** Makes coarser samples of those that are complete. n.b. again for a while: nodes whose samples come late are counted as well. */
  rollUp: mutation({ output: {} }, async ({ db, self: { installation } }) => {
    const now = Math.floor(Date.now() / 1_000);
    for (const [step, coarse, back] of ROLL_UPS) {
      const until = Math.floor(now / coarse) * coarse;
      const rows = await db.rollUp({ installation, step, coarse, from_at: Math.max(0, until - back), until_at: until });
      for (const each of rows) {
        const row = { ...each, installation };
        await db.put({ id: idOf(row), ...row });
      }
    }
    return {};
  }).idempotent(),

  /** Removes some of what is old; `removed`: of one kind at most. n.b. a part at a time, also where a store removes all that fits. */
  purge: mutation({ output: { removed: t.int() } }, async ({ db, self: { installation } }) => {
    const now = Math.floor(Date.now() / 1_000);
    let removed = 0;
    for (const [step, seconds] of KEPT_SECONDS) {
      const [oldest] = await db.oldest({ installation, step });
      const before = Math.min(now - seconds, (oldest?.at ?? 0) + MOMENTS_AT_ONCE * step);
      const { affected } = await db.purge({ installation, step, before_at: Math.max(0, before) });
      removed = Math.max(removed, affected);
    }
    const since = (await db.usageSince({ installation }))?.first_at ?? 0;
    const before = Math.min(Math.floor(now / DAY) - KEPT_USAGE_DAYS, Math.floor(since / DAY) + 1);
    const { affected } = await db.usagePurge({ installation, before_day: Math.max(0, before) });
    return { removed: Math.max(removed, affected) };
  }).idempotent(),
};

/** Samples of all nodes, and how much each object of a store is used. */
export default defineDomain({
  ...definition,
  name: 'metrics',
  version: '1.0.0',
  access: {
    fetch: ['viewer', 'operator', 'dba'],
    series: ['viewer', 'operator', 'dba'],
    overview: ['viewer', 'operator', 'dba'],
    objects: ['viewer', 'operator', 'dba'],
    ...{ seriesForDesk: 'host', overviewForDesk: 'host', objectsForDesk: 'host' },
    add: 'host',
    addUsage: 'host',
    rollUp: 'host',
    purge: 'host',
  },
  operations: () => operations,
});
