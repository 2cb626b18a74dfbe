import { z } from 'zod';
import { brokerDefinitions } from '../brokers/definitions.js';

/**
 * The one declaration of the configuration: type, default, unit (in the name) and a sentence. The TypeScript type, the
 * JSON Schema in config/beds.schema.json and the messages about wrong values are all derived from it.
 */

const name = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,62}$/, 'must be a letter followed by letters, digits, _ or -');
const anyRole = z
  .string()
  .regex(/^(\*|[A-Za-z][A-Za-z0-9_-]{0,62})$/, 'must be * or a letter followed by letters, digits, _ or -');
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
  roles: z.array(anyRole).default(['*']).describe('Roles of this node: names of [roles.*] entries. * means every one.'),
});

const amqp = z.strictObject({
  url: url.default('').describe('AMQP URL of RabbitMQ. Empty: the private server of this checkout.'),
  prefix: name.default('beds').describe('Prefix of every exchange and queue name.'),
  replyPrefixes: z
    .array(z.string().regex(/^[A-Za-z0-9_.-]{3,64}$/, 'must be 3 to 64 letters, digits, _, . or -'))
    .default([])
    .describe(
      'Further queue name prefixes that callers may use in reply-to, for example spring.gen-. Direct reply-to, amq.gen-… and <prefix>.reply.… are always allowed.',
    ),
  connectTimeoutMs: milliseconds.default(10_000).describe('Timeout of one connection attempt.'),
  heartbeatSeconds: within(5, 60)
    .default(10)
    .describe('AMQP heartbeat interval. A dead peer is noticed after two to three intervals.'),
  reconnectMinMs: milliseconds
    .default(100)
    .describe('First delay before a reconnection attempt. It doubles with each attempt, with full jitter.'),
  reconnectMaxMs: milliseconds.default(5_000).describe('Maximum delay between reconnection attempts.'),
});

const queueType = z.enum(['classic', 'quorum']);

const topology = z.strictObject({
  declare: z
    .boolean()
    .default(true)
    .describe('Declare exchanges and queues. false: only check that they exist, because somebody else declares them.'),
  readQueueType: queueType.default('classic').describe('Type of the queues that carry reads.'),
  writeQueueType: queueType.default('quorum').describe('Type of the queues that carry writes.'),
  deliveryLimit: within(1, 1_000)
    .default(20)
    .describe('Deliveries of one message before a quorum queue dead-letters it.'),
  checkIntervalMs: milliseconds
    .default(5_000)
    .describe('Interval at which the queues and bindings of live domains are declared again.'),
});

const limits = z.strictObject({
  maxBodyBytes: within(1_024, 16_777_216).default(1_048_576).describe('Maximum size of a request body.'),
  maxReplyBytes: within(1_024, 16_777_216).default(8_388_608).describe('Maximum size of a reply body.'),
  maxDepth: within(4, 256)
    .default(32)
    .describe('Maximum nesting of a request body. For a header table it is always 32.'),
  maxKeys: within(10, 1_000_000)
    .default(20_000)
    .describe('Maximum number of object keys and array elements in one request body.'),
  maxBatch: within(1, 10_000).default(500).describe('Maximum number of requests in one message.'),
  batchHoldMs: milliseconds
    .default(5)
    .describe('Maximum time that a reply waits for the replies to the other requests of its message.'),
  maxPageRows: within(1, 100_000).default(1_000).describe('Maximum number of rows in one page.'),
  defaultDeadlineMs: milliseconds.default(10_000).describe('Deadline of a request that does not set one.'),
  maxDeadlineMs: milliseconds.default(60_000).describe('Maximum deadline that a request may set.'),
  holdWritesMs: milliseconds
    .default(300_000)
    .describe(
      "Maximum time that a host holds a write while its store is unavailable. Then the write goes back to the end of its queue. Keep it below RabbitMQ's consumer_timeout (30 min by default).",
    ),
  clockSkewMs: within(0, 86_400_000)
    .default(0)
    .describe(
      "Tolerated clock difference. A request does not count as older when its caller's clock is behind this host's by up to this much.",
    ),
});

const plugins = z.strictObject({
  directory: z
    .string()
    .default('plugins')
    .describe(
      'Directory that bundles are dropped into. Domain sources are looked up there, too. Absolute, or relative to the checkout.',
    ),
  scanIntervalMs: milliseconds
    .default(1_000)
    .describe('Interval at which the directory is scanned in addition to file events.'),
  incompleteMs: milliseconds
    .default(3_000)
    .describe('Time after which a drop that is incomplete and no longer changes is refused.'),
  maxBundleBytes: within(1_024, 67_108_864)
    .default(8_388_608)
    .describe('Maximum size of a bundle, all its files together.'),
  maxFiles: within(2, 1_024).default(64).describe('Maximum number of files in a bundle folder.'),
  probeTimeoutMs: milliseconds
    .default(5_000)
    .describe('Timeout for a new version to load and to pass its self-test in the probe.'),
  probeMemoryMb: within(16, 4_096).default(128).describe('Maximum heap of a new version in the probe.'),
  prepareTimeoutMs: milliseconds.default(10_000).describe('Timeout for each broker thread to prepare a new version.'),
  keepVersions: within(1, 100).default(5).describe('Number of staged versions of a domain that are kept.'),
});

const percent = z.number().min(0).max(100);

const rollout = z.strictObject({
  canaryPercent: percent
    .default(0)
    .describe('Percentage of the callers that a new version answers at first. 0: it takes over at once.'),
  canaryForMs: milliseconds.default(60_000).describe('Time that a canary must stay healthy before it takes over.'),
  shadowPercent: percent.default(0).describe('Percentage of the reads that are also sent to a canary as copies.'),
  breaking: z
    .enum(['refuse', 'allow'])
    .default('refuse')
    .describe('What happens to a version that breaks the contract of the serving version.'),
  guardMinRequests: within(1, 1_000_000)
    .default(20)
    .describe('Number of requests that a canary must answer before it is judged.'),
  guardErrorPercent: percent
    .default(5)
    .describe('Maximum error rate of a canary above that of the serving version, in percentage points.'),
  guardMaxErrorPercent: percent
    .default(50)
    .describe('Maximum error rate of a canary in percent, whatever the error rate of the serving version.'),
  guardP95Ratio: z
    .number()
    .min(1)
    .max(1_000)
    .default(3)
    .describe('Maximum ratio of the p95 latency of a canary to that of the serving version.'),
  guardMaxP95Ms: milliseconds.default(10_000).describe('Maximum p95 latency of a canary.'),
  maxStrikes: within(1, 1_000)
    .default(4)
    .describe(
      'Number of broker threads that a version may end within strikePeriodMs before it is quarantined. One bad request ends up to three.',
    ),
  strikePeriodMs: milliseconds.default(3_600_000).describe('Period in which strikes are counted.'),
  schemaCheckMs: milliseconds
    .default(5_000)
    .describe('Interval at which the database objects of live versions are compared with those that were admitted.'),
  callerDays: within(1, 366).default(14).describe('Number of days for which caller counts of each operation are kept.'),
});

const threadGroup = z.strictObject({
  count: count.default(0).describe('Number of broker threads. 0: one fewer than the cores, at least one.'),
  domains: z
    .array(domain)
    .default(['*'])
    .describe('Domains whose queues these threads consume. * means every domain that no other group names.'),
  heapMb: within(32, 65_536).default(512).describe('Maximum JavaScript heap of one thread.'),
});

type BrokerSchema = z.ZodObject<
  { type: z.ZodLiteral<string>; count: z.ZodDefault<z.ZodInt>; prefetch: z.ZodDefault<z.ZodInt> },
  z.core.$catchall<z.ZodUnknown>
>;

/** One variant for each folder of host/brokers. n.b. their own keys are known at run time only. */
const [firstBroker, ...otherBrokers] = [...brokerDefinitions].map(([type, { settings }]) =>
  z.strictObject({
    type: z.literal(type).describe('Broker type. host/BROKERS.md lists the types.'),
    ...settings,
    count: count.default(1).describe('Number of brokers of this entry in each broker thread.'),
    prefetch: within(1, 2_000)
      .default(200)
      .describe('Maximum number of unacknowledged messages for each broker and queue.'),
  }),
) as unknown as [BrokerSchema, ...BrokerSchema[]];
const broker = z.discriminatedUnion('type', [firstBroker, ...otherBrokers]);

const role = z.strictObject({
  domains: z
    .array(domain)
    .default(['*'])
    .describe(
      'Domains that the brokers of this role serve. * means every domain that no other role names. An empty list means none.',
    ),
  brokers: z
    .array(name)
    .default(['rBroker', 'wBroker'])
    .describe('Brokers that run on a node of this role: names of [brokers.*] entries.'),
  needs: z
    .array(name)
    .default([])
    .describe(
      'Stores without which there is no such role: where one of them is not configured, nobody plays it or misses it.',
    ),
});

const security = z.strictObject({
  defaultAccess: z
    .enum(['anyone', 'signed-in'])
    .default('anyone')
    .describe('Who may call an operation whose template does not say it under access.'),
  sessionCacheMs: milliseconds
    .default(30_000)
    .describe(
      'Maximum time that a broker thread keeps whose session a token is. A revoked session is dropped at once.',
    ),
  sessionCacheEntries: within(1, 1_000_000)
    .default(10_000)
    .describe('Maximum number of sessions that a broker thread keeps.'),
  directOrders: z
    .boolean()
    .default(true)
    .describe(
      'Take orders of everybody who may publish to <prefix>.operate. Where the configuration has an admin node, or orderKeys, nodes take signed orders only, whatever this says.',
    ),
  orderKeys: z
    .array(z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be the public key of an admin node, which its log says'))
    .default([])
    .describe('Public keys of the admin nodes whose orders this node takes. An admin node takes its own as well.'),
  orderSecret: z
    .string()
    .regex(/^([A-Za-z0-9_-]{43})?$/, 'must be 32 bytes in base64url')
    .default('')
    .describe(
      'What an admin node signs orders with: 32 bytes of chance in base64url, the same for all admin nodes. Empty: made at the first start, and kept in state.directory.',
    ),
  operators: z
    .array(
      z.string().regex(/^[^:]{1,200}:(viewer|operator|dba)$/, 'must be an AMQP account, : and viewer, operator or dba'),
    )
    .default([])
    .describe(
      'AMQP accounts that may order without a session, each with a role: deployer:operator. RabbitMQ checks the user-id of their messages.',
    ),
});

const openid = z.strictObject({
  issuer: z
    .string()
    .default('')
    .describe('Issuer of the tokens of an OpenID provider, exactly as their iss says it. Empty: no such token counts.'),
  audience: z.string().default('').describe('What aud of a token must name: this installation.'),
  jwksUrl: url.default('').describe('URL of the keys of the provider, https or on this machine.'),
  algorithms: z
    .array(z.enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']))
    .min(1)
    .default(['RS256', 'ES256'])
    .describe('Algorithms that tokens may be signed by.'),
  clockSkewSeconds: within(0, 300).default(30).describe('Tolerated difference of the clocks of provider and host.'),
  rolesClaim: z
    .string()
    .default('roles')
    .describe('Claim with the roles of the user, or the way to it: realm_access.roles.'),
  idPrefix: z
    .string()
    .default('')
    .describe('What stands before sub in the id of the user, where users of the domain `users` may have the same ids.'),
});

const caller = z.strictObject({
  domains: z.array(domain).default(['*']).describe('Domains that this AMQP user may call. * means every domain.'),
  operations: z
    .array(z.string())
    .default(['*'])
    .describe('Operations that it may call there, by name. * means every operation.'),
});

const store = z.strictObject({
  kind: z.enum(['mysql', 'mongodb']).describe('Database of this store. mysql is also right for MariaDB.'),
  url: url.default('').describe('URL with the runtime account. Empty: the private server of this checkout.'),
  roles: z
    .array(anyRole)
    .default(['*'])
    .describe('Roles whose nodes open this store: no other node needs its URL. * means every role.'),
  poolSize: within(1, 1_000)
    .default(16)
    .describe('Maximum number of connections of one broker thread, and so of concurrent calls.'),
  queueLimit: within(1, 100_000)
    .default(1_000)
    .describe('Maximum number of requests of one thread whose calls wait for a connection.'),
  acquireTimeoutMs: milliseconds.default(2_000).describe('Timeout for getting a connection from the pool.'),
  connectTimeoutMs: milliseconds.default(5_000).describe('Timeout of one connection attempt.'),
  maxResultRows: within(1, 10_000_000)
    .default(100_000)
    .describe('Maximum number of rows that one call may return, all its result sets together.'),
  maxResultBytes: within(65_536, 1_073_741_824)
    .default(33_554_432)
    .describe('Maximum memory for the result of one call.'),
  unindexed: z
    .enum(['allow', 'warn', 'refuse'])
    .default('allow')
    .describe(
      'What happens to a version whose fetchable views have columns without an index. allow: nothing is checked. warn: it is logged, and shown by `beds versions` and `beds check`. refuse: the version waits for the DBA.',
    ),
});

const supervisor = z.strictObject({
  restartIntensity: within(1, 1_000)
    .default(5)
    .describe('Number of restarts of each thread within restartPeriodMs before the host gives up.'),
  restartPeriodMs: milliseconds.default(30_000).describe('Period in which restarts are counted.'),
  heartbeatMs: milliseconds.default(250).describe('Interval of the heartbeat of a broker thread.'),
  stallTimeoutMs: milliseconds
    .default(5_000)
    .describe('Time without a heartbeat after which a broker thread is terminated and replaced.'),
  drainTimeoutMs: milliseconds
    .default(30_000)
    .describe('Timeout for an old version or a stopping thread to finish its requests.'),
  startTimeoutMs: milliseconds
    .default(30_000)
    .describe('Timeout for a broker thread to start and connect to everything.'),
  trialMs: milliseconds
    .default(30_000)
    .describe(
      'After the host was killed: time that each domain whose code ran then must survive in a process of its own.',
    ),
});

const log = z.strictObject({
  level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info').describe('Minimum log level.'),
  format: z
    .enum(['auto', 'json', 'journald'])
    .default('auto')
    .describe(
      'How lines are written to standard output. json: as they are. journald: each with its priority before it (<4> is a warning), which journald takes off. auto: journald where systemd has connected standard output to it, otherwise json.',
    ),
  publish: z
    .boolean()
    .default(true)
    .describe(
      'Publish the lines on the exchange of events as well, for brokers of the type admin-logs and `beds logs`.',
    ),
});

const dashboard = z.strictObject({
  enabled: z.boolean().default(false).describe('Serve the dashboard for operators. `npm start` does by itself.'),
  host: z
    .string()
    .default('127.0.0.1')
    .describe('Address that the dashboard listens on. One that other machines reach needs certificate and key.'),
  port: within(0, 65_535)
    .default(7_117)
    .describe('Port of the dashboard. On this machine the next free one is taken where it is not free. 0: any.'),
  names: z
    .array(z.string().regex(/^[a-z0-9.-]{1,253}$/, 'must be a host name in lower-case letters'))
    .default([])
    .describe('Host names under which browsers reach the dashboard, beside localhost and its address.'),
  certificate: z.string().default('').describe('File with the certificate for TLS, PEM. Empty: no TLS.'),
  key: z.string().default('').describe('File with its key, PEM.'),
  designs: z
    .string()
    .default('')
    .describe(
      'Folder for domains that are designed in the dashboard, on an admin node; inside of the project, because templates import its packages. Empty: nobody designs there.',
    ),
});

const usd = z.number().min(0).max(1_000_000).default(0);

const assistant = z.strictObject({
  provider: z
    .enum(['files', 'openai', 'anthropic'])
    .default('files')
    .describe(
      'Who answers the prompts of `beds design`. files: whoever puts answers into files. openai: an endpoint that is compatible with chat completions of OpenAI. anthropic: one with the messages of Anthropic.',
    ),
  url: url
    .default('')
    .describe(
      'Address of the endpoint with its version, such as http://127.0.0.1:11434/v1. With a key it is https or on this machine. Empty: that of the provider itself.',
    ),
  model: z
    .string()
    .regex(/^[\x20-\x7e]{0,200}$/, 'must be the name of a model, in ASCII')
    .default('')
    .describe('Name of the model, as the endpoint knows it.'),
  apiKey: z
    .string()
    .regex(/^[\x21-\x7e]{0,4000}$/, 'must be a key of visible ASCII characters, without spaces')
    .default('')
    .describe('Key for the endpoint: ${MODEL_KEY}. Only `beds design` needs the variable. Empty: none is sent.'),
  structuredOutput: z
    .boolean()
    .default(true)
    .describe(
      'Give the endpoint the JSON Schema of a specification. One that refuses it is asked without. false: it is never given.',
    ),
  timeoutMs: milliseconds.default(600_000).describe('Maximum time of one answer, with all attempts to get it.'),
  maxAnswerTokens: within(1_000, 1_000_000)
    .default(32_000)
    .describe('Maximum number of tokens of one answer, with what the model thinks before it.'),
  maxTokens: within(1_000, 100_000_000)
    .default(400_000)
    .describe('Maximum number of tokens of all prompts and answers for one domain, or for one change of it.'),
  maxCostUsd: usd.describe(
    'Maximum cost of the same, in US dollars. It needs both prices. 0: maxTokens alone bounds it.',
  ),
  inputUsdPerMillion: usd.describe('Price of a million tokens of prompts, in US dollars.'),
  outputUsdPerMillion: usd.describe('Price of a million tokens of answers, in US dollars.'),
});

const tracing = z.strictObject({
  endpoint: url
    .default('')
    .describe(
      'URL that takes spans as OTLP over HTTP, with its path: http://127.0.0.1:4318/v1/traces. Empty: nothing is exported.',
    ),
  headers: z
    .array(z.string().regex(/^[A-Za-z0-9-]{1,100}=[\x20-\x7e]{1,4000}$/, 'must be a header as name=value'))
    .default([])
    .describe('Headers of each export as name=value, such as the key of a service: api-key=${COLLECTOR_KEY}.'),
  serviceName: z.string().min(1).max(255).default('beds').describe('Name of this service in the traces.'),
  sampleRatio: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe(
      'Share of the requests that are traced. One that belongs to a trace already is traced as its caller decided.',
    ),
  timeoutMs: milliseconds.default(5_000).describe('Timeout of one export.'),
  maxWaiting: within(100, 1_000_000)
    .default(20_000)
    .describe('Maximum number of spans that wait to be exported. More are dropped and counted.'),
  replyRoles: z
    .array(anyRole)
    .default(['operator', 'dba'])
    .describe(
      'Roles of users who get the spans of their request with its reply, where they ask for them. * means everybody. An empty list means nobody.',
    ),
});

const state = z.strictObject({
  directory: z
    .string()
    .default('.beds')
    .describe(
      'Directory of staged bundles, history, quarantine and private servers. Absolute, or relative to the checkout.',
    ),
});

export const configSchema = z.strictObject({
  node: node.prefault({}).describe('This process.'),
  amqp: amqp.prefault({}).describe('The connection to RabbitMQ.'),
  topology: topology.prefault({}).describe('Exchanges and queues.'),
  limits: limits.prefault({}).describe('Limits of requests and replies.'),
  plugins: plugins.prefault({}).describe('Where bundles come from, and their limits.'),
  rollout: rollout.prefault({}).describe('How a new version takes over, and what stops it.'),
  threads: z
    .record(name, threadGroup)
    .default({ default: { count: 0, domains: ['*'], heapMb: 512 } })
    .describe('Thread groups.'),
  brokers: z
    .record(name, broker)
    .default({
      rBroker: { type: 'data', mode: 'read', domains: ['*'], count: 1, prefetch: 200 },
      wBroker: { type: 'data', mode: 'write', domains: ['*'], count: 1, prefetch: 100 },
      uBroker: { type: 'data', mode: 'both', domains: ['users'], count: 1, prefetch: 100 },
      sBroker: { type: 'data', mode: 'both', domains: ['sessions'], count: 1, prefetch: 200 },
      eBroker: { type: 'outbox', everyMs: 1_000, count: 1, prefetch: 200 },
      adminBrokerIn: { type: 'admin-in', count: 1, prefetch: 20 },
      adminBrokerOut: { type: 'admin-out', count: 1, prefetch: 20 },
      adminData: {
        type: 'data',
        mode: 'both',
        domains: ['audit', 'fleet', 'logs', 'metrics'],
        count: 1,
        prefetch: 100,
      },
      adminLogsBroker: {
        ...{ type: 'admin-logs', debugDays: 1, infoDays: 14, warnDays: 90, errorDays: 366, count: 1, prefetch: 200 },
      },
      adminSyslogBroker: {
        ...{ type: 'admin-syslog', host: '', port: 514, transport: 'udp', caFile: '', facility: 16 },
        ...{ enterpriseNumber: 32_473, maxMessageBytes: 2_048, maxWaiting: 150, count: 1, prefetch: 200 },
      },
      adminGraphBroker: { type: 'admin-graph', count: 1, prefetch: 200 },
    })
    .describe('Brokers, by name. A broker consumes queues.'),
  roles: z
    .record(name, role)
    .default({
      appServer: { domains: ['*'], brokers: ['rBroker', 'wBroker'], needs: [] },
      tercero: { domains: ['users', 'sessions'], brokers: ['uBroker', 'sBroker', 'eBroker'], needs: [] },
      admin: {
        domains: ['audit', 'fleet', 'logs', 'metrics'],
        brokers: [
          'adminBrokerIn',
          'adminBrokerOut',
          'adminData',
          'adminLogsBroker',
          'adminSyslogBroker',
          'adminGraphBroker',
        ],
        needs: ['admin'],
      },
    })
    .describe('Roles, by name. A role says which brokers a node runs.'),
  security: security.prefault({}).describe('Who may call what.'),
  openid: openid.prefault({}).describe('Users of an OpenID provider.'),
  callers: z
    .record(name, caller)
    .default({})
    .describe(
      'What programs may call, by AMQP user. With one such table every request must say its user-id, which RabbitMQ checks, and who has no table may call nothing.',
    ),
  stores: z.record(name, store).default({}).describe('Databases, by the name that templates use.'),
  supervisor: supervisor.prefault({}).describe('How threads are watched, replaced and stopped.'),
  dashboard: dashboard.prefault({}).describe('The dashboard, for operators with a browser.'),
  log: log.prefault({}).describe('The log.'),
  tracing: tracing.prefault({}).describe('Traces of requests, for OpenTelemetry.'),
  assistant: assistant.prefault({}).describe('The model that `beds design` asks.'),
  state: state.prefault({}).describe('Where the host keeps what must survive a restart.'),
});

type DeepReadonly<T> = T extends readonly (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** The whole configuration, validated, with defaults, deep-frozen. */
export type Config = DeepReadonly<z.output<typeof configSchema>>;

/** What an adapter needs to know of its store. */
export type StoreConfig = Omit<Config['stores'][string], 'roles'>;
