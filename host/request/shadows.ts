import type { BedsError, RequestEnvelope } from '@beds/sdk';
import { encodeData, toReplyError } from './encode.js';
import { mapStack } from '../template/map-stack.js';
import type { DomainRoute } from '../template/registry.js';
import { publishFault } from '../observe/channels.js';
import { checkSize, type OperationResult } from './check-result.js';
import type { ShadowReport } from './observations.js';
import type { OperationInput } from './operation.js';
import { RequestScope } from './request-scope.js';
import type { ServingGeneration } from './serving-generation.js';
import { type Outcome, ShadowReports } from './shadow-reports.js';
import type { Target } from './target.js';

/** Copies under way in one thread. */
const MAX_COPIES = 16;

/** The same fault of a shadow is published once in this time. */
const FAULT_INTERVAL_MS = 60_000;

/** Failures of the moment: the other version would not have had them, which says nothing about either. */
const PASSING: ReadonlySet<string> = new Set(['timeout', 'unavailable', 'overloaded']);

export interface ShadowsOptions {
  /** Throws when it cannot begin; calls `onEnded` when the code has really ended, be it after the deadline. */
  readonly run: (
    target: Target,
    call: {
      readonly input: OperationInput;
      readonly scope: RequestScope;
      readonly depth: 0;
      readonly onEnded: () => void;
    },
  ) => Promise<OperationResult>;
  /** The candidate that gets copies now. */
  readonly candidateOf: (domain: string) => ServingGeneration | undefined;
  readonly maxReplyBytes: number;
  /** In [0, 1). Default Math.random. */
  readonly random?: () => number;
}

/** A request that is to be copied once the active version has answered it. */
export interface ShadowCopy {
  readonly target: Target;
  readonly request: RequestEnvelope;
  readonly input: OperationInput;
  /** What the request had at most. */
  readonly timeMs: number;
  active?: Outcome;
}

/** Runs copies of reads on a candidate, where nobody waits for them, and compares what comes out. */
export class Shadows {
  readonly #options: ShadowsOptions;
  readonly #random: () => number;
  readonly #reports = new ShadowReports();
  readonly #copies = new Set<ShadowCopy>();
  readonly #publishedAtMs = new Map<string, number>();

  constructor(options: ShadowsOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
  }

  /** Decides, before the active version begins, whether the request is copied: its code may change what it was given. */
  draw(
    route: DomainRoute<ServingGeneration>,
    chosen: Target,
    { request, timeMs }: { readonly request: RequestEnvelope; readonly timeMs: number },
  ): ShadowCopy | undefined {
    const { active, candidate, shadowPercent } = route;
    if (candidate === undefined || chosen.generation !== active || chosen.operation.mode !== 'read') return undefined;
    if (this.#random() * 100 >= shadowPercent) return undefined;
    const operation = candidate.operations.get(request.op);
    if (operation?.mode !== 'read') return undefined;
    const { payload, query, key } = request;
    const input = structuredClone({
      ...(payload === undefined ? {} : { payload }),
      ...(query === undefined ? {} : { query }),
      ...(key === undefined ? {} : { key }),
    });
    return { target: { generation: candidate, operation }, request, input, timeMs };
  }

  /** Notes what the active version answered to a request that is copied. */
  answered(copy: ShadowCopy | undefined, result: OperationResult): void {
    if (copy !== undefined) copy.active = { data: encodeData(result.data), hasCursor: result.cursor !== undefined };
  }

  failed(copy: ShadowCopy | undefined, error: BedsError): void {
    if (copy !== undefined && !PASSING.has(error.status)) copy.active = { code: error.code };
  }

  /** Runs the copy in a later turn, so that the reply is on its way. */
  launch(copy: ShadowCopy): void {
    const { active } = copy;
    if (active === undefined) return;
    setImmediate(() => {
      if (this.#options.candidateOf(copy.target.generation.domain) !== copy.target.generation) return;
      if (this.#underWay() >= MAX_COPIES) this.#reports.skip(copy.target);
      else void this.#compare(copy, active);
    });
  }

  /** What was seen since the last time. */
  take(): readonly ShadowReport[] {
    return this.#reports.take();
  }

  async #compare(copy: ShadowCopy, active: Outcome): Promise<void> {
    try {
      this.#reports.compare(copy.target, active, await this.#outcome(copy));
    } catch (error) {
      publishFault({ where: 'shadow', error, domain: copy.target.generation.domain });
    }
  }

  async #outcome(copy: ShadowCopy): Promise<Outcome> {
    try {
      const result = await this.#run(copy);
      const data = encodeData(result.data);
      checkSize(data, this.#options.maxReplyBytes);
      return { data, hasCursor: result.cursor !== undefined };
    } catch (error) {
      const failure = toReplyError(error);
      if (failure.status === 'fault') this.#publish(copy, failure);
      return { code: failure.code };
    }
  }

  #run(copy: ShadowCopy): Promise<OperationResult> {
    const { target, input, request, timeMs } = copy;
    const scope = new RequestScope({
      requestId: request.id,
      client: request.meta?.client,
      session: request.meta?.session,
      expiresAtMs: performance.now() + timeMs,
      isCopy: true,
    });
    const running = this.#options.run(target, {
      ...{ input, scope, depth: 0 },
      onEnded: () => this.#copies.delete(copy),
    });
    this.#copies.add(copy);
    return running;
  }

  /** Copies whose code never ends go on with their candidate, and must not keep the next one from its own. */
  #underWay(): number {
    if (this.#copies.size < MAX_COPIES) return this.#copies.size;
    for (const copy of this.#copies) {
      const { generation } = copy.target;
      if (this.#options.candidateOf(generation.domain) !== generation) this.#copies.delete(copy);
    }
    return this.#copies.size;
  }

  #publish({ target: { generation, operation }, request }: ShadowCopy, failure: BedsError): void {
    const { domain, version, source } = generation;
    const nowMs = performance.now();
    for (const [key, atMs] of this.#publishedAtMs) {
      if (nowMs - atMs >= FAULT_INTERVAL_MS) this.#publishedAtMs.delete(key);
    }
    const key = `${source.hash} ${domain}.${operation.name} ${failure.code}`;
    if (this.#publishedAtMs.has(key)) return;
    this.#publishedAtMs.set(key, nowMs);
    const error = mapStack(failure.cause ?? failure, source);
    const where = `shadow of ${domain}.${operation.name}`;
    publishFault({ where, error, domain, version, hash: source.hash, requestId: request.id });
  }
}
