import { z } from 'zod';
import { brokerDefinitions } from '../brokers/definitions.js';

/**
 * The one declaration of the configuration: type, default, unit (in the name) and a sentence. The TypeScript type, the
 * JSON Schema in config/beds.schema.json and the messages about wrong values are all derived from it.
 */

const name = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,62}$/, 'must be a letter followed by letters, digits, _ or -');
const domain = z
  .string()
  .regex(/^(\*|[a-z][a-z0-9-]{0,62})$/, 'must be * or lower-case letters, digits and -, a letter first');
const within = (least: number, most: number): z.ZodInt => z.int().min(least).max(most);
const milliseconds = within(1, 86_400_000);
const count = within(0, 1_024);
const url = z.string();

const node = z.strictObject({
  name: z
    .string()
    .default('')
    .describe('Name of this node in replies, logs and metrics. Empty: host name and process id.'),
  roles: z.array(name).default(['appServer']).describe('The [roles.*] entries that this node plays.'),
});

const amqp = z.strictObject({
  url: url.default('').describe('AMQP URL of RabbitMQ. Empty: a private server of this checkout.'),
  prefix: name.default('beds').describe('First word of every exchange and queue name.'),
  replyPrefixes: z
    .array(z.string().regex(/^[A-Za-z0-9_.-]{3,64}$/, 'must be 3 to 64 letters, digits, _, . or -'))
    .default([])
    .describe(
      'Beginnings of queue names that callers may name in reply-to, besides direct reply-to, amq.gen-… and <prefix>.reply.…: spring.gen-.',
    ),
  connectTimeoutMs: milliseconds.default(10_000).describe('Longest wait for one connection attempt.'),
  heartbeatSeconds: within(5, 60).default(10).describe('AMQP heartbeat; a dead peer is noticed after two to three.'),
  reconnectMinMs: milliseconds
    .default(100)
    .describe('First wait before a new connection attempt; doubles, with full jitter.'),
  reconnectMaxMs: milliseconds.default(5_000).describe('Longest wait between connection attempts.'),
});

const queueType = z.enum(['classic', 'quorum']);

const topology = z.strictObject({
  declare: z
    .boolean()
    .default(true)
    .describe('Declare exchanges and queues. false: only check that they exist; operations own them.'),
  readQueueType: queueType.default('classic').describe('Type of the queues that carry reads.'),
  writeQueueType: queueType.default('quorum').describe('Type of the queues that carry writes.'),
  deliveryLimit: within(1, 1_000)
    .default(20)
    .describe('Deliveries of one message before a quorum queue dead-letters it.'),
  checkIntervalMs: milliseconds
    .default(5_000)
    .describe('How often the queues and bindings of live domains are asserted again.'),
});

const limits = z.strictObject({
  maxBodyBytes: within(1_024, 16_777_216).default(1_048_576).describe('Largest request body.'),
  maxReplyBytes: within(1_024, 16_777_216).default(8_388_608).describe('Largest reply body.'),
  maxDepth: within(4, 256).default(32).describe('Deepest nesting of a request body; of a header table it is 32.'),
  maxKeys: within(10, 1_000_000).default(20_000).describe('Most object keys and array elements in one request body.'),
  maxBatch: within(1, 10_000).default(500).describe('Most requests in one message.'),
  batchHoldMs: milliseconds
    .default(5)
    .describe('Longest that the reply to a request waits for those to other requests of its message.'),
  maxPageRows: within(1, 100_000).default(1_000).describe('Most rows in one page.'),
  defaultDeadlineMs: milliseconds.default(10_000).describe('Time a request has when it names none.'),
  maxDeadlineMs: milliseconds.default(60_000).describe('Most time a request may ask for.'),
  holdWritesMs: milliseconds
    .default(300_000)
    .describe(
      "Longest that a host holds a write whose store is away, until it goes back to the end of its queue; less than RabbitMQ's consumer_timeout (30 min by default).",
    ),
  clockSkewMs: within(0, 86_400_000)
    .default(0)
    .describe("How far a caller's clock may be behind this host's without that its requests count as older for it."),
});

const plugins = z.strictObject({
  directory: z
    .string()
    .default('plugins')
    .describe(
      'The directory that bundles are dropped into; sources of domains are looked for there, too. From the checkout, or absolute.',
    ),
  scanIntervalMs: milliseconds.default(1_000).describe('How often the directory is read again besides file events.'),
  incompleteMs: milliseconds
    .default(3_000)
    .describe('How long a drop may stay incomplete without any change before it is refused.'),
  maxBundleBytes: within(1_024, 67_108_864).default(8_388_608).describe('Largest bundle, all its files together.'),
  maxFiles: within(2, 1_024).default(64).describe('Most files in a bundle folder.'),
  probeTimeoutMs: milliseconds
    .default(5_000)
    .describe('Time a new version has to load and pass its self-test in the probe.'),
  probeMemoryMb: within(16, 4_096).default(128).describe('Heap a new version may use in the probe.'),
  prepareTimeoutMs: milliseconds.default(10_000).describe('Time each broker thread has to prepare a new version.'),
  keepVersions: within(1, 100).default(5).describe('Staged versions of a domain that are kept.'),
});

const percent = z.number().min(0).max(100);

const rollout = z.strictObject({
  canaryPercent: percent
    .default(0)
    .describe('Share of the callers that a new version answers at first, percent. 0: it takes over at once.'),
  canaryForMs: milliseconds.default(60_000).describe('How long it must hold before it takes over.'),
  shadowPercent: percent
    .default(0)
    .describe('Share of the reads that a new version gets a copy of while it is a canary, percent.'),
  breaking: z
    .enum(['refuse', 'allow'])
    .default('refuse')
    .describe('What happens to a version that breaks the contract of the one that serves.'),
  guardMinRequests: within(1, 1_000_000)
    .default(20)
    .describe('Requests that a canary must have answered before it is judged.'),
  guardErrorPercent: percent
    .default(5)
    .describe('How many more of its requests than of the serving version may fail, percentage points.'),
  guardMaxErrorPercent: percent
    .default(50)
    .describe('How many of its requests may fail whatever the serving version does, percent.'),
  guardP95Ratio: z
    .number()
    .min(1)
    .max(1_000)
    .default(3)
    .describe('How much longer than the serving version 95 % of its requests may take.'),
  guardMaxP95Ms: milliseconds.default(10_000).describe('How long 95 % of its requests may take at most.'),
  maxStrikes: within(1, 1_000)
    .default(4)
    .describe(
      'Broker threads that a version ends within strikePeriodMs until it is quarantined; one bad request ends up to three.',
    ),
  strikePeriodMs: milliseconds.default(3_600_000).describe('The period that maxStrikes counts in.'),
  schemaCheckMs: milliseconds
    .default(5_000)
    .describe('How often the database objects of live versions are compared with what was admitted.'),
  callerDays: within(1, 366).default(14).describe('Days for which it is kept who called which operation.'),
});

const threadGroup = z.strictObject({
  count: count.default(0).describe('Broker threads. 0: one for each core but one, at least one.'),
  domains: z
    .array(domain)
    .default(['*'])
    .describe('Domains whose queues these threads consume; * is every domain no other group names.'),
  heapMb: within(32, 65_536).default(512).describe('JavaScript heap of one thread.'),
});

type BrokerSchema = z.ZodObject<
  { type: z.ZodLiteral<string>; count: z.ZodDefault<z.ZodInt>; prefetch: z.ZodDefault<z.ZodInt> },
  z.core.$catchall<z.ZodUnknown>
>;

/** One variant for each folder of host/brokers. n.b. their own keys are known at run time only. */
const [firstBroker, ...otherBrokers] = [...brokerDefinitions].map(([type, { settings }]) =>
  z.strictObject({
    type: z.literal(type).describe('What it does: host/BROKERS.md has the types.'),
    ...settings,
    count: count.default(1).describe('Brokers of this kind in each broker thread.'),
    prefetch: within(1, 2_000).default(200).describe('Unacknowledged messages for each broker and queue.'),
  }),
) as unknown as [BrokerSchema, ...BrokerSchema[]];
const broker = z.discriminatedUnion('type', [firstBroker, ...otherBrokers]);

const role = z.strictObject({
  domains: z
    .array(domain)
    .default(['*'])
    .describe('Domains that the brokers of this role serve; * is every domain, an empty list is none.'),
  brokers: z
    .array(name)
    .default(['rBroker', 'wBroker'])
    .describe('The [brokers.*] entries that run on a node of this role.'),
});

const store = z.strictObject({
  kind: z.enum(['mysql', 'mongodb']).describe('Which adapter serves this store. mysql serves MariaDB too.'),
  url: url.default('').describe('URL with the runtime account. Empty: a private server of this checkout.'),
  poolSize: within(1, 1_000).default(16).describe('Most connections of one broker thread, and most calls at once.'),
  queueLimit: within(1, 100_000).default(1_000).describe('Most calls of one thread that wait for a connection.'),
  acquireTimeoutMs: milliseconds.default(2_000).describe('Longest wait for a connection.'),
  connectTimeoutMs: milliseconds.default(5_000).describe('Longest wait for one connection attempt.'),
  maxResultRows: within(1, 10_000_000)
    .default(100_000)
    .describe('Most rows that one call may give, all its result sets together.'),
  maxResultBytes: within(65_536, 1_073_741_824)
    .default(33_554_432)
    .describe('Most memory that the result of one call may take.'),
  unindexed: z
    .enum(['allow', 'warn', 'refuse'])
    .default('allow')
    .describe(
      'What becomes of a version whose fetchable views have columns that no index serves: not asked, logged, or it waits for the DBA.',
    ),
});

const supervisor = z.strictObject({
  restartIntensity: within(1, 1_000)
    .default(5)
    .describe('Restarts for each thread within restartPeriodMs before the host gives up.'),
  restartPeriodMs: milliseconds.default(30_000).describe('The period that restartIntensity counts in.'),
  heartbeatMs: milliseconds.default(250).describe('How often a broker thread shows that it is alive.'),
  stallTimeoutMs: milliseconds
    .default(5_000)
    .describe('Silence after which a broker thread is terminated and replaced.'),
  drainTimeoutMs: milliseconds
    .default(30_000)
    .describe('Time an old version or a stopping thread has to finish its requests.'),
  startTimeoutMs: milliseconds.default(30_000).describe('Time a broker thread has to connect to everything.'),
  trialMs: milliseconds
    .default(30_000)
    .describe('How long a process of its own must hold, after the host was killed, under the code that ran then.'),
});

const log = z.strictObject({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
    .default('info')
    .describe('Least level that is written.'),
});

const state = z.strictObject({
  directory: z
    .string()
    .default('.beds')
    .describe('Where staged bundles, history, quarantine and private servers live. From the checkout, or absolute.'),
});

export const configSchema = z.strictObject({
  node: node.prefault({}).describe('This process.'),
  amqp: amqp.prefault({}).describe('The connection to RabbitMQ.'),
  topology: topology.prefault({}).describe('Exchanges and queues.'),
  limits: limits.prefault({}).describe('Bounds of a request.'),
  plugins: plugins.prefault({}).describe('Where bundles come from and what they may cost.'),
  rollout: rollout.prefault({}).describe('How a new version takes over, and what ends it.'),
  threads: z
    .record(name, threadGroup)
    .default({ default: { count: 0, domains: ['*'], heapMb: 512 } })
    .describe('Thread groups.'),
  brokers: z
    .record(name, broker)
    .default({
      rBroker: { type: 'data', mode: 'read', count: 1, prefetch: 200 },
      wBroker: { type: 'data', mode: 'write', count: 1, prefetch: 100 },
    })
    .describe('What consumes queues, by name.'),
  roles: z
    .record(name, role)
    .default({ appServer: { domains: ['*'], brokers: ['rBroker', 'wBroker'] } })
    .describe('What a node does, by role.'),
  stores: z.record(name, store).default({}).describe('Databases, by the name that templates use.'),
  supervisor: supervisor.prefault({}).describe('How threads are watched, replaced and stopped.'),
  log: log.prefault({}).describe('The log.'),
  state: state.prefault({}).describe('Where the host keeps what must outlive it.'),
});

type DeepReadonly<T> = T extends readonly (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** The whole configuration, validated, with defaults, deep-frozen. */
export type Config = DeepReadonly<z.output<typeof configSchema>>;
export type StoreConfig = Config['stores'][string];
