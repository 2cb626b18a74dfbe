import { BATCH_IN_PARTS, BedsError, type RequestEnvelope } from '#sdk/template';
import type { Delivery } from '../amqp/queue-consumer.js';
import type { Access } from '../access/access.js';
import { IN_NAME_OF, type ProgramPolicy } from '../access/programs.js';
import type { HandOver } from '../amqp/hand-over.js';
import { parseReplyAddress, type ReplyAddress } from '../amqp/reply-address.js';
import type { ReplyPublisher } from '../amqp/reply-publisher.js';
import type { Config } from '../config/schema.js';
import { requestErrors } from '../errors/request.js';
import { causeOf, isError } from '../errors/thrown.js';
import { publishFault } from '../observe/channels.js';
import type { Span, SpanSink } from '../observe/trace.js';
import { BatchReplies } from './batch-replies.js';
import { DeadLetters, LETTER, type Lost } from './dead-letters.js';
import { type DecodedMessage, decodeMessage } from './decode.js';
import {
  checkSize,
  encodeFailure,
  encodeServedBy,
  encodeSuccess,
  type OperationResult,
  toReplyError,
} from './encode.js';
import { type CallerBook, failureClass, type Observations, type UsageCount } from './observations.js';
import { type Operation, type OperationInput, requireAccess } from './operation.js';
import type { Answer, PendingRequest } from './pending-request.js';
import type { PoisonTracker } from './poison-tracker.js';
import type { RemoteDomains } from './remote-domains.js';
import {
  type Authority,
  expiryOf,
  type LoopGaps,
  marginOf,
  RequestScope,
  thisMoment,
  tooLate,
} from './request-scope.js';
import type { ServingGeneration, Target } from './serving-generation.js';
import { type ShadowCopy, Shadows } from './shadows.js';
import { Tracing } from './spans.js';
import { type ContextHost, type DomainCall, RequestContext } from './template-context.js';
import { type WaitingCount, WaitingWrites } from './waiting-writes.js';
import type { StoreAdapter } from '../stores/contract.js';
import { timerWheel, WheelEntry } from '../stores/deadlines.js';
import { mapStack } from '../template/map-stack.js';
import type { DomainRoute, GenerationRegistry } from '../template/registry.js';

/** Domains may call each other this many times in a row within one request. */
const MAX_CALL_DEPTH = 8;
/** Reply addresses that are kept parsed. */
const MAX_ADDRESSES = 1_000;
/** A reply is worth sending a little after the deadline: it says that the deadline passed. */
const REPLY_GRACE_MS = 1_000;

export interface RequestPathOptions {
  readonly node: string;
  readonly config: Pick<Config, 'limits' | 'amqp' | 'tracing'>;
  /** Where spans wait to be exported; undefined: none is. */
  readonly spans: SpanSink | undefined;
  readonly registry: GenerationRegistry<ServingGeneration>;
  readonly replies: ReplyPublisher;
  readonly handOver: HandOver;
  readonly adapters: ReadonlyMap<string, StoreAdapter>;
  readonly poison: PoisonTracker;
  readonly callers: CallerBook;
  readonly gaps: Pick<LoopGaps, 'readSince'>;
  readonly remote: Pick<RemoteDomains, 'call' | 'roleOf' | 'absent' | 'unbound'>;
  /** Whether this node serves the domain. */
  readonly serves: (domain: string) => boolean;
  /** A write was answered, of a domain that keeps events. */
  readonly wrote: () => void;
  /** Notes whose code is about to run, by the id of its generation. */
  readonly entering: (generation: number) => void;
  readonly access: Access;
  readonly programs: ProgramPolicy;
}

/** What a template is to do. */
interface Work {
  readonly input: OperationInput;
  readonly scope: RequestScope;
  /** How many domains called each other to get here. */
  readonly depth: number;
  /** In whose name. Absent: in that of who asks. */
  readonly authority?: Authority | undefined;
  /** What it is a part of. Absent: it is not traced. */
  readonly span?: Span | undefined;
  /** When the code has really ended, be it after the deadline. */
  readonly onEnded?: () => void;
}

type Withholding = Pick<DomainRoute<ServingGeneration>, 'withheld'>;

/** Who waits for an execution; one of the two is called once. A request costs no promise for this. */
interface Waiter {
  /** `value`: as the template gave it. */
  succeeded(value: unknown): void;
  failed(error: unknown): void;
}

/**
 * From a delivered message to its acknowledgement: receive → decode → route → execute → reply. Every step leaves by an error of
 * the catalogue, whose row says how the message is settled.
 *
 * `#receive` decodes, `#serve` routes one request, an `Execution` runs the template's code, `#succeeded` or `#failed` encodes the
 * answer, `#reply` sends it and settles the message.
 */
export class RequestPath implements ContextHost {
  readonly entering: (generation: number) => void;
  readonly installation: string;
  readonly maxPageRows: number;
  readonly #options: RequestPathOptions;
  readonly #limits: Config['limits'];
  readonly #exchange: string;
  readonly #prefix: string;
  readonly #programs: ProgramPolicy;
  /** Each is parsed once: a caller sends the same one with every request. */
  readonly #addresses = new Map<string, ReplyAddress>();
  readonly #waitingWrites: WaitingWrites;
  readonly #dead: DeadLetters;
  readonly #shadows: Shadows;
  readonly #tracing: Tracing;
  readonly #drainedUsage: UsageCount[] = [];
  /** Messages of queues that nobody consumes. */
  readonly #abandoned = new WeakSet<Delivery>();
  #served = 0;
  #failures = 0;

  constructor(options: RequestPathOptions) {
    this.#options = options;
    const { config, registry, handOver, adapters } = options;
    const { prefix } = config.amqp;
    this.entering = options.entering;
    this.installation = config.amqp.prefix;
    this.maxPageRows = config.limits.maxPageRows;
    this.#limits = config.limits;
    this.#exchange = `${prefix}.request`;
    this.#prefix = prefix;
    this.#programs = options.programs;
    this.#tracing = new Tracing({ node: options.node, config, sink: options.spans });
    this.#dead = new DeadLetters(handOver, `${prefix}.dead`);
    this.#waitingWrites = new WaitingWrites({
      stores: adapters,
      handOver,
      programs: this.#programs,
      exchange: this.#exchange,
      holdMs: config.limits.holdWritesMs,
      run: (pending) => this.#serve(pending),
      refuse: (pending, failure) => this.#refuse(pending, failure),
    });
    this.#shadows = new Shadows({
      run: (target, work) => this.#result(target, work),
      candidateOf: (domain) => registry.route(domain)?.candidate,
      maxReplyBytes: config.limits.maxReplyBytes,
    });
  }

  get counts(): { readonly served: number; readonly failed: number } {
    return { served: this.#served, failed: this.#failures };
  }

  /** What was seen of requests; all but the tallies since the last time. */
  observe(): Observations {
    const generations = this.#options.registry.all;
    return {
      tallies: generations.map(({ id, counts }) => counts.tally(id)),
      callers: this.#options.callers.take(),
      shadows: this.#shadows.take(),
      usage: [...this.#drainedUsage.splice(0), ...generations.flatMap((each) => each.takeUsage())],
    };
  }

  /** The generation has ended: what was not taken of it is taken with the rest. */
  drained(generation: ServingGeneration): void {
    this.#drainedUsage.push(...generation.takeUsage());
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
  readonly handle = (delivery: Delivery): void => {
    try {
      this.#receive(delivery);
    } catch (error) {
      rejectAfterFault(delivery, error);
    }
  };

  /** The same for what lies in a queue that nobody consumes any more: it is answered that the role of its domain is absent. */
  readonly refuse = (delivery: Delivery): void => {
    this.#abandoned.add(delivery);
    this.handle(delivery);
  };

  #receive(delivery: Delivery): void {
    const { properties } = delivery;
    if (properties.headers?.[IN_NAME_OF] !== undefined) properties.userId = this.#programs.accountBehind(properties);
    const address = this.#addressOf(delivery);
    if (address === 'refused') return;
    let message: DecodedMessage;
    try {
      message = decodeMessage(delivery.body, delivery.properties, this.#limits);
    } catch (error) {
      this.#reply(delivery, address, this.#refusal(delivery, toReplyError(error)));
      return;
    }
    const [first] = message.requests;
    const readSinceMs = this.#options.gaps.readSince(delivery.receivedAtMs);
    if (message.isBatch || first === undefined) {
      this.#receiveBatch(message.requests, { delivery, address, readSinceMs });
      return;
    }
    const onAnswer = (answer: Answer): void => {
      this.#reply(delivery, address, answer);
      if (answer.copy !== undefined) this.#shadows.launch(answer.copy);
    };
    this.#serve({
      request: first,
      delivery,
      receivedAtMs: delivery.receivedAtMs,
      readSinceMs,
      readAt: undefined,
      onAnswer,
      isOfBatch: false,
      waited: undefined,
      user: undefined,
    });
  }

  /** Where the answer goes. A message with an address that is refused is settled. */
  #addressOf(delivery: Delivery): ReplyAddress | 'refused' | undefined {
    const replyTo: unknown = delivery.properties.replyTo;
    if (typeof replyTo !== 'string' || replyTo === '') return undefined;
    const known = this.#addresses.get(replyTo);
    if (known !== undefined) return known;
    const address = parseReplyAddress(replyTo, this.#prefix, this.#options.config.amqp.replyPrefixes);
    if (address !== undefined) {
      if (this.#addresses.size >= MAX_ADDRESSES) this.#addresses.clear();
      this.#addresses.set(replyTo, address);
      return address;
    }
    const error = requestErrors.make('BEDS_REQUEST_REPLY_TO');
    publishFault({ where: 'reply address', error });
    this.#dead.bury(delivery, error);
    return 'refused';
  }

  #receiveBatch(requests: readonly RequestEnvelope[], { delivery, address, readSinceMs }: Received): void {
    // Looked at once for all of them.
    const readAt = thisMoment();
    const wantsParts = delivery.properties.type === BATCH_IN_PARTS;
    const lost: Lost[] = [];
    const replies = new BatchReplies({
      count: requests.length,
      holdMs: wantsParts ? this.#limits.batchHoldMs : undefined,
      tooLarge: (place) => {
        const words = 'The answers to this message are larger than one message of RabbitMQ may be.';
        const error = requestErrors.make('BEDS_REQUEST_RESULT_TOO_LARGE', words);
        return encodeFailure(requests[place]?.id ?? '', error, this.#unservedBy(requests[place]?.domain ?? ''));
      },
      send: ({ text, expiresAtMs, copies }, onSent) => {
        if (address === undefined) onSent();
        else this.#send(delivery, { address, text, expiresAtMs, onSent });
        for (const copy of copies) this.#shadows.launch(copy);
      },
      onSettled: (verdict) => {
        if (lost.length > 0 && verdict !== 'requeue') this.#dead.buryParts(delivery, lost);
        else delivery.settle(verdict);
      },
    });
    const serveAll = (): void => {
      requests.forEach((request, place) => {
        const onAnswer = (answer: Answer): void => {
          if (answer.lost !== undefined && address === undefined) lost.push({ request, failure: answer.lost });
          replies.add(place, answer);
        };
        const { receivedAtMs } = delivery;
        const [waited, user] = [undefined, undefined];
        this.#serve({ request, delivery, receivedAtMs, readSinceMs, readAt, onAnswer, isOfBatch: true, waited, user });
      });
    };
    // n.b. messages that were read together get a turn each, so that the first is answered before the last is begun.
    setImmediate(() => {
      try {
        serveAll();
      } catch (error) {
        rejectAfterFault(delivery, error);
      }
    });
  }

  /** Carries out one request, or lets it wait for its store; never throws. */
  #serve(pending: PendingRequest): void {
    const { request, delivery } = pending;
    const refusal = this.#refusalOf(request, delivery);
    const span = this.#spanOf(pending);
    const attempt = new Attempt(pending, this.#limits, this.#ends);
    attempt.span = span;
    const { scope } = attempt;
    // n.b. of one that was delivered before it is not certain that nothing was done.
    if (scope.expiresAtMs <= pending.receivedAtMs && !delivery.redelivered) {
      attempt.failed(tooLate());
      return;
    }
    if (scope.token !== undefined && !this.#identify(attempt, scope.token)) return;
    const route = this.#options.registry.route(request.domain);
    const hasCandidate = route?.candidate !== undefined;
    attempt.generation = route?.choose(scope);
    attempt.isObserved = hasCandidate;
    try {
      if (refusal !== undefined) throw refusal;
      if (delivery.redelivered) this.#refusePoison(delivery, request, route);
      const { generation } = attempt;
      const operation = generation?.operations.get(request.op);
      if (generation === undefined || operation === undefined) {
        this.#refuseUnserved(attempt, route);
        return;
      }
      const target: Target = { generation, operation };
      if (pending.waited === undefined) operation.callers.count(scope.client);
      refuseByMode(operation, request, delivery);
      if (operation.access !== undefined) this.#requireAccess(operation, attempt);
      if (operation.mode === 'write' && this.#waitingWrites.holds(pending, scope)) return;
      if (hasCandidate) this.#drawCopy(attempt, route, target);
      attempt.operation = operation;
      attempt.isRepeatable = operation.repeatable;
      const work: Work = { input: request, scope, depth: 0, span: attempt.span };
      this.#begin(target, work, attempt);
    } catch (error) {
      attempt.failed(error);
    }
  }

  /** Undefined: the request is not traced. */
  #spanOf(pending: PendingRequest): Span | undefined {
    return this.#tracing.isOn || pending.request.meta?.trace === true ? this.#tracing.begin(pending) : undefined;
  }

  #requireAccess(operation: Operation, { pending, scope }: Attempt): void {
    const { properties } = pending.delivery;
    // n.b. a host sends again what an operator found among the dead letters: it does not ask that itself.
    scope.isHost = this.#programs.isHost(properties.userId) && properties.headers?.[LETTER] === undefined;
    requireAccess(operation, pending.request, scope);
  }

  /** n.b. what was delivered before may have ended a thread. */
  #drawCopy(attempt: Attempt, route: DomainRoute<ServingGeneration>, target: Target): void {
    const { pending, scope } = attempt;
    if (pending.delivery.redelivered) return;
    const timeMs = scope.expiresAtMs - pending.receivedAtMs;
    attempt.copy = this.#shadows.draw(route, target, { request: pending.request, timeMs, user: scope.user });
  }

  /** Whether it is known whose session that is. Where it has to be asked, the request goes on once that is said. */
  #identify(attempt: Attempt, token: string): boolean {
    const { pending, scope } = attempt;
    const { access } = this.#options;
    const user = pending.user ?? access.known(token, pending.receivedAtMs);
    if (user === undefined) {
      // n.b. whoever is told in time that nobody can say who he is need not wonder whether anything was done.
      const leftMs = scope.remainingMs;
      access.ask(token, leftMs - marginOf(leftMs)).then(
        (asked) => {
          if (asked === undefined) this.#refuseNobody(attempt, token);
          else this.#serve({ ...pending, user: asked });
        },
        (error: unknown) => this.#unidentified(attempt, error),
      );
      return false;
    }
    if (user === null) this.#refuseNobody(attempt, token);
    else scope.user = user;
    return user !== null;
  }

  /** n.b. who ended his own session and asks once more is nobody by now, and is answered as the first time. */
  #refuseNobody(attempt: Attempt, token: string): void {
    const { request, delivery } = attempt.pending;
    const generation = this.#options.registry.route(request.domain)?.choose(attempt.scope);
    const operation = generation?.operations.get(request.op);
    const asking = operation === undefined ? undefined : this.#options.access.asksForEndAgain(token, request);
    if (asking === undefined) {
      attempt.failed(notIdentified(delivery));
      return;
    }
    void asking.then((isAgain) => {
      attempt.generation = generation;
      attempt.operation = operation;
      if (isAgain) attempt.succeeded({});
      else attempt.failed(notIdentified(delivery));
    });
  }

  /** n.b. where the role of its domain is absent as well, that is what its caller has to know. */
  #unidentified(attempt: Attempt, error: unknown): void {
    const { delivery } = attempt.pending;
    if (this.#abandoned.has(delivery)) this.#refuseUnserved(attempt, undefined);
    else attempt.failed(notIdentified(delivery, error));
  }

  /**
   * RabbitMQ checked the caller's right to the routing key (topic permissions): the envelope must ask for what that says, and the
   * message must have come through the request exchange and not straight into the queue. Its program must be one that may ask that.
   */
  #refusalOf(request: RequestEnvelope, { exchange, routingKey, properties }: Delivery): BedsError | undefined {
    if (exchange !== this.#exchange || routingKey !== `${request.domain}.${request.op}`) {
      return requestErrors.make('BEDS_REQUEST_ROUTE_MISMATCH');
    }
    // n.b. only hosts can tell that a template of theirs asks in its own name.
    if (request.meta?.asDomain !== undefined && !this.#programs.isHost(properties.userId)) {
      return requestErrors.make('BEDS_REQUEST_FORBIDDEN');
    }
    if (!this.#programs.isAsked || this.#programs.mayAsk(properties.userId, request)) return undefined;
    return requestErrors.make('BEDS_REQUEST_FORBIDDEN');
  }

  /** n.b. that nobody serves it now must not hide that a write may have been carried out. */
  #refusePoison({ isWrite }: Delivery, { id }: RequestEnvelope, route: Withholding | undefined): void {
    this.#options.poison.refuse(id);
    if (isWrite && route?.withheld === true) throw requestErrors.make('BEDS_REQUEST_INDETERMINATE');
  }

  #begin(target: Target, work: Work, attempt: Attempt): void {
    if (attempt.pending.delivery.redelivered) this.#tryAgain(target, work, attempt);
    else this.#execute(target, work, attempt);
  }

  /** What was delivered before may have ended its thread: it runs when nothing like it does. */
  #tryAgain(target: Target, work: Work, attempt: Attempt): void {
    const { delivery, isOfBatch } = attempt.pending;
    const suspect = {
      id: work.scope.requestId,
      generation: target.generation.id,
      // The message of a batch is open for as long as the others of it have not run.
      isOpen: () => !isOfBatch && delivery.isLive,
    };
    this.#options.poison
      .run(suspect, () => this.#run(target, work))
      .then(
        (value) => attempt.succeeded(value),
        (error: unknown) => attempt.failed(error),
      );
  }

  /** Throws, with nothing begun, where the deadline has passed. */
  #execute(target: Target, work: Work, waiter: Waiter): void {
    new Execution(target, work, waiter).start(this);
  }

  /** As `#execute`, for who waits with a promise. */
  #run(target: Target, work: Work): Promise<unknown> {
    work.scope.requireTime();
    return new Promise((succeeded, failed) => {
      this.#execute(target, work, { succeeded, failed });
    });
  }

  #result(target: Target, work: Work): Promise<OperationResult> {
    requireAccess(target.operation, work.input, work.authority ?? work.scope);
    return this.#run(target, work).then((value) => target.operation.resultOf(value));
  }

  /** Runs an operation for template code of another domain: in this thread, or on a node that serves the domain. */
  async invoke(call: DomainCall): Promise<OperationResult> {
    if (call.scope.depth + call.depth > MAX_CALL_DEPTH) throw requestErrors.make('BEDS_REQUEST_CALL_DEPTH');
    const route = this.#options.registry.route(call.domain);
    const generation = route?.choose(call.scope);
    if (generation === undefined && !this.#options.serves(call.domain)) return this.#options.remote.call(call);
    const operation = generation?.operations.get(call.op);
    if (generation === undefined || operation === undefined) throw unserved(route, generation);
    const target: Target = { generation, operation };
    if (call.mode === 'read' && operation.mode === 'write') throw requestErrors.make('BEDS_REQUEST_READ_ONLY');
    call.span?.set('beds.version', generation.version);
    const running = this.#result(target, call);
    if (route?.candidate === undefined || call.scope.isCopy) return running;
    return countCalled(target, running);
  }

  readonly #ends: AttemptEnds = {
    succeeded: (attempt, value) => this.#succeeded(attempt, value),
    failed: (attempt, error) => this.#failed(attempt, error),
  };

  #succeeded(attempt: Attempt, value: unknown): void {
    const { pending, scope, generation, operation, copy } = attempt;
    let text: string;
    try {
      if (operation === undefined) throw requestErrors.make('BEDS_REQUEST_UNKNOWN_OPERATION');
      const result = operation.resultOf(value);
      text = encodeSuccess(pending.request.id, result, operation.byJson);
      checkSize(text, this.#limits.maxReplyBytes);
      if (attempt.span !== undefined) text = this.#traced(attempt, text);
      if (copy !== undefined) this.#shadows.answered(copy, result);
    } catch (error) {
      this.#failed(attempt, error);
      return;
    }
    this.#served += 1;
    const ms = performance.now() - pending.receivedAtMs;
    generation?.counts.succeeded(operation.usage, ms);
    if (attempt.isObserved) generation?.counts.took(ms);
    pending.onAnswer({ text, verdict: 'ack', expiresAtMs: scope.expiresAtMs, copy, lost: undefined });
    if (operation.mode === 'write' && generation?.operations.has('outbox') === true) this.#options.wrote();
  }

  /** Counts, reports and answers a failure. */
  #failed(attempt: Attempt, error: unknown): void {
    const { pending, scope, generation, isRepeatable, copy } = attempt;
    const { request, receivedAtMs } = pending;
    const operation = generation?.operations.get(request.op);
    const mode = operation?.mode;
    const again = (): void => this.#failed(attempt, error);
    if (this.#waitingWrites.takes(pending, { error, scope, mode, repeatable: isRepeatable, again })) {
      attempt.span?.end(error);
      return;
    }
    const failure = this.#countFailure(error, attempt);
    if (copy !== undefined) this.#shadows.failed(copy, failure);
    if (attempt.isObserved) generation?.counts.took(performance.now() - receivedAtMs);
    const told = isRepeatable || !scope.hasBegunWrite ? failure : afterBegunWrite(failure);
    const byJson = operation?.byJson ?? generation?.byJson ?? this.#unservedBy(request.domain);
    const text = this.#traced(
      attempt,
      failureText(request.id, told, { byJson, maxBytes: this.#limits.maxReplyBytes }),
      told,
    );
    // n.b. of a request that came too late the caller may have gone, or have another clock.
    const expiresAtMs = Math.max(scope.expiresAtMs, receivedAtMs);
    // n.b. a template may throw an error with any verdict; what is answered is not delivered again.
    const verdict = told.verdict === 'reject' ? 'reject' : 'ack';
    // n.b. a read that was not answered is no loss.
    pending.onAnswer({ text, verdict, expiresAtMs, copy, lost: mode === 'read' ? undefined : told });
  }

  /** Ends the span of a request, where it has one. Gives the text of its reply. */
  #traced({ span, scope, generation, pending }: Attempt, text: string, failure?: BedsError): string {
    if (span === undefined) return text;
    span.set('beds.version', generation?.version);
    span.set('beds.generation', generation?.id);
    span.end(failure);
    const isHost = this.#programs.isHost(pending.delivery.properties.userId);
    return this.#tracing.addTo(text, span, { user: scope.user, isHost, maxBytes: this.#limits.maxReplyBytes });
  }

  /** Answers a request that waited in vain, as the version does that would answer it now. */
  #refuse(pending: PendingRequest, error: BedsError): void {
    const attempt = new Attempt(pending, this.#limits, this.#ends);
    attempt.generation = this.#options.registry.choose(pending.request.domain, attempt.scope);
    attempt.failed(error);
  }

  /** Returns the error for the caller. */
  #countFailure(error: unknown, attempt: Attempt): BedsError {
    const { pending, generation } = attempt;
    const { request, receivedAtMs } = pending;
    const failure = toReplyError(error);
    const usage = generation?.operations.get(request.op)?.usage;
    this.#failures += 1;
    // A message that never should have come this way says nothing about the version.
    if (failure.code !== 'BEDS_REQUEST_ROUTE_MISMATCH')
      generation?.counts.failedWith(failureClass(failure), usage, performance.now() - receivedAtMs);
    if (failure.status === 'fault') reportFault(causeOf(failure) ?? failure, attempt);
    return failure;
  }

  /** A message that could not be decoded has no id: its correlation id stands in. */
  #refusal({ properties, receivedAtMs }: Delivery, error: BedsError): Answer {
    const id: unknown = properties.correlationId;
    const text = encodeFailure(typeof id === 'string' ? id : '', error, this.#unservedBy(''));
    const expiresAtMs = receivedAtMs + this.#limits.defaultDeadlineMs;
    return { text, verdict: error.verdict, expiresAtMs, copy: undefined, lost: error };
  }

  /**
   * Of a domain of another role: it lies in a queue that nobody consumes, or RabbitMQ had no binding for it, because the domain lacks
   * the operation or nobody serves it.
   */
  #refuseUnserved(attempt: Attempt, route: DomainRoute<ServingGeneration> | undefined): void {
    const { remote, serves } = this.#options;
    const { request, delivery } = attempt.pending;
    const { domain } = request;
    if (route !== undefined || serves(domain) || remote.roleOf(domain) === undefined) {
      attempt.failed(unserved(route, attempt.generation));
    } else if (this.#abandoned.has(delivery)) {
      // n.b. the node that is gone may have begun with it.
      const isInDoubt = delivery.redelivered && delivery.isWrite;
      attempt.failed(isInDoubt ? requestErrors.make('BEDS_REQUEST_INDETERMINATE') : remote.absent(domain));
    } else {
      void remote.unbound(domain).then((error) => attempt.failed(error));
    }
  }

  #unservedBy(domain: string): string {
    return encodeServedBy({ node: this.#options.node, domain });
  }

  /**
   * Tells the caller, or, where nobody is to be told, keeps what was not carried out as a dead letter. The message is settled when
   * RabbitMQ has taken responsibility for the reply.
   */
  #reply(delivery: Delivery, address: ReplyAddress | undefined, { text, verdict, expiresAtMs, lost }: Answer): void {
    if (text !== undefined && address !== undefined) {
      this.#send(delivery, { address, text, expiresAtMs, onSent: () => delivery.settle(verdict) });
    } else if (lost === undefined) delivery.settle(verdict);
    else this.#dead.bury(delivery, lost);
  }

  #send(delivery: Delivery, { address, text, expiresAtMs, onSent }: Outgoing): void {
    const correlationId: unknown = delivery.properties.correlationId;
    this.#options.replies.publish(
      {
        address,
        correlationId: typeof correlationId === 'string' ? correlationId : undefined,
        body: Buffer.from(text),
        expiresAtMs: expiresAtMs + REPLY_GRACE_MS,
        flushNow: delivery.flushNow,
        onHeldUp: onSent,
      },
      onSent,
    );
  }
}

/** A message that was decoded. */
interface Received {
  readonly delivery: Delivery;
  readonly address: ReplyAddress | undefined;
  readonly readSinceMs: number;
}

interface Outgoing {
  readonly address: ReplyAddress;
  readonly text: string;
  /** In terms of performance.now(). */
  readonly expiresAtMs: number;
  /** RabbitMQ has taken responsibility for the reply, or nobody takes it, or it waits with replies to addresses that may be made up. */
  readonly onSent: () => void;
}

interface AttemptEnds {
  readonly succeeded: (attempt: Attempt, value: unknown) => void;
  readonly failed: (attempt: Attempt, error: unknown) => void;
}

/** One attempt to carry out a request: a write that waited for its store gets another one. */
class Attempt implements Waiter {
  readonly pending: PendingRequest;
  readonly scope: RequestScope;
  /** What answers, once that is known. */
  generation: ServingGeneration | undefined;
  operation: Operation | undefined;
  /** Whether it may be run twice. */
  isRepeatable = true;
  copy: ShadowCopy | undefined;
  /** Undefined: it is not traced. */
  span: Span | undefined;
  /** Whether its domain has a candidate. */
  isObserved = false;
  readonly #ends: AttemptEnds;

  constructor(pending: PendingRequest, limits: Config['limits'], ends: AttemptEnds) {
    const { meta, id } = pending.request;
    this.pending = pending;
    this.#ends = ends;
    this.scope = new RequestScope(id, expiryOf(pending, limits), meta);
  }

  succeeded(value: unknown): void {
    this.#ends.succeeded(this, value);
  }

  failed(error: unknown): void {
    this.#ends.failed(this, error);
  }
}

/**
 * Code of a template that runs: it has a lease on its generation until it has really ended, and whoever waits for it is told
 * at the deadline at the latest.
 */
class Execution extends WheelEntry {
  readonly #target: Target;
  readonly #work: Work;
  readonly #waiter: Waiter;

  constructor(target: Target, work: Work, waiter: Waiter) {
    super();
    this.#target = target;
    this.#work = work;
    this.#waiter = waiter;
  }

  /** Throws, with nothing begun, where the deadline has passed. */
  start(host: ContextHost): void {
    const { generation, operation } = this.#target;
    const { input, scope, depth, authority, span } = this.#work;
    if (scope.isExpired || performance.now() >= scope.expiresAtMs) {
      throw requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED');
    }
    timerWheel.add(scope.expiresAtMs, this);
    generation.lease();
    host.entering(generation.id);
    let running: Promise<unknown>;
    try {
      // n.b. of what a template gives that is not a promise one is made; a promise stays the one it is.
      running = Promise.resolve(
        operation.run(input, new RequestContext({ host, generation, operation, scope, depth, authority, span })),
      );
    } catch (error) {
      running = Promise.reject(isError(error) ? error : toReplyError(error));
    }
    running.then(
      (value) => {
        if (this.#ended()) this.#waiter.succeeded(value);
      },
      (error: unknown) => {
        if (this.#ended()) this.#failed(error);
      },
    );
  }

  #failed(error: unknown): void {
    this.#waiter.failed(isError(error) ? error : toReplyError(error));
  }

  override expire(): void {
    const { scope } = this.#work;
    scope.expire();
    this.#waiter.failed(requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED'));
  }

  /** Whether somebody still waits. */
  #ended(): boolean {
    const { generation } = this.#target;
    const { scope, depth, onEnded } = this.#work;
    const isInTime = timerWheel.remove(this);
    generation.release();
    // n.b. domains that a request calls share its scope, and what they got may have been handed on.
    if (depth === 0) scope.done();
    onEnded?.();
    return isInTime;
  }
}

/** Whatever goes wrong in the host itself costs one message, not the thread. */
function rejectAfterFault(delivery: Delivery, error: unknown): void {
  publishFault({ where: 'request path', error });
  delivery.settle('reject');
}

/** n.b. whoever signs in again asks again: of a write that was delivered before that may be the second time. */
function notIdentified({ redelivered, isWrite }: Delivery, error?: unknown): unknown {
  if (redelivered && isWrite) return requestErrors.make('BEDS_REQUEST_INDETERMINATE');
  return error ?? requestErrors.make('BEDS_REQUEST_SIGN_IN');
}

/** What the generation that the route chose lacks, the other side does not answer for it. */
function unserved(
  route: DomainRoute<ServingGeneration> | undefined,
  generation: ServingGeneration | undefined,
): BedsError {
  if (generation !== undefined) return requestErrors.make('BEDS_REQUEST_UNKNOWN_OPERATION');
  return requestErrors.make(route?.withheld === true ? 'BEDS_REQUEST_WITHHELD' : 'BEDS_REQUEST_UNKNOWN_DOMAIN');
}

/** What the operation writes may not be done, or not again. */
function refuseByMode({ mode, repeatable }: Operation, { meta }: RequestEnvelope, { redelivered }: Delivery): void {
  if (meta?.readOnly === true && mode === 'write') throw requestErrors.make('BEDS_REQUEST_READ_ONLY');
  if (redelivered && !repeatable) throw requestErrors.make('BEDS_REQUEST_INDETERMINATE');
}

/** A canary that only other domains call must be judged by something. */
async function countCalled({ generation }: Target, running: Promise<OperationResult>): Promise<OperationResult> {
  try {
    const result = await running;
    generation.counts.succeeded();
    return result;
  } catch (error) {
    generation.counts.failedWith(failureClass(toReplyError(error)));
    throw error;
  }
}

/** The error for a write that failed after some of it may have been saved. */
function afterBegunWrite(failure: BedsError): BedsError {
  const { code, status, message, verdict, field } = failure;
  if (code === 'BEDS_REQUEST_DEADLINE_EXCEEDED') {
    return requestErrors.make(
      'BEDS_REQUEST_INDETERMINATE',
      'The deadline passed after the write had begun; it may have been carried out.',
    );
  }
  if (!failure.retryable) return failure;
  const action = 'A part of the request may have been carried out before it failed: read before you repeat it.';
  return new BedsError(code, { message, status, verdict, action }, field === undefined ? {} : { field });
}

/** n.b. what a template throws as an error of BEDS may carry what JSON cannot write, or no reply holds, and somebody waits for an answer. */
function failureText(
  id: string,
  failure: BedsError,
  { byJson, maxBytes }: { readonly byJson: string; readonly maxBytes: number },
): string {
  try {
    const text = encodeFailure(id, failure, byJson);
    checkSize(text, maxBytes);
    return text;
  } catch {
    return encodeFailure(id, requestErrors.make('BEDS_REQUEST_TEMPLATE_FAULT'), byJson);
  }
}

/** Makes known what a request failed with, with the author's line where a version ran. */
function reportFault(error: unknown, { pending: { request }, generation, span }: Attempt): void {
  publishFault({
    where: `${request.domain}.${request.op}`,
    error: generation === undefined ? error : mapStack(error, generation.source),
    domain: request.domain,
    requestId: request.id,
    traceparent: span === undefined ? request.meta?.traceparent : span.traceparent,
    ...(generation === undefined ? {} : { version: generation.version, hash: generation.source.hash }),
  });
}
