import { procedure, t, view } from '@beds/sdk';

/** Milliseconds since 1970. */
const instant = t.int({ min: 0 });
const node = t.string({ max: 200 });
const hash = t.string({ max: 64 });
/** Prefix of the names in RabbitMQ: installations that share a database are told apart by it. */
const installation = t.string({ max: 100 });
/** Of a part: installation, hash and number. */
const partId = t.string({ max: 200 });

/** A node, and what it said when it reported last. */
export const member = t.row({
  /** Installation and name. */
  id: t.string({ max: 300 }),
  installation,
  node,
  at: instant,
  report: t.string({ max: 500_000 }),
});

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
  key: 'id',
  objects: {
    members: view('fleet_members', member),
    desired: procedure('fleet_desired', { installation }, desired),
    set: procedure('fleet_set', { installation, ...desired, next: t.int({ min: 1 }) }),
    report: procedure('fleet_report', member.fields),
    leave: procedure('fleet_leave', { id: member.fields.id }),
    keep: procedure('fleet_keep', { id: partId, installation, ...part }),
    part: procedure('fleet_part', { id: partId }, { parts: part.parts, content: part.content }),
    drop: procedure('fleet_drop', { installation, hash }),
  },
} as const;
