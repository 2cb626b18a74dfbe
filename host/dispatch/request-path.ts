import { type BedsError, isBedsError, type RequestEnvelope, type Verdict } from '@beds/sdk';
import type { Delivery } from '../amqp/delivery.js';
import { type ReplyAddress, ReplyAddresses } from '../amqp/reply-address.js';
import type { ReplyPublisher } from '../amqp/reply-publisher.js';
import { MALFORMED_HEADERS } from '../amqp/header-guard.js';
import type { Config } from '../config/schema.js';
import { encodeFailure, encodeServedBy, encodeSuccess, toReplyError } from '../envelope/encode.js';
import { decodeMessage, type DecodedMessage } from '../envelope/decode.js';
import { requestErrors } from '../errors/request.js';
import { mapStack } from '../generation/map-stack.js';
import type { GenerationRegistry } from '../generation/registry.js';
import { publishFault, publishRequest, requestChannel } from '../observe/channels.js';
import type { Deadlines, WatchedDeadline } from './deadlines.js';
import type { CallerBook } from './callers.js';
import { checkSize, type OperationResult } from './check-result.js';
import type { Observations } from './observations.js';
import { RequestScope } from './request-scope.js';
import type { ServingGeneration } from './serving-generation.js';
import { type ShadowCopy, Shadows } from './shadows.js';
import type { Suspects } from './suspects.js';
import { resolve, type Target } from './target.js';
import { type ContextHost, type DomainCall, RequestContext } from './template-context.js';

/** Domains may call each other this many times in a row within one request. */
const MAX_CALL_DEPTH = 8;

/** A reply is worth sending a little after the deadline: it says that the deadline passed. */
const REPLY_GRACE_MS = 1_000;

export interface RequestPathOptions {
  readonly node: string;
  readonly config: Pick<Config, 'limits' | 'broker'>;
  readonly registry: GenerationRegistry<ServingGeneration>;
  readonly replies: ReplyPublisher;
  readonly deadlines: Deadlines;
  readonly suspects: Suspects;
  readonly callers: CallerBook;
  readonly entering: (generation: ServingGeneration) => void;
}

/** The answer to one request, or to all requests of a message. */
interface Answer {
  readonly text: string;
  readonly verdict: Verdict;
  /** Deadline of what was asked, in terms of performance.now(). */
  readonly expiresAtMs: number;
  /** Requests that a candidate gets a copy of after the answer. */
  readonly copies: readonly ShadowCopy[];
}

const NO_COPIES: readonly ShadowCopy[] = [];

/** What `#run` needs of a call. */
interface Running extends Pick<DomainCall, 'input' | 'scope' | 'depth'> {
  /** When the code has really ended, be it after the deadline. */
  readonly onEnded?: () => void;
}

/** From a delivered message to its acknowledgement. */
export class RequestPath implements ContextHost {
  readonly #options: RequestPathOptions;
  readonly #exchange: string;
  readonly #addresses: ReplyAddresses;
  readonly #shadows: Shadows;
  #served = 0;
  #failed = 0;

  constructor(options: RequestPathOptions) {
    this.#options = options;
    const { prefix } = options.config.broker;
    this.#exchange = `${prefix}.request`;
    this.#addresses = new ReplyAddresses(prefix);
    this.#shadows = new Shadows({
      run: (target, call) => this.#run(target, call),
      candidateOf: (domain) => options.registry.route(domain)?.candidate,
      maxReplyBytes: options.config.limits.maxReplyBytes,
    });
  }

  get counts(): { readonly served: number; readonly failed: number } {
    return { served: this.#served, failed: this.#failed };
  }

  /** What was seen of requests; callers and shadows since the last time. */
  observe(): Observations {
    return {
      tallies: this.#options.registry.all.map(({ id, counts }) => counts.tally(id)),
      callers: this.#options.callers.take(),
      shadows: this.#shadows.take(),
    };
  }

  /** Takes a message; never throws, and settles the message exactly once. */
  handle(delivery: Delivery): void {
    this.#serve(delivery).catch((error: unknown) => {
      publishFault({ where: 'request path', error });
      delivery.settle('reject');
    });
  }

  /**
   * gate → decode → (for each request: authorise → deadline → resolve → lease → template → check → encode) → reply →
   * acknowledge. Every step leaves by an error of the catalogue, whose row says how the message is settled.
   */
  async #serve(delivery: Delivery): Promise<void> {
    const receivedAtMs = performance.now();
    const address = this.#replyAddress(delivery);
    if (address === 'refused') {
      delivery.settle('reject');
      return;
    }
    let message: DecodedMessage;
    try {
      if (MALFORMED_HEADERS in (delivery.properties.headers ?? {})) {
        throw requestErrors.make('BEDS_REQUEST_MALFORMED', 'The headers are nested too deeply or name a prototype.');
      }
      message = decodeMessage(delivery.body, delivery.properties, this.#options.config.limits);
    } catch (error) {
      this.#conclude(delivery, address, this.#refusal(delivery, toReplyError(error), receivedAtMs));
      return;
    }
    const { requests, isBatch } = message;
    const [first] = requests;
    const answer =
      isBatch || first === undefined
        ? await this.#answerBatch(requests, delivery, receivedAtMs)
        : await this.#answer(first, delivery, receivedAtMs);
    this.#conclude(delivery, address, answer);
    for (const copy of answer.copies) this.#shadows.launch(copy);
  }

  async #answerBatch(requests: readonly RequestEnvelope[], delivery: Delivery, receivedAtMs: number): Promise<Answer> {
    const answers = await Promise.all(requests.map((request) => this.#answer(request, delivery, receivedAtMs)));
    return {
      text: `[${answers.map(({ text }) => text).join(',')}]`,
      verdict: answers.find(({ verdict }) => verdict !== 'ack')?.verdict ?? 'ack',
      expiresAtMs: answers.reduce((latestMs, { expiresAtMs }) => Math.max(latestMs, expiresAtMs), receivedAtMs),
      copies: answers.flatMap(({ copies }) => copies),
    };
  }

  /** Carries out one request; never rejects. */
  async #answer(request: RequestEnvelope, delivery: Delivery, receivedAtMs: number): Promise<Answer> {
    const startedAtMs = requestChannel.hasSubscribers ? performance.now() : 0;
    const scope = this.#scopeOf(request, receivedAtMs);
    const route = this.#options.registry.route(request.domain);
    const generation = route?.choose(scope);
    const isObserved = route?.candidate !== undefined;
    let copy: ShadowCopy | undefined;
    let failure: BedsError | undefined;
    let text: string;
    try {
      authorise(request, delivery, this.#exchange);
      const target = resolve(route, generation, request.op);
      target.operation.callers.count(scope.client ?? '');
      if (delivery.redelivered && !target.operation.repeatable) throw requestErrors.make('BEDS_REQUEST_INDETERMINATE');
      // n.b. what was delivered before may have ended a thread.
      if (isObserved && !delivery.redelivered) {
        copy = this.#shadows.draw(route, target, { request, timeMs: scope.expiresAtMs - receivedAtMs });
      }
      const run = (): Promise<OperationResult> => this.#run(target, { input: request, scope, depth: 0 });
      const result = await (delivery.redelivered
        ? this.#options.suspects.run(request.id, run, target.generation.id)
        : run());
      text = encodeSuccess(request.id, result, target.generation.byJson);
      checkSize(text, this.#options.config.limits.maxReplyBytes);
      this.#shadows.answered(copy, result);
      this.#served += 1;
      target.generation.counts.succeeded();
    } catch (error) {
      failure = this.#fail(error, request, generation);
      this.#shadows.failed(copy, failure);
      text = encodeFailure(request.id, failure, generation?.byJson ?? this.#unservedBy(request.domain));
    }
    if (isObserved) generation?.counts.took(performance.now() - receivedAtMs);
    if (requestChannel.hasSubscribers) publishEnd(request, failure, performance.now() - startedAtMs);
    const copies = copy === undefined ? NO_COPIES : [copy];
    return { text, verdict: failure?.verdict ?? 'ack', expiresAtMs: scope.expiresAtMs, copies };
  }

  #scopeOf(request: RequestEnvelope, receivedAtMs: number): RequestScope {
    return new RequestScope({
      requestId: request.id,
      client: request.meta?.client,
      session: request.meta?.session,
      idempotencyKey: request.meta?.idempotencyKey,
      expiresAtMs: this.#expiry(request.meta?.deadlineMs, receivedAtMs),
    });
  }

  /** Counts and reports a failure; gives what the caller is told. */
  #fail(error: unknown, request: RequestEnvelope, generation: ServingGeneration | undefined): BedsError {
    const failure = toReplyError(error);
    this.#failed += 1;
    // A message that never should have come this way says nothing about the version.
    if (failure.code !== 'BEDS_REQUEST_ROUTE_MISMATCH') generation?.counts.failedWith(failure.status);
    if (failure.status === 'fault') this.#report(error, request, generation);
    return failure;
  }

  /** Runs an operation for template code of another domain, in this thread. */
  async invoke(call: DomainCall): Promise<OperationResult> {
    if (call.depth > MAX_CALL_DEPTH) throw requestErrors.make('BEDS_REQUEST_CALL_DEPTH');
    const route = this.#options.registry.route(call.domain);
    const target = resolve(route, route?.choose(call.scope), call.op);
    if (call.mode === 'read' && target.operation.mode === 'write') throw requestErrors.make('BEDS_REQUEST_READ_ONLY');
    if (route?.candidate === undefined || call.scope.isCopy) return this.#run(target, call);
    return this.#countCalled(target, this.#run(target, call));
  }

  /** A canary that only other domains call must be judged by something. */
  async #countCalled({ generation }: Target, running: Promise<OperationResult>): Promise<OperationResult> {
    try {
      const result = await running;
      generation.counts.succeeded();
      return result;
    } catch (error) {
      generation.counts.failedWith(toReplyError(error).status);
      throw error;
    }
  }

  get maxPageRows(): number {
    return this.#options.config.limits.maxPageRows;
  }

  entering(generation: ServingGeneration): void {
    this.#options.entering(generation);
  }

  /** Leases the generation, runs its code and lets go when the code has really ended, be it after the deadline. */
  #run(target: Target, call: Running): Promise<OperationResult> {
    const { generation, operation } = target;
    const { scope } = call;
    scope.requireTime();
    return new Promise((resolvePromise, rejectPromise) => {
      const deadline = this.#options.deadlines.add(scope.expiresAtMs, () => {
        if (!scope.isCopy) generation.counts.overran();
        scope.expire();
        rejectPromise(requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED'));
      });
      generation.lease();
      this.#options.entering(generation);
      const ctx = new RequestContext({ host: this, generation, operation, scope, depth: call.depth });
      operation.run(call.input, ctx).then(
        (result) => {
          this.#ended(generation, call, deadline);
          resolvePromise(result);
        },
        (error: unknown) => {
          this.#ended(generation, call, deadline);
          rejectPromise(error instanceof Error ? error : toReplyError(error));
        },
      );
    });
  }

  #ended(generation: ServingGeneration, call: Running, deadline: WatchedDeadline): void {
    const isInTime = this.#options.deadlines.remove(deadline);
    generation.release();
    if (!isInTime && !call.scope.isCopy) generation.counts.settled();
    call.onEnded?.();
  }

  #replyAddress(delivery: Delivery): ReplyAddress | 'refused' | undefined {
    const replyTo: unknown = delivery.properties.replyTo;
    if (typeof replyTo !== 'string' || replyTo === '') return undefined;
    const address = this.#addresses.parse(replyTo);
    if (address !== undefined) return address;
    publishFault({ where: 'reply address', error: requestErrors.make('BEDS_REQUEST_REPLY_TO') });
    return 'refused';
  }

  /** Replies, and settles the message when RabbitMQ has taken responsibility for the reply. */
  #conclude(delivery: Delivery, address: ReplyAddress | undefined, answer: Answer): void {
    const { text, verdict, expiresAtMs } = answer;
    if (address === undefined) {
      delivery.settle(verdict);
      return;
    }
    const correlationId: unknown = delivery.properties.correlationId;
    this.#options.replies.publish(
      {
        address,
        correlationId: typeof correlationId === 'string' ? correlationId : undefined,
        body: Buffer.from(text),
        expiresAtMs: expiresAtMs + REPLY_GRACE_MS,
      },
      () => {
        delivery.settle(verdict);
      },
    );
  }

  #expiry(deadlineMs: number | undefined, receivedAtMs: number): number {
    const { defaultDeadlineMs, maxDeadlineMs } = this.#options.config.limits;
    return receivedAtMs + Math.min(deadlineMs ?? defaultDeadlineMs, maxDeadlineMs);
  }

  /** A message that could not be decoded has no id: its correlation id stands in. */
  #refusal(delivery: Delivery, error: BedsError, receivedAtMs: number): Answer {
    const id: unknown = delivery.properties.correlationId;
    const text = encodeFailure(typeof id === 'string' ? id : '', error, this.#unservedBy(''));
    const expiresAtMs = receivedAtMs + this.#options.config.limits.defaultDeadlineMs;
    return { text, verdict: error.verdict, expiresAtMs, copies: NO_COPIES };
  }

  #unservedBy(domain: string): string {
    return encodeServedBy({ node: this.#options.node, domain });
  }

  #report(error: unknown, request: RequestEnvelope, generation: ServingGeneration | undefined): void {
    const original = isBedsError(error) ? (error.cause ?? error) : error;
    publishFault({
      where: `${request.domain}.${request.op}`,
      error: generation === undefined ? original : mapStack(original, generation.source),
      domain: request.domain,
      requestId: request.id,
      ...(generation === undefined ? {} : { version: generation.version, hash: generation.source.hash }),
    });
  }
}

function publishEnd(request: RequestEnvelope, failure: BedsError | undefined, ms: number): void {
  const { domain, op: operation } = request;
  const code = failure === undefined ? {} : { code: failure.code };
  publishRequest({ domain, operation, ok: failure === undefined, ...code, ms });
}

/**
 * The broker checked the caller's right to the routing key (topic permissions), so the envelope must ask for what the
 * routing key says, and the message must have come through the request exchange and not straight into the queue.
 */
function authorise(request: RequestEnvelope, delivery: Delivery, exchange: string): void {
  if (delivery.exchange !== exchange || delivery.routingKey !== `${request.domain}.${request.op}`) {
    throw requestErrors.make('BEDS_REQUEST_ROUTE_MISMATCH');
  }
}
