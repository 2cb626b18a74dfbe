import { conflict, defineDomain, operationsOf, refused, type RowOf, t } from '@beds/sdk';
import { BEGINNING, hashOf, type Place } from './chain.js';
import { definition, entry, record } from './definition.js';

/** Others may add records at the same moment: each round one of them is through. */
const ROUNDS = 200;

const { query, mutation, pages, unsupported } = operationsOf<typeof definition>();

type Entry = RowOf<typeof entry.fields>;

function isConflict(error: unknown): boolean {
  return (error as { readonly code?: unknown }).code === 'BEDS_STORE_CONFLICT';
}

function isSame(found: Entry, given: Entry): boolean {
  return (Object.keys(given) as (keyof Entry)[]).every((name) => found[name] === given[name]);
}

/** Who ordered what, and what came of it. Records are added and never changed; each has the hash of the one before. */
export default defineDomain({
  ...definition,
  name: 'audit',
  version: '1.0.0',
  access: {
    fetch: ['viewer', 'operator', 'dba'],
    last: ['viewer', 'operator', 'dba'],
    read: 'host',
    append: 'host',
  },
  operations: () => ({
    create: unsupported('Records are written by the node that takes orders.'),
    update: unsupported('A record is never changed.'),
    delete: unsupported('A record is never removed.'),

    /** Records of this installation. */
    fetch: pages(record, ({ input, db, self: { installation } }) =>
      db.list({ ...input, where: { ...input.where, installation } }),
    ),

    /** Where the chain ends, as the store has noted it: who removes the last record has to change this as well. */
    last: query({ output: t.object({ seq: t.int(), hash: t.string() }) }, async ({ db, self: { installation } }) => {
      return (await db.last({ installation })) ?? BEGINNING;
    }),

    /** Records behind one, the oldest first; null: the newest, in the same order. With them where the chain ends. */
    read: query(
      {
        input: { after: t.int({ min: 0 }).optional(), limit: t.int({ min: 1, max: 200 }) },
        output: t.object({ records: t.list(record), last: t.object({ seq: t.int(), hash: t.string() }) }),
      },
      async ({ input: { after, limit }, db, self: { installation } }) => {
        const last = (await db.last({ installation })) ?? BEGINNING;
        const behind = after ?? Math.max(0, last.seq - limit);
        const order = [{ column: 'seq', direction: 'asc' }] as const;
        const { rows } = await db.list({ where: { installation, seq: { gt: behind } }, order, limit });
        return { records: rows, last };
      },
    ),

    /** Adds a record behind the last one. An id is there once: the same record again is not added twice, another one is refused. */
    append: mutation(
      { input: entry.fields, output: t.object({ seq: t.int(), hash: t.string() }) },
      async ({ input: given, db, self: { installation } }): Promise<Place> => {
        for (let round = 0; round < ROUNDS; round += 1) {
          const { seq: before, hash: previous } = (await db.last({ installation })) ?? BEGINNING;
          const linked = { seq: before + 1, ...given, previous };
          const hash = hashOf(linked);
          try {
            const last = await db.append({ key: `${installation}/${linked.seq}`, installation, ...linked, hash });
            if (last?.hash === hash) return { seq: linked.seq, hash };
          } catch (error) {
            if (!isConflict(error)) throw error;
            const [found] = (await db.list({ where: { id: given.id }, limit: 1 })).rows;
            if (found !== undefined && isSame(found, given)) return { seq: found.seq, hash: found.hash };
            if (found !== undefined) throw conflict('There is a record with this id.');
          }
        }
        // n.b. no conflict: that would say that the record is there.
        throw refused('Others were first each time, or the store takes this record for one that is there.');
      },
    ).idempotent(),
  }),
});
