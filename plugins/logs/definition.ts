import { procedure, t, view } from '@beds/sdk';

const id = t.string({ max: 40 });
const name = t.string({ max: 200 });
/** Prefix of the names in RabbitMQ: installations that share a database are told apart by it. */
const installation = t.string({ max: 100 });

/** A line as a store keeps it. Its id sorts as lines were written, and begins with the instant: there is no other column for that. */
export const kept = t.row({
  ...{ id, installation, level: t.int({ min: 0, max: 100 }), node: name, domain: name, version: name },
  message: t.string({ max: 2_000 }),
  /** Of a fault: the same for faults with the same cause. Otherwise empty. */
  cause: t.string({ max: 16 }),
  ...{ code: name, place: name, request_id: name, trace_id: name },
  /** How many lines it stands for. */
  line_count: t.int({ min: 1, max: 2_000_000_000 }),
  /** What else the line has, as JSON. */
  fields: t.string({ max: 8_192 }),
});

/** Faults with the same cause. */
const group = t.row({
  ...{ cause: t.string(), fault_count: t.int(), first_id: id, last_id: id },
  ...{ domain: name, version: name, code: name, place: name, message: t.string() },
});

/** What the operations work with. */
export const definition = {
  store: 'admin',
  key: 'id',
  objects: {
    list: view('log_list', kept),
    add: procedure('log_add', { lines: t.list(kept.omit('id').extend({ _id: id }), { max: 500 }) }),
    put: procedure('log_put', kept.fields),
    faults: procedure('log_faults', { installation, domain: name, from_id: id, until_id: id }, t.list(group)),
    purge: procedure('log_purge', { installation, least_level: t.int(), most_level: t.int(), before_id: id }),
  },
} as const;
