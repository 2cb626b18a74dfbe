import { procedure, t, view } from '@beds/sdk';

const hash = t.string({ max: 64 });
const installation = t.string({ max: 100 });

/** What is told of an order, at one step of it. Texts: what is hashed must be what is read, whatever keeps it. */
const told = {
  /** Of this record. Where somebody asks for something, it is that of the order: the same order is written down once. */
  id: t.string({ max: 36 }),
  order_id: t.string({ max: 36 }),
  /** `asked`: it is given to the nodes. `done`: what they said. `refused`: no node has heard of it. */
  step: t.string({ max: 10 }),
  /** Milliseconds since 1970, by the clock of the node that wrote it down. */
  at: t.int({ min: 0 }),
  node: t.string({ max: 200 }),
  user_id: t.string({ max: 255 }),
  user_name: t.string({ max: 255 }),
  /** From where, as far as it is known. */
  source: t.string({ max: 500 }),
  op: t.string({ max: 40 }),
  /** What it is about. */
  target: t.string({ max: 2_000 }),
  /** `ok`, or the code of an error. */
  outcome: t.string({ max: 100 }),
  words: t.string({ max: 4_000 }),
};

/** A record, with its place in the chain. */
export const record = t.row({
  /** Installation and place. */
  key: t.string({ max: 130 }),
  /** Prefix of the names in RabbitMQ: each installation that keeps its audit here has a chain of its own. */
  installation,
  seq: t.int({ min: 1 }),
  ...told,
  previous: hash,
  hash,
});

export const entry = t.object(told);

const place = { seq: t.int({ min: 0 }), hash };

/** What the operations work with. The runtime account can add a record and read records, and nothing else. */
export const definition = {
  store: 'admin',
  key: 'key',
  objects: {
    list: view('audit_list', record),
    append: procedure('audit_append', record.fields, place),
    last: procedure('audit_last', { installation }, place),
  },
} as const;
