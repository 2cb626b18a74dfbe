import { defineDomain, notFound, operationsOf, t } from '@beds/sdk';
import { definition, desired, member, part } from './definition.js';

const NOTHING = { revision: 0, content: '{}' };
const PAGE = 200;

const { query, mutation, unsupported } = operationsOf<typeof definition>();

function isConflict(error: unknown): boolean {
  return (error as { readonly code?: unknown }).code === 'BEDS_STORE_CONFLICT';
}

function idOf(hash: string, number: number): string {
  return `${hash}:${String(number)}`;
}

/** What all nodes shall run, with the bytes, and what each of them has reported. Admin nodes work with it; `beds fleet` shows it. */
export default defineDomain({
  ...definition,
  name: 'fleet',
  version: '1.0.0',
  access: {
    fetch: ['viewer', 'operator', 'dba'],
    ...{ state: 'host', set: 'host', report: 'host', leave: 'host', keep: 'host', part: 'host', drop: 'host' },
  },
  operations: () => ({
    create: unsupported('Nodes report by way of an admin node.'),
    update: unsupported('Nodes report by way of an admin node.'),
    delete: unsupported('A node leaves by way of an admin node: beds fleet forget.'),

    state: query({ output: t.object({ ...desired, members: t.list(member) }) }, async ({ db }) => {
      const members = [];
      const order = [{ column: 'node', direction: 'asc' }] as const;
      for (let after = ''; ;) {
        const { rows } = await db.fetch({ where: { node: { gt: after } }, order, limit: PAGE });
        members.push(...rows);
        const last = rows.at(-1);
        if (last === undefined || rows.length < PAGE) break;
        after = last.node;
      }
      return { ...((await db.desired({})) ?? NOTHING), members };
    }),

    /** Writes the next revision, unless another admin node did since this one was seen. */
    set: mutation(
      { input: t.object(desired), output: t.object({ isSet: t.boolean(), revision: t.int({ min: 0 }) }) },
      async ({ input: { revision, content }, db }) => {
        try {
          await db.set({ revision, content, next: revision + 1 });
        } catch (error) {
          if (!isConflict(error)) throw error;
        }
        const now = (await db.desired({})) ?? NOTHING;
        return { isSet: now.revision === revision + 1 && now.content === content, revision: now.revision };
      },
    ).idempotent(),

    report: mutation({ input: member.fields, output: {} }, async ({ input, db }) => {
      await db.report(input);
      return {};
    }).idempotent(),

    leave: mutation({ input: { node: member.fields.node }, output: {} }, async ({ input, db }) => {
      await db.leave(input);
      return {};
    }).idempotent(),

    keep: mutation({ input: t.object(part), output: {} }, async ({ input, db }) => {
      await db.keep({ id: idOf(input.hash, input.part), ...input });
      return {};
    }).idempotent(),

    part: query(
      {
        input: t.object({ hash: part.hash, part: part.part }),
        output: t.object({ parts: part.parts, content: part.content }),
      },
      async ({ input: { hash, part: number }, db }) => {
        const found = await db.part({ id: idOf(hash, number) });
        if (found === undefined) throw notFound('There is no such part of a bundle.');
        return found;
      },
    ),

    drop: mutation({ input: { hash: part.hash }, output: {} }, async ({ input, db }) => {
      await db.drop(input);
      return {};
    }).idempotent(),
  }),
});
