import { defineDomain, notFound, operationsOf, t } from '@beds/sdk';
import { definition, desired, member, part } from './definition.js';

const NOTHING = { revision: 0, content: '{}' };
const PAGE = 200;
const { node, at, report } = member.fields;
const reported = { node, at, report };

const { query, mutation, pages, unsupported } = operationsOf<typeof definition>();

function isConflict(error: unknown): boolean {
  return (error as { readonly code?: unknown }).code === 'BEDS_STORE_CONFLICT';
}

function idOf(installation: string, { hash, part: number }: { readonly hash: string; readonly part: number }): string {
  return `${installation}:${hash}:${String(number)}`;
}

function memberId(installation: string, node: string): string {
  return `${installation}/${node}`;
}

/** All that is known of this installation. */
const state = query(
  { output: t.object({ ...desired, members: t.list(member) }) },
  async ({ db, self: { installation } }) => {
    const members = [];
    const order = [{ column: 'id', direction: 'asc' }] as const;
    for (let after = ''; ;) {
      const { rows } = await db.members({ where: { installation, id: { gt: after } }, order, limit: PAGE });
      members.push(...rows);
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) break;
      after = last.id;
    }
    return { ...((await db.desired({ installation })) ?? NOTHING), members };
  },
);

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

    /** Nodes of this installation. */
    fetch: pages(member, ({ input, db, self: { installation } }) =>
      db.members({ ...input, where: { ...input.where, installation } }),
    ),

    state,

    /** Writes the next revision, unless another admin node did since this one was seen. */
    set: mutation(
      { input: t.object(desired), output: t.object({ isSet: t.boolean(), revision: t.int({ min: 0 }) }) },
      async ({ input: { revision, content }, db, self: { installation } }) => {
        try {
          await db.set({ installation, revision, content, next: revision + 1 });
        } catch (error) {
          if (!isConflict(error)) throw error;
        }
        const now = (await db.desired({ installation })) ?? NOTHING;
        return { isSet: now.revision === revision + 1 && now.content === content, revision: now.revision };
      },
    ).idempotent(),

    report: mutation({ input: reported, output: {} }, async ({ input, db, self: { installation } }) => {
      await db.report({ id: memberId(installation, input.node), installation, ...input });
      return {};
    }).idempotent(),

    leave: mutation({ input: { node: member.fields.node }, output: {} }, async ({ input, db, self }) => {
      await db.leave({ id: memberId(self.installation, input.node) });
      return {};
    }).idempotent(),

    keep: mutation({ input: t.object(part), output: {} }, async ({ input, db, self: { installation } }) => {
      await db.keep({ id: idOf(installation, input), installation, ...input });
      return {};
    }).idempotent(),

    part: query(
      {
        input: t.object({ hash: part.hash, part: part.part }),
        output: t.object({ parts: part.parts, content: part.content }),
      },
      async ({ input, db, self }) => {
        const found = await db.part({ id: idOf(self.installation, input) });
        if (found === undefined) throw notFound('There is no such part of a bundle.');
        return found;
      },
    ),

    drop: mutation(
      { input: { hash: part.hash }, output: {} },
      async ({ input: { hash }, db, self: { installation } }) => {
        await db.drop({ installation, hash });
        return {};
      },
    ).idempotent(),
  }),
});
