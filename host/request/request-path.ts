import { BATCH_IN_PARTS, type BedsError, type RequestEnvelope } from '@beds/sdk';
import type { StoreAdapter } from '../stores/contract.js';
import type { Delivery } from '../amqp/delivery.js';
import type { HandOver } from '../amqp/hand-over.js';
import type { ReplyAddress } from '../amqp/reply-address.js';
import type { ReplyPublisher } from '../amqp/reply-publisher.js';
import { MALFORMED_HEADERS } from '../amqp/header-guard.js';
import type { Config } from '../config/schema.js';
import { encodeFailure, encodeServedBy, encodeSuccess, toReplyError } from './encode.js';
import { decodeMessage, type DecodedMessage } from './decode.js';
import { requestErrors } from '../errors/request.js';
import { causeOf } from '../errors/thrown.js';
import type { GenerationRegistry } from '../template/registry.js';
import { publishFault, publishRequest, requestChannel } from '../observe/channels.js';
import { expiryOf, thisMoment, tooLate } from './age.js';
import { type Answer, failureText } from './answer.js';
import { Answering } from './answering.js';
import type { Asked } from './asked.js';
import { authorise } from './authorise.js';
import { BatchReplies } from './batch-replies.js';
import { afterBegunWrite } from './begun-write.js';
import type { CallerBook } from './callers.js';
import { checkSize, type OperationResult } from './check-result.js';
import { DeadLetters, type Lost } from './dead-letters.js';
import type { Deadlines } from './deadlines.js';
import type { LoopGaps } from './loop-gaps.js';
import type { Observations } from './observations.js';
import { reportFault } from './report-fault.js';
import { RequestScope } from './request-scope.js';
import { Running, type Run, type Waiting } from './running.js';
import type { ServingGeneration } from './serving-generation.js';
import { type ShadowCopy, Shadows } from './shadows.js';
import type { Suspects } from './suspects.js';
import { resolve, type Target } from './target.js';
import type { ContextHost, DomainCall } from './template-context.js';
import { type WaitingCount, WaitingWrites } from './waiting-writes.js';

/** Domains may call each other this many times in a row within one request. */
const MAX_CALL_DEPTH = 8;

export interface RequestPathOptions {
  readonly node: string;
  readonly config: Pick<Config, 'limits' | 'amqp'>;
  readonly registry: GenerationRegistry<ServingGeneration>;
  readonly replies: ReplyPublisher;
  readonly handOver: HandOver;
  readonly adapters: ReadonlyMap<string, StoreAdapter>;
  readonly deadlines: Deadlines;
  readonly suspects: Suspects;
  readonly callers: CallerBook;
  readonly gaps: Pick<LoopGaps, 'readSince'>;
  readonly entering: (generation: ServingGeneration) => void;
}

/** A message as it came. */
interface Received extends Pick<Asked, 'delivery' | 'receivedAtMs' | 'readSinceMs'> {
  readonly address: ReplyAddress | undefined;
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
  /** Whether it may be run twice. */
  readonly repeatable: boolean;
  readonly generation: ServingGeneration | undefined;
}

/** From a delivered message to its acknowledgement. */
export class RequestPath implements ContextHost {
  readonly #options: RequestPathOptions;
  readonly #exchange: string;
  readonly #answering: Answering;
  readonly #waitingWrites: WaitingWrites;
  readonly #dead: DeadLetters;
  readonly #shadows: Shadows;
  #served = 0;
  #failures = 0;

  constructor(options: RequestPathOptions) {
    this.#options = options;
    const { config, replies, handOver, deadlines, adapters } = options;
    const { prefix } = config.amqp;
    this.#exchange = `${prefix}.request`;
    const dead = new DeadLetters(handOver, `${prefix}.dead`);
    this.#answering = new Answering({ replies, dead, prefix });
    this.#dead = dead;
    this.#waitingWrites = new WaitingWrites({
      ...{ stores: adapters, deadlines, handOver, exchange: this.#exchange, holdMs: config.limits.holdWritesMs },
      run: (asked) => this.#answer(asked),
      refuse: (asked, failure) => this.#refuse(asked, failure),
    });
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

  /** Writes that wait for a store that is away. */
  get waitingWrites(): readonly WaitingCount[] {
    return this.#waitingWrites.counts;
  }

  /** No more messages come: what was not begun goes back. */
  stop(): void {
    this.#waitingWrites.stop();
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
    const { receivedAtMs } = delivery;
    const address = this.#answering.addressOf(delivery);
    if (address === 'refused') return;
    let message: DecodedMessage;
    try {
      if (delivery.properties.headers !== undefined && MALFORMED_HEADERS in delivery.properties.headers) {
        throw requestErrors.make('BEDS_REQUEST_MALFORMED', 'The headers are nested too deeply or name a prototype.');
      }
      message = decodeMessage(delivery.body, delivery.properties, this.#options.config.limits);
    } catch (error) {
      this.#answering.conclude(delivery, address, this.#refusal(delivery, toReplyError(error), receivedAtMs));
      return;
    }
    const { requests, isBatch } = message;
    const [first] = requests;
    const readSinceMs = this.#options.gaps.readSince(receivedAtMs);
    const received = { delivery, receivedAtMs, readSinceMs, address };
    if (isBatch || first === undefined) this.#answerBatch(requests, received);
    else this.#answerOne(first, received);
  }

  #answerOne(request: RequestEnvelope, { address, delivery, receivedAtMs, readSinceMs }: Received): void {
    const onAnswer = (answer: Answer): void => {
      this.#answering.conclude(delivery, address, answer);
      if (answer.copy !== undefined) this.#shadows.launch(answer.copy);
    };
    const readAt = undefined;
    const waited = undefined;
    this.#answer({ request, delivery, receivedAtMs, readSinceMs, readAt, onAnswer, isOfBatch: false, waited });
  }

  #answerBatch(requests: readonly RequestEnvelope[], received: Received): void {
    const { address, delivery, receivedAtMs, readSinceMs } = received;
    // Looked at once for all of them.
    const readAt = thisMoment();
    const wantsParts = delivery.properties.type === BATCH_IN_PARTS;
    const lost: Lost[] = [];
    const replies = new BatchReplies({
      count: requests.length,
      holdMs: wantsParts ? this.#options.config.limits.batchHoldMs : undefined,
      send: ({ text, expiresAtMs, copies }, onSent) => {
        this.#answering.send(delivery, { address, text, expiresAtMs }, onSent);
        for (const copy of copies) this.#shadows.launch(copy);
      },
      onSettled: (verdict) => {
        if (lost.length > 0 && verdict !== 'requeue') this.#dead.buryParts(delivery, lost);
        else delivery.settle(verdict);
      },
    });
    // n.b. messages that were read together get a turn each, so that the first is answered before the last is begun.
    setImmediate(() => {
      this.#guard(delivery, () => {
        requests.forEach((request, place) => {
          const onAnswer = (answer: Answer): void => {
            if (answer.lost !== undefined && address === undefined) lost.push({ request, failure: answer.lost });
            replies.add(place, answer);
          };
          const waited = undefined;
          this.#answer({ request, delivery, receivedAtMs, readSinceMs, readAt, onAnswer, isOfBatch: true, waited });
        });
      });
    });
  }

  /** Carries out one request; never throws. */
  #answer(asked: Asked): void {
    const { request, delivery, receivedAtMs } = asked;
    const scope = this.#scopeOf(asked);
    // n.b. of one that was delivered before it is not certain that nothing was done.
    if (scope.expiresAtMs <= receivedAtMs && !delivery.redelivered) {
      this.#failed(asked, { error: tooLate(), scope, ...NOBODY });
      return;
    }
    const route = this.#options.registry.route(request.domain);
    const generation = route?.choose(scope);
    let copy: ShadowCopy | undefined;
    try {
      authorise(request, delivery, this.#exchange);
      if (delivery.redelivered) this.#refuseAgain(delivery, request, route?.withheld === true);
      const target = resolve(route, generation, request.op);
      if (asked.waited === undefined) target.operation.callers.count(scope.client ?? '');
      if (delivery.redelivered && !target.operation.repeatable) throw requestErrors.make('BEDS_REQUEST_INDETERMINATE');
      if (!this.#waitingWrites.isIdle && target.operation.mode === 'write' && this.#waitingWrites.holds(asked, scope))
        return;
      // n.b. what was delivered before may have ended a thread.
      if (route?.candidate !== undefined && !delivery.redelivered) {
        copy = this.#shadows.draw(route, target, { request, timeMs: scope.expiresAtMs - receivedAtMs });
      }
      const waiting = this.#waiting(asked, { target, scope, copy, isObserved: route?.candidate !== undefined });
      const run: Run = { input: request, scope, depth: 0 };
      if (delivery.redelivered) this.#tryAgain(target, run, waiting);
      else this.#start(target, run, waiting);
    } catch (error) {
      const isObserved = route?.candidate !== undefined;
      this.#failed(asked, { error, scope, generation, repeatable: true, copy, isObserved });
    }
  }

  /** What happens when the template is done with a request. */
  #waiting(asked: Asked, { target, scope, copy, isObserved }: Begun): Waiting {
    const { generation, operation } = target;
    const { repeatable } = operation;
    const failed = (error: unknown): void =>
      this.#failed(asked, { error, scope, generation, repeatable, copy, isObserved });
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
        asked.onAnswer({ text, verdict: 'ack', expiresAtMs: scope.expiresAtMs, copy, lost: undefined });
      },
      failed,
    };
  }

  /** Counts, reports and answers a failure. */
  #failed(asked: Asked, failed: Failed): void {
    const { error, scope, generation, repeatable, copy, isObserved } = failed;
    const { request, receivedAtMs } = asked;
    const mode = generation?.operations.get(request.op)?.mode;
    const again = (): void => this.#failed(asked, failed);
    if (this.#waitingWrites.takes(asked, { error, scope, mode, repeatable, again })) return;
    const failure = this.#fail(error, request, generation);
    this.#shadows.failed(copy, failure);
    if (isObserved) generation?.counts.took(performance.now() - receivedAtMs);
    if (requestChannel.hasSubscribers) publishEnd(asked, failure);
    const told = repeatable || !scope.hasBegunWrite ? failure : afterBegunWrite(failure);
    const text = failureText(request.id, told, generation?.byJson ?? this.#unservedBy(request.domain));
    // n.b. of a request that came too late the caller may have gone, or have another clock.
    const expiresAtMs = Math.max(scope.expiresAtMs, receivedAtMs);
    // n.b. a read that was not answered is no loss.
    asked.onAnswer({ text, verdict: told.verdict, expiresAtMs, copy, lost: mode === 'read' ? undefined : told });
  }

  /** Answers a request that waited in vain, as the version does that would answer it now. */
  #refuse(asked: Asked, error: BedsError): void {
    const scope = this.#scopeOf(asked);
    const generation = this.#options.registry.choose(asked.request.domain, scope);
    this.#failed(asked, { ...NOBODY, error, scope, generation });
  }

  /** n.b. that nobody serves it now must not hide that a write may have been carried out. */
  #refuseAgain({ isWrite }: Delivery, { id }: RequestEnvelope, isWithheld: boolean): void {
    this.#options.suspects.refuse(id);
    if (isWrite && isWithheld) throw requestErrors.make('BEDS_REQUEST_INDETERMINATE');
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

  #scopeOf(asked: Asked): RequestScope {
    const { request } = asked;
    return new RequestScope({
      requestId: request.id,
      client: request.meta?.client,
      session: request.meta?.session,
      idempotencyKey: request.meta?.idempotencyKey,
      expiresAtMs: expiryOf(asked, this.#options.config.limits),
    });
  }

  /** Counts and reports a failure; gives what the caller is told. */
  #fail(error: unknown, request: RequestEnvelope, generation: ServingGeneration | undefined): BedsError {
    const failure = toReplyError(error);
    this.#failures += 1;
    // A message that never should have come this way says nothing about the version.
    if (failure.code !== 'BEDS_REQUEST_ROUTE_MISMATCH') generation?.counts.failedWith(failure.status);
    if (failure.status === 'fault') reportFault(causeOf(failure) ?? failure, request, generation);
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

  /** A message that could not be decoded has no id: its correlation id stands in. */
  #refusal(delivery: Delivery, error: BedsError, receivedAtMs: number): Answer {
    const id: unknown = delivery.properties.correlationId;
    const text = encodeFailure(typeof id === 'string' ? id : '', error, this.#unservedBy(''));
    const expiresAtMs = receivedAtMs + this.#options.config.limits.defaultDeadlineMs;
    return { text, verdict: error.verdict, expiresAtMs, copy: undefined, lost: error };
  }

  #unservedBy(domain: string): string {
    return encodeServedBy({ node: this.#options.node, domain });
  }
}

/** No version is to be judged by it. */
const NOBODY = { generation: undefined, repeatable: true, copy: undefined, isObserved: false } as const;

function publishEnd({ request, receivedAtMs }: Asked, failure: BedsError | undefined): void {
  const { domain, op: operation } = request;
  const code = failure === undefined ? {} : { code: failure.code };
  publishRequest({ domain, operation, ok: failure === undefined, ...code, ms: performance.now() - receivedAtMs });
}
