import { BATCH_IN_PARTS, type BedsError, type RequestEnvelope } from '@beds/sdk';
import type { Delivery } from '../amqp/delivery.js';
import { type ReplyAddress, ReplyAddresses } from '../amqp/reply-address.js';
import type { ReplyPublisher } from '../amqp/reply-publisher.js';
import { MALFORMED_HEADERS } from '../amqp/header-guard.js';
import type { Config } from '../config/schema.js';
import { encodeFailure, encodeServedBy, encodeSuccess, toReplyError } from '../envelope/encode.js';
import { decodeMessage, type DecodedMessage } from '../envelope/decode.js';
import { requestErrors } from '../errors/request.js';
import { causeOf } from '../errors/thrown.js';
import { mapStack } from '../generation/map-stack.js';
import type { GenerationRegistry } from '../generation/registry.js';
import { publishFault, publishRequest, requestChannel } from '../observe/channels.js';
import type { Answer } from './answer.js';
import { authorise } from './authorise.js';
import { BatchReplies } from './batch-replies.js';
import type { CallerBook } from './callers.js';
import { checkSize, type OperationResult } from './check-result.js';
import type { Deadlines } from './deadlines.js';
import type { Observations } from './observations.js';
import { RequestScope } from './request-scope.js';
import { Running, type Run, type Waiting } from './running.js';
import type { ServingGeneration } from './serving-generation.js';
import { type ShadowCopy, Shadows } from './shadows.js';
import type { Suspects } from './suspects.js';
import { resolve, type Target } from './target.js';
import type { ContextHost, DomainCall } from './template-context.js';

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

/** A request of a message, and who takes its answer. */
interface Asked {
  readonly request: RequestEnvelope;
  readonly delivery: Delivery;
  readonly receivedAtMs: number;
  /** Called once, also in this turn; must not throw. */
  readonly onAnswer: (answer: Answer) => void;
}

/** A request that found its target. */
interface Begun {
  readonly target: Target;
  readonly scope: RequestScope;
  readonly copy: ShadowCopy | undefined;
  /** Whether its domain has a candidate. */
  readonly isObserved: boolean;
}

interface Failed extends Omit<Begun, 'target'> {
  readonly error: unknown;
  readonly generation: ServingGeneration | undefined;
}

interface Outgoing extends Pick<Answer, 'text' | 'expiresAtMs'> {
  readonly address: ReplyAddress | undefined;
}

/** From a delivered message to its acknowledgement. */
export class RequestPath implements ContextHost {
  readonly #options: RequestPathOptions;
  readonly #exchange: string;
  readonly #addresses: ReplyAddresses;
  readonly #shadows: Shadows;
  #served = 0;
  #failures = 0;

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
    return { served: this.#served, failed: this.#failures };
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
    this.#guard(delivery, () => this.#serve(delivery));
  }

  /** Whatever goes wrong in the host itself costs one message, not the thread. */
  #guard(delivery: Delivery, work: () => void): void {
    try {
      work();
    } catch (error) {
      publishFault({ where: 'request path', error });
      delivery.settle('reject');
    }
  }

  /**
   * gate → decode → (for each request: authorise → deadline → resolve → lease → template → check → encode) → reply →
   * acknowledge. Every step leaves by an error of the catalogue, whose row says how the message is settled.
   */
  #serve(delivery: Delivery): void {
    const receivedAtMs = performance.now();
    const address = this.#replyAddress(delivery);
    if (address === 'refused') {
      delivery.settle('reject');
      return;
    }
    let message: DecodedMessage;
    try {
      if (delivery.properties.headers !== undefined && MALFORMED_HEADERS in delivery.properties.headers) {
        throw requestErrors.make('BEDS_REQUEST_MALFORMED', 'The headers are nested too deeply or name a prototype.');
      }
      message = decodeMessage(delivery.body, delivery.properties, this.#options.config.limits);
    } catch (error) {
      this.#conclude(delivery, address, this.#refusal(delivery, toReplyError(error), receivedAtMs));
      return;
    }
    const { requests, isBatch } = message;
    const [first] = requests;
    if (isBatch || first === undefined) this.#answerBatch(requests, { delivery, receivedAtMs, address });
    else {
      const onAnswer = (answer: Answer): void => {
        this.#conclude(delivery, address, answer);
        if (answer.copy !== undefined) this.#shadows.launch(answer.copy);
      };
      this.#answer({ request: first, delivery, receivedAtMs, onAnswer });
    }
  }

  #answerBatch(
    requests: readonly RequestEnvelope[],
    { delivery, receivedAtMs, address }: Omit<Asked, 'request' | 'onAnswer'> & { address: ReplyAddress | undefined },
  ): void {
    const wantsParts = delivery.properties.type === BATCH_IN_PARTS;
    const replies = new BatchReplies({
      count: requests.length,
      holdMs: wantsParts ? this.#options.config.limits.batchHoldMs : undefined,
      send: ({ text, expiresAtMs, copies }, onSent) => {
        this.#send(delivery, { address, text, expiresAtMs }, onSent);
        for (const copy of copies) this.#shadows.launch(copy);
      },
      onSettled: (verdict) => delivery.settle(verdict),
    });
    // n.b. messages that were read together get a turn each, so that the first is answered before the last is begun.
    setImmediate(() => {
      this.#guard(delivery, () => {
        requests.forEach((request, place) => {
          this.#answer({ request, delivery, receivedAtMs, onAnswer: (answer) => replies.add(place, answer) });
        });
      });
    });
  }

  /** Carries out one request; never throws. */
  #answer(asked: Asked): void {
    const { request, delivery, receivedAtMs } = asked;
    const scope = this.#scopeOf(request, receivedAtMs);
    const route = this.#options.registry.route(request.domain);
    const generation = route?.choose(scope);
    let copy: ShadowCopy | undefined;
    try {
      authorise(request, delivery, this.#exchange);
      const target = resolve(route, generation, request.op);
      target.operation.callers.count(scope.client ?? '');
      if (delivery.redelivered && !target.operation.repeatable) throw requestErrors.make('BEDS_REQUEST_INDETERMINATE');
      // n.b. what was delivered before may have ended a thread.
      if (route?.candidate !== undefined && !delivery.redelivered) {
        copy = this.#shadows.draw(route, target, { request, timeMs: scope.expiresAtMs - receivedAtMs });
      }
      const waiting = this.#waiting(asked, { target, scope, copy, isObserved: route?.candidate !== undefined });
      const run: Run = { input: request, scope, depth: 0 };
      if (delivery.redelivered) this.#tryAgain(target, run, waiting);
      else this.#start(target, run, waiting);
    } catch (error) {
      this.#failed(asked, { error, scope, generation, copy, isObserved: route?.candidate !== undefined });
    }
  }

  /** What happens when the template is done with a request. */
  #waiting(asked: Asked, { target, scope, copy, isObserved }: Begun): Waiting {
    const { generation } = target;
    const failed = (error: unknown): void => this.#failed(asked, { error, scope, generation, copy, isObserved });
    return {
      succeeded: (result) => {
        let text: string;
        try {
          text = encodeSuccess(asked.request.id, result, generation.byJson);
          checkSize(text, this.#options.config.limits.maxReplyBytes);
          this.#shadows.answered(copy, result);
        } catch (error) {
          failed(error);
          return;
        }
        this.#served += 1;
        generation.counts.succeeded();
        if (isObserved) generation.counts.took(performance.now() - asked.receivedAtMs);
        if (requestChannel.hasSubscribers) publishEnd(asked, undefined);
        asked.onAnswer({ text, verdict: 'ack', expiresAtMs: scope.expiresAtMs, copy });
      },
      failed,
    };
  }

  /** Counts, reports and answers a failure. */
  #failed(asked: Asked, { error, scope, generation, copy, isObserved }: Failed): void {
    const { request, receivedAtMs } = asked;
    const failure = this.#fail(error, request, generation);
    this.#shadows.failed(copy, failure);
    if (isObserved) generation?.counts.took(performance.now() - receivedAtMs);
    if (requestChannel.hasSubscribers) publishEnd(asked, failure);
    const text = failureText(request.id, failure, generation?.byJson ?? this.#unservedBy(request.domain));
    asked.onAnswer({ text, verdict: failure.verdict, expiresAtMs: scope.expiresAtMs, copy });
  }

  /** What was delivered before may have ended its thread: it runs when nothing like it does. */
  #tryAgain(target: Target, run: Run, waiting: Waiting): void {
    this.#options.suspects
      .run(run.scope.requestId, () => this.#run(target, run), target.generation.id)
      .then(
        (result) => waiting.succeeded(result),
        (error: unknown) => waiting.failed(error),
      );
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
    this.#failures += 1;
    // A message that never should have come this way says nothing about the version.
    if (failure.code !== 'BEDS_REQUEST_ROUTE_MISMATCH') generation?.counts.failedWith(failure.status);
    if (failure.status === 'fault') this.#report(causeOf(failure) ?? failure, request, generation);
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

  /** Throws, with nothing begun, where the deadline has passed. */
  #run(target: Target, run: Run): Promise<OperationResult> {
    run.scope.requireTime();
    return new Promise((succeeded, failed) => {
      this.#start(target, run, { succeeded, failed });
    });
  }

  #start(target: Target, run: Run, waiting: Waiting): void {
    new Running(target, run, { waiting, deadlines: this.#options.deadlines }).start(this);
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
  #conclude(delivery: Delivery, address: ReplyAddress | undefined, { text, verdict, expiresAtMs }: Answer): void {
    this.#send(delivery, { address, text, expiresAtMs }, () => delivery.settle(verdict));
  }

  /** `onSent`: RabbitMQ has taken responsibility for the reply, or nobody takes it. */
  #send(delivery: Delivery, { address, text, expiresAtMs }: Outgoing, onSent: () => void): void {
    if (address === undefined) {
      onSent();
      return;
    }
    const correlationId: unknown = delivery.properties.correlationId;
    this.#options.replies.publish(
      {
        address,
        correlationId: typeof correlationId === 'string' ? correlationId : undefined,
        body: Buffer.from(text),
        expiresAtMs: expiresAtMs + REPLY_GRACE_MS,
        isUrgent: delivery.isUrgent,
      },
      onSent,
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
    return { text, verdict: error.verdict, expiresAtMs, copy: undefined };
  }

  #unservedBy(domain: string): string {
    return encodeServedBy({ node: this.#options.node, domain });
  }

  #report(error: unknown, request: RequestEnvelope, generation: ServingGeneration | undefined): void {
    publishFault({
      where: `${request.domain}.${request.op}`,
      error: generation === undefined ? error : mapStack(error, generation.source),
      domain: request.domain,
      requestId: request.id,
      ...(generation === undefined ? {} : { version: generation.version, hash: generation.source.hash }),
    });
  }
}

/** n.b. what a template throws as an error of BEDS may carry what JSON cannot write, and somebody waits for an answer. */
function failureText(id: string, failure: BedsError, byJson: string): string {
  try {
    return encodeFailure(id, failure, byJson);
  } catch {
    return encodeFailure(id, requestErrors.make('BEDS_REQUEST_TEMPLATE_FAULT'), byJson);
  }
}

function publishEnd({ request, receivedAtMs }: Asked, failure: BedsError | undefined): void {
  const { domain, op: operation } = request;
  const code = failure === undefined ? {} : { code: failure.code };
  publishRequest({ domain, operation, ok: failure === undefined, ...code, ms: performance.now() - receivedAtMs });
}
