import assert from 'node:assert/strict';
import { parseManifest, type ReplyEnvelope, type RequestEnvelope } from '#sdk/template';
import type { ConsumeMessage } from 'amqplib';
import { Access, type ResolveSession } from '../../host/access/access.js';
import { IN_NAME_OF, ProgramPolicy } from '../../host/access/programs.js';
import { Delivery } from '../../host/amqp/queue-consumer.js';
import { HandOver } from '../../host/amqp/hand-over.js';
import { type Reply, ReplyPublisher, type ReplySettled } from '../../host/amqp/reply-publisher.js';
import { configSchema } from '../../host/config/schema.js';
import { requestErrors } from '../../host/errors/request.js';
import { CallerBook } from '../../host/request/observations.js';
import { PoisonTracker } from '../../host/request/poison-tracker.js';
import { RequestPath } from '../../host/request/request-path.js';
import type { ServingGeneration } from '../../host/request/serving-generation.js';
import type { NamedObject, StoreAdapter } from '../../host/stores/contract.js';
import type { GenerationSource } from '../../host/template/contract.js';
import { convertBundle } from '../../host/template/convert.js';
import { GenerationRegistry } from '../../host/template/registry.js';
import { Generations } from '../../host/threads/generations.js';
import { type BundleOptions, describeBundle } from './bundles.js';

/** A bundle as the supervisor would send it to a thread. Its objects are there, as far as a store that is none can tell. */
export async function sourceOf(id: number, options: BundleOptions): Promise<GenerationSource> {
  const { files, hash } = describeBundle({ version: `${String(id)}.0.0`, ...options });
  const manifest = parseManifest(files.get('manifest.json') ?? '');
  assert.ok(manifest.ok, JSON.stringify(manifest));
  const objects = Object.fromEntries(
    Object.entries(manifest.manifest.objects).map(([alias, { kind, name }]): [string, NamedObject] => [
      alias,
      kind === 'view' ? { kind, name, columns: [], native: {} } : { kind: 'procedure', name, args: [], native: {} },
    ]),
  );
  return { id, hash, manifest: manifest.manifest, objects, ...(await convertBundle(files.get('index.mjs') ?? '')) };
}

/** What is sent, as far as it is not the same for all. */
export type Asked = Pick<RequestEnvelope, 'op'> &
  Partial<RequestEnvelope> & {
    readonly redelivered?: boolean;
    /** Whether its queue carries writes. */
    readonly isWrite?: boolean;
    /** The account that RabbitMQ has checked. */
    readonly userId?: string;
    /** Of a copy that a host made: the account of the original. */
    readonly inNameOf?: string;
  };

/** The request path and the generations of one thread, in this process, without servers. */
export interface DataPlane {
  readonly path: RequestPath;
  readonly access: Access;
  /** Without a channel until it is given one. */
  readonly handOver: HandOver;
  /** How messages were settled, in order. */
  readonly verdicts: readonly string[];
  readonly registry: GenerationRegistry<ServingGeneration>;
  readonly generations: Generations;
  /** Generations that drained, and those whose code was entered since `prepare`, in order. */
  readonly drained: readonly number[];
  readonly entered: readonly number[];
  /** Prepares generations 1, 2, … of these bundles. */
  prepare(...bundles: readonly BundleOptions[]): Promise<void>;
  /** Sends a request to `notes`, unless it says otherwise. */
  ask(request: Asked): Promise<ReplyEnvelope>;
}

class KeptReplies extends ReplyPublisher {
  onReply: (reply: Reply) => void = () => undefined;

  override publish(reply: Reply, onSettled: ReplySettled): void {
    this.onReply(reply);
    onSettled('confirmed');
  }
}

/** What of a thread differs. */
export interface PlaneOptions {
  /** Whose session a token is, by its hash. Default: nobody's. */
  readonly resolve?: ResolveSession;
  /** Sections of the configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** `adapter`: of the store `main`; `others`: stores by their own names. */
export function makeDataPlane(
  adapter = {} as StoreAdapter,
  others: readonly StoreAdapter[] = [],
  options: PlaneOptions = {},
): DataPlane {
  const adapters = new Map([['main', adapter], ...others.map((other) => [other.store, other] as const)]);
  const config = configSchema.parse(options.config ?? {});
  const access: Access = new Access({
    security: config.security,
    resolve: options.resolve ?? (() => Promise.resolve(null)),
    listen: () => access.listening(true),
  });
  const registry = new GenerationRegistry<ServingGeneration>();
  const [drained, entered]: [number[], number[]] = [[], []];
  const handOver = new HandOver();
  const verdicts: string[] = [];
  const common = { node: 'test', registry, callers: new CallerBook() };
  const programs = new ProgramPolicy(config.callers, 'amqp://host:secret@localhost');
  const waiting = new Map<string, (text: string) => void>();
  const replies = new KeptReplies();
  replies.onReply = ({ correlationId = '', body }) => waiting.get(correlationId)?.(body.toString());
  const path = new RequestPath({
    ...{ ...common, config, replies, handOver, adapters, spans: undefined },
    poison: new PoisonTracker(() => undefined),
    gaps: { readSince: (nowMs) => nowMs },
    remote: {
      call: () => Promise.reject(new TypeError('there is no other node')),
      roleOf: () => undefined,
      absent: () => requestErrors.make('BEDS_REQUEST_ROLE_ABSENT'),
      unbound: () => Promise.resolve(requestErrors.make('BEDS_REQUEST_ROLE_ABSENT')),
    },
    serves: () => true,
    wrote: () => undefined,
    entering: (id) => entered.push(id),
    ...{ access, programs },
  });
  const generations = new Generations({
    ...{ ...common, host: path, prepareTimeoutMs: 1_000, drainTimeoutMs: 5_000 },
    adapters,
    defaultAccess: config.security.defaultAccess,
    onDrained: ({ id }) => drained.push(id),
  });
  let asked = 0;
  const ask = ({
    redelivered = false,
    isWrite = false,
    userId,
    inNameOf,
    ...request
  }: Asked): Promise<ReplyEnvelope> => {
    asked += 1;
    const correlationId = String(asked);
    const envelope = { v: 1, id: `r-${correlationId}`, domain: 'notes', ...request };
    const answer = new Promise<string>((resolve) => waiting.set(correlationId, resolve));
    path.handle(
      deliver(envelope, {
        correlationId,
        redelivered,
        userId,
        inNameOf,
        isWrite,
        verdicts,
        prefix: config.amqp.prefix,
      }),
    );
    return answer.then((text) => JSON.parse(text) as ReplyEnvelope);
  };
  const prepare = async (...bundles: readonly BundleOptions[]): Promise<void> => {
    for (const [index, bundle] of bundles.entries()) await generations.prepare(await sourceOf(index + 1, bundle));
    entered.length = 0;
  };
  return { path, access, handOver, verdicts, registry, generations, drained, entered, prepare, ask };
}

interface Sent {
  readonly correlationId: string;
  readonly redelivered: boolean;
  readonly userId: string | undefined;
  readonly inNameOf: string | undefined;
  readonly isWrite: boolean;
  readonly verdicts: string[];
  readonly prefix: string;
}

function deliver(
  envelope: { readonly domain: string; readonly op: string },
  { correlationId, redelivered, userId, inNameOf, isWrite, verdicts, prefix }: Sent,
): Delivery {
  const routingKey = `${envelope.domain}.${envelope.op}`;
  const fields = { exchange: `${prefix}.request`, routingKey, redelivered, deliveryTag: 1 };
  const replyTo = 'amq.rabbitmq.reply-to.g1h2AA5yZXBseUA4OTU2MDI0NgAAFAAAAAAAZQ.Jx5u8J2jv0Xb';
  const headers = inNameOf === undefined ? {} : { [IN_NAME_OF]: inNameOf };
  const properties = { contentType: 'application/json', correlationId, replyTo, userId, headers };
  const message = { content: Buffer.from(JSON.stringify(envelope)), fields, properties };
  const channel = {
    ack: () => void verdicts.push('ack'),
    nack: () => void verdicts.push('nack'),
    reject: () => void verdicts.push('reject'),
  };
  return new Delivery(channel, message as unknown as ConsumeMessage, {
    nearPrefetchLimit: false,
    carriesWrites: isWrite,
    settled: () => undefined,
  });
}
