import { defineDomain, operationsOf, type RowOf, t } from '@beds/sdk';
import { definition, kept } from './definition.js';

const MAX_LINES = 500;
const PURGED_AT_ONCE = 500;
const instant = t.int({ min: 0 });
const name = t.string({ max: 200 });
/** Sorts behind every id. */
const LAST_ID = '~';
/** Beyond it an id would have one more digit. */
const LAST_INSTANT = 36 ** 9 - 1;

const { query, mutation, pages, unsupported } = operationsOf<typeof definition>();

/** A line as it is given to whoever looks for it. */
const line = t.object({
  ...{ id: t.string(), at: instant, level: t.int(), node: name, domain: name, version: name, message: t.string() },
  ...{ cause: t.string(), code: name, place: name, requestId: name, traceId: name, count: t.int(), fields: t.string() },
});

/** A line as it comes from the broker that collects them. */
const given = t.object({
  ...{ id: t.string({ max: 40 }), level: t.int({ min: 0, max: 100 }), node: name },
  ...{ domain: name.default(''), version: name.default(''), message: t.string({ max: 2_000 }) },
  ...{ cause: t.string({ max: 16 }).default(''), code: name.default(''), place: name.default('') },
  ...{ requestId: name.default(''), traceId: name.default('') },
  count: t.int({ min: 1, max: 2_000_000_000 }).default(1),
  fields: t.string({ max: 8_192 }).default(''),
});

/** The beginning of the ids of lines of that moment. */
function idAt(at: number): string {
  return Math.min(at, LAST_INSTANT).toString(36).padStart(9, '0');
}

/** When the line with this id was written. */
function instantOf(id: string): number {
  return Number.parseInt(id.slice(0, 9), 36) || 0;
}

function shown({
  request_id: requestId,
  trace_id: traceId,
  line_count: count,
  installation: _,
  ...rest
}: RowOf<typeof kept.fields>): RowOf<typeof line.fields> {
  return { ...rest, at: instantOf(rest.id), requestId, traceId, count };
}

function isConflict(error: unknown): boolean {
  return (error as { readonly code?: unknown }).code === 'BEDS_STORE_CONFLICT';
}

/** Lines by what is given of them, oldest first: those after `after`, or else the newest. */
const search = query(
  {
    input: {
      ...{ domain: name.optional(), node: name.optional(), level: t.int().optional() },
      ...{ requestId: name.optional(), traceId: name.optional(), cause: t.string({ max: 16 }).optional() },
      ...{ since: instant.optional(), until: instant.optional(), after: t.string({ max: 40 }).optional() },
      faults: t.boolean().default(false),
      limit: t.int({ min: 1, max: MAX_LINES }).default(100),
    },
    output: t.list(line, { max: MAX_LINES }),
  },
  async ({ input, db, self: { installation } }) => {
    const { domain, node, level, requestId, traceId, cause, since = 0, until, after, faults, limit } = input;
    const first = typeof since === 'number' ? idAt(since) : '';
    const isOnward = typeof after === 'string' && after >= first;
    const where = {
      installation,
      id: {
        ...(isOnward ? { gt: after } : { gte: first }),
        lt: typeof until === 'number' ? idAt(until) : LAST_ID,
      },
      ...(typeof domain === 'string' && { domain }),
      ...(typeof node === 'string' && { node }),
      ...(typeof level === 'number' && { level: { gte: level } }),
      ...(typeof requestId === 'string' && { request_id: requestId }),
      ...(typeof traceId === 'string' && { trace_id: traceId }),
      ...(typeof cause === 'string' ? { cause } : faults && { cause: { gt: '' } }),
    };
    const direction = isOnward ? 'asc' : 'desc';
    const { rows } = await db.list({ where, order: [{ column: 'id', direction }], limit });
    return (isOnward ? rows : rows.toReversed()).map(shown);
  },
);

/** Faults by their cause, the newest first. */
const faults = query(
  {
    input: { domain: name.default(''), since: instant.default(0), until: instant.optional() },
    output: t.list(
      t.object({
        ...{ cause: t.string(), count: t.int(), firstAt: instant, lastAt: instant, lastId: t.string() },
        ...{ domain: name, version: name, code: name, place: name, message: t.string() },
      }),
    ),
  },
  async ({ input: { domain, since, until }, db, self: { installation } }) => {
    const range = { from_id: idAt(since), until_id: typeof until === 'number' ? idAt(until) : LAST_ID };
    const groups = await db.faults({ installation, domain, ...range });
    return groups.map(({ fault_count: count, first_id: first, last_id: lastId, ...rest }) => ({
      ...{ ...rest, count, lastId, firstAt: instantOf(first), lastAt: instantOf(lastId) },
    }));
  },
);

const operations = {
  create: unsupported('Lines are added by the broker that collects them.'),
  update: unsupported('A line is never changed.'),
  delete: unsupported('Lines are removed by their age.'),

  /** Lines of this installation. */
  fetch: pages(kept, ({ input, db, self: { installation } }) =>
    db.list({ ...input, where: { ...input.where, installation } }),
  ),

  ...{ search, faults },
  /** The same for the node that takes questions of operators: it has looked at who asks. */
  ...{ searchForDesk: search, faultsForDesk: faults },

  /** Keeps lines. One that is kept already is left as it is: whoever is not sure says it again. */
  add: mutation(
    { input: { lines: t.list(given, { max: MAX_LINES }) }, output: {} },
    async ({ input: { lines }, db, self: { installation } }) => {
      const rows = lines.map(({ requestId, traceId, count, ...rest }) => ({
        ...{ ...rest, installation, request_id: requestId, trace_id: traceId, line_count: count },
      }));
      if (rows.length === 0) return {};
      try {
        await db.add({ lines: rows.map(({ id: _id, ...rest }) => ({ _id, ...rest })) });
      } catch (error) {
        if (!isConflict(error)) throw error;
        for (const row of rows) await db.put(row);
      }
      return {};
    },
  ).idempotent(),

  /** Removes some lines of these levels that are older. */
  purge: mutation(
    {
      input: { leastLevel: t.int(), mostLevel: t.int(), before: instant },
      output: { removed: t.int() },
    },
    async ({ input: { leastLevel, mostLevel, before }, db, self: { installation } }) => {
      const where = { installation, id: { lt: idAt(before) }, level: { between: [leastLevel, mostLevel] } } as const;
      const { rows } = await db.list({ where, order: [{ column: 'id', direction: 'asc' }], limit: PURGED_AT_ONCE });
      // n.b. not every store can be told how many: what comes before the last of these are they.
      const last = rows.length < PURGED_AT_ONCE ? undefined : rows.at(-1);
      const levels = { installation, least_level: leastLevel, most_level: mostLevel };
      const { affected } = await db.purge({ ...levels, before_id: last?.id ?? idAt(before) });
      return { removed: affected };
    },
  ).idempotent(),
};

/** Log lines of all nodes. Who collects them adds them, operators look for them, and what is old is removed. */
export default defineDomain({
  ...definition,
  name: 'logs',
  version: '1.0.0',
  access: {
    fetch: ['viewer', 'operator', 'dba'],
    search: ['viewer', 'operator', 'dba'],
    faults: ['viewer', 'operator', 'dba'],
    ...{ searchForDesk: 'host', faultsForDesk: 'host' },
    add: 'host',
    purge: 'host',
  },
  operations: () => operations,
});
