import { procedure, t, view } from '@beds/sdk';

const id = t.string({ max: 64 });
const name = t.string({ max: 200 });
/** Prefix of the names in RabbitMQ: installations that share a database are told apart by it. */
const installation = t.string({ max: 100 });
/** Seconds since 1970. */
const second = t.int({ min: 0 });
const count = t.int({ min: 0, max: 2_000_000_000 });

/** What a sample tells, of a domain on a node, or with an empty name of a whole node. Times are microseconds. */
const figures = {
  ...{ calls: count, failures: count, p50_us: count, p95_us: count, p99_us: count },
  ...{ in_flight: count, queued: count, waiting: count, memory_mb: count, cpu_permille: count, swaps: count },
};

/** A sample as a store keeps it: `step` seconds from `at` on. */
export const kept = t.row({
  installation,
  step: t.int({ min: 1, max: 86_400 }),
  domain: name,
  at: second,
  node: name,
  ...figures,
});

/** Samples put together: of all nodes, or of as many as asked for, over some time. */
export const point = t.row({ at: second, ...figures });

/** Calls of an operation (then without an object), or of a named object, on one day of one process of a node. */
export const usage = t.row({
  id,
  installation,
  /** Days since 1970, UTC. */
  day: t.int({ min: 0, max: 1_000_000 }),
  ...{
    store: name,
    object: name,
    kind: t.string({ max: 20 }),
    domain: name,
    version: name,
    operation: name,
    node: name,
  },
  ...{ calls: t.int({ min: 0 }), failures: t.int({ min: 0 }), p95_us: count, first_at: second, last_at: second },
});

/** The same over all nodes and days. */
const used = t.row({
  ...{ store: name, object: name, kind: t.string(), domain: name, version: name, operation: name },
  ...{ calls: t.int(), failures: t.int(), p95_us: t.int(), first_at: second, last_at: second },
});

/** What the operations work with. */
export const definition = {
  store: 'admin',
  key: 'id',
  objects: {
    list: view('object_usage_list', usage),
    add: procedure('metric_add', { samples: t.list(kept.extend({ _id: t.string({ max: 500 }) }), { max: 2_000 }) }),
    put: procedure('metric_put', { id: t.string({ max: 500 }), ...kept.fields }).together(),
    /** Of one domain. Without a node: of all. */
    series: procedure(
      'metric_series',
      {
        installation,
        step: t.int(),
        domain: name,
        node: name,
        from_at: second,
        until_at: second,
        width: t.int({ min: 1 }),
      },
      t.list(point),
    ),
    /** Of every domain, over the whole time. */
    overview: procedure(
      'metric_overview',
      { installation, step: t.int(), from_at: second, until_at: second },
      t.list(t.row({ domain: name, node: name, ...figures })),
    ),
    /** Puts finer samples together. What it gives is still to be kept: nothing, where the store could do that. */
    rollUp: procedure(
      'metric_roll_up',
      { installation, step: t.int(), coarse: t.int({ min: 1 }), from_at: second, until_at: second },
      t.list(kept.omit('installation')),
    ),
    oldest: procedure('metric_oldest', { installation, step: t.int() }, t.list(t.row({ at: second }))),
    purge: procedure('metric_purge', { installation, step: t.int(), before_at: second }),
    usagePut: procedure('object_usage_put', usage.fields).together(),
    usageOf: procedure(
      'object_usage_of',
      { installation, object: name, domain: name, from_day: t.int() },
      t.list(used),
    ),
    usageSince: procedure('object_usage_since', { installation }, { first_at: second.optional() }),
    usagePurge: procedure('object_usage_purge', { installation, before_day: t.int() }),
  },
} as const;
