import { procedure, t, view } from '@beds/sdk';

/** Milliseconds since 1970. */
const instant = t.int({ min: 0 });
const node = t.string({ max: 200 });
const hash = t.string({ max: 64 });
/** Hash and number of a part. */
const id = t.string({ max: 80 });

/** A node, and what it said when it reported last. */
export const member = t.row({ node, at: instant, report: t.string({ max: 500_000 }) });

/** All that shall run, as JSON. It is written whole, and `revision` counts how often. */
export const desired = { revision: t.int({ min: 0 }), content: t.string({ max: 500_000 }) };

/** A part of a bundle. One message cannot hold all of a large one. */
export const part = {
  ...{ hash, part: t.int({ min: 0 }), parts: t.int({ min: 1 }), at: instant },
  content: t.string({ max: 300_000 }),
};

/** What the operations work with. */
export const definition = {
  store: 'admin',
  key: 'node',
  fetch: view('fleet_members', member),
  objects: {
    desired: procedure('fleet_desired', {}, desired),
    set: procedure('fleet_set', { ...desired, next: t.int({ min: 1 }) }),
    report: procedure('fleet_report', member.fields),
    leave: procedure('fleet_leave', { node }),
    keep: procedure('fleet_keep', { id, ...part }),
    part: procedure('fleet_part', { id }, { parts: part.parts, content: part.content }),
    drop: procedure('fleet_drop', { hash }),
  },
} as const;
