import { isDeepStrictEqual } from 'node:util';
import type { BedsError, Json } from '@beds/sdk';
import { DESCRIBE, type RequestEnvelope, type User } from '#sdk/template';
import { publishFault } from '../observe/channels.js';
import { checkSize, encodeData, type OperationResult, toReplyError } from './encode.js';
import type { ShadowReport } from './observations.js';
import type { OperationInput } from './operation.js';
import { RequestScope } from './request-scope.js';
import type { ServingGeneration, Target } from './serving-generation.js';
import { mapStack } from '../template/map-stack.js';
import type { DomainRoute } from '../template/registry.js';
import type { ShadowDifference } from '../admin/shown.js';

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
}

/** A request that is to be copied once the active version has answered it. */
export interface ShadowCopy {
  readonly target: Target;
  readonly request: RequestEnvelope;
  readonly input: OperationInput;
  /** What the request had at most. */
  readonly timeMs: number;
  readonly user: User | undefined;
  active?: Outcome;
}

/** Runs copies of reads on a candidate, where nobody waits for them, and compares what comes out. */
export class Shadows {
  readonly #options: ShadowsOptions;
  readonly #reports = new ShadowReports();
  readonly #copies = new Set<ShadowCopy>();
  readonly #publishedAtMs = new Map<string, number>();

  constructor(options: ShadowsOptions) {
    this.#options = options;
  }

  /** Decides, before the active version begins, whether the request is copied: its code may change what it was given. */
  draw(
    route: DomainRoute<ServingGeneration>,
    chosen: Target,
    { request, timeMs, user }: Pick<ShadowCopy, 'request' | 'timeMs' | 'user'>,
  ): ShadowCopy | undefined {
    const { active, candidate, shadowPercent } = route;
    if (candidate === undefined || chosen.generation !== active || chosen.operation.mode !== 'read') return undefined;
    // Versions describe themselves differently.
    if (request.op === DESCRIBE) return undefined;
    if (Math.random() * 100 >= shadowPercent) return undefined;
    const operation = candidate.operations.get(request.op);
    if (operation?.mode !== 'read') return undefined;
    const { payload, query, key } = request;
    const input = structuredClone({
      ...(payload === undefined ? {} : { payload }),
      ...(query === undefined ? {} : { query }),
      ...(key === undefined ? {} : { key }),
    });
    return { target: { generation: candidate, operation }, request, input, timeMs, user };
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
    const { target, input, request, timeMs, user } = copy;
    const asker = {
      client: request.meta?.client,
      session: request.meta?.session,
      user,
      traceparent: request.meta?.traceparent,
      isCopy: true,
    };
    const scope = new RequestScope(request.id, performance.now() + timeMs, asker);
    const running = this.#options.run(target, { input, scope, depth: 0, onEnded: () => this.#copies.delete(copy) });
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

/** Maximum kinds of differences that are distinguished in one operation. */
const MAX_KINDS = 50;

/** Stands for the kinds beyond the bound. */
const OTHERS = '…';

/** How a version answered: the JSON text of `data` and whether a page follows, or the code of the error. */
export type Outcome = { readonly data: string; readonly hasCursor: boolean } | { readonly code: string };

interface Counted {
  readonly target: Target;
  compared: number;
  skipped: number;
  readonly differences: Map<string, ShadowDifference & { count: number }>;
}

/** What the copies of requests showed, by the operation of the candidate. */
export class ShadowReports {
  #reports = new Map<Target['operation'], Counted>();

  skip(target: Target): void {
    this.#of(target).skipped += 1;
  }

  compare(target: Target, active: Outcome, candidate: Outcome): void {
    const report = this.#of(target);
    report.compared += 1;
    if (isSame(active, candidate)) return;
    const difference = { active: describe(active), candidate: describe(candidate) };
    const known = report.differences.get(keyOf(difference));
    if (known !== undefined) known.count += 1;
    else if (report.differences.size < MAX_KINDS - 1) add(report, difference);
    else add(report, { active: OTHERS, candidate: OTHERS });
  }

  /** What was seen since the last time. */
  take(): readonly ShadowReport[] {
    const reports = [...this.#reports.values()];
    this.#reports = new Map();
    return reports.map(({ target: { generation, operation }, compared, skipped, differences }) => ({
      domain: generation.domain,
      operation: operation.name,
      generation: generation.id,
      compared,
      skipped,
      differences: [...differences.values()],
    }));
  }

  #of(target: Target): Counted {
    let report = this.#reports.get(target.operation);
    if (report === undefined) {
      report = { target, compared: 0, skipped: 0, differences: new Map() };
      this.#reports.set(target.operation, report);
    }
    return report;
  }
}

function add({ differences }: Counted, difference: Omit<ShadowDifference, 'count'>): void {
  const key = keyOf(difference);
  const count = (differences.get(key)?.count ?? 0) + 1;
  differences.set(key, { ...difference, count });
}

function keyOf({ active, candidate }: Omit<ShadowDifference, 'count'>): string {
  return `${active}\n${candidate}`;
}

/** Fields in another order are the same answer. */
function isSame(active: Outcome, candidate: Outcome): boolean {
  if ('code' in active || 'code' in candidate) {
    return 'code' in active && 'code' in candidate && active.code === candidate.code;
  }
  if (active.hasCursor !== candidate.hasCursor) return false;
  return active.data === candidate.data || isDeepStrictEqual(JSON.parse(active.data), JSON.parse(candidate.data));
}

function describe(outcome: Outcome): string {
  if ('code' in outcome) return outcome.code;
  return `${shapeOf(JSON.parse(outcome.data) as Json)}${outcome.hasCursor ? ' + cursor' : ''}`;
}

const MAX_DEPTH = 6;
const MAX_LENGTH = 2_000;
/** Elements of an array that are looked at. */
const MAX_ELEMENTS = 1_000;
/** Fields of an object that are named, and letters of a name. */
const MAX_FIELDS = 100;
const MAX_NAME_LENGTH = 64;

/** What the values at one place have in common: their types, and for each the parts merged. */
interface Shape {
  readonly scalars: Set<string>;
  /** Objects seen here. */
  objects: number;
  readonly fields: Map<string, { readonly shape: Shape; seen: number }>;
  /** Lengths of the arrays seen here. */
  readonly lengths: Set<number>;
  element: Shape | undefined;
}

/**
 * What an answer is made of, without its values: `{id: integer, name: null|string, note?: string}[2]`. Fields are sorted, so
 * equal structures have equal texts. At most 6 levels and 2,000 characters; what is beyond is `…`.
 */
export function shapeOf(value: Json): string {
  const shape = emptyShape();
  merge(shape, value, 1);
  const text = write(shape);
  return text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH - 1)}…`;
}

function emptyShape(): Shape {
  return { scalars: new Set(), objects: 0, fields: new Map(), lengths: new Set(), element: undefined };
}

function merge(shape: Shape, value: Json, depth: number): void {
  if (typeof value !== 'object' || value === null) shape.scalars.add(scalarOf(value));
  else if (depth > MAX_DEPTH) shape.scalars.add('…');
  else if (Array.isArray(value)) mergeArray(shape, value as readonly Json[], depth);
  else mergeObject(shape, Object.entries(value), depth);
}

function scalarOf(value: string | number | boolean | null): string {
  if (value === null) return 'null';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

function mergeArray(shape: Shape, elements: readonly Json[], depth: number): void {
  shape.lengths.add(elements.length);
  for (const element of elements.slice(0, MAX_ELEMENTS)) {
    shape.element ??= emptyShape();
    merge(shape.element, element, depth + 1);
  }
}

function mergeObject(shape: Shape, entries: readonly [string, Json][], depth: number): void {
  shape.objects += 1;
  for (const [name, value] of entries) {
    let field = shape.fields.get(name);
    if (field === undefined) {
      if (shape.fields.size >= MAX_FIELDS) continue;
      shape.fields.set(name, (field = { shape: emptyShape(), seen: 0 }));
    }
    field.seen += 1;
    merge(field.shape, value, depth + 1);
  }
}

function write(shape: Shape): string {
  const kinds = [...shape.scalars].sort();
  if (shape.objects > 0) kinds.push(writeObject(shape));
  if (shape.lengths.size > 0) kinds.push(writeArray(shape));
  return kinds.join('|');
}

function writeObject({ fields, objects }: Shape): string {
  const names = [...fields.keys()].sort();
  const written = names.map((name) => {
    const field = fields.get(name);
    if (field === undefined) return '';
    return `${writeName(name)}${field.seen < objects ? '?' : ''}: ${write(field.shape)}`;
  });
  return `{${[...written, ...(fields.size < MAX_FIELDS ? [] : ['…'])].join(', ')}}`;
}

function writeName(name: string): string {
  const short = name.length <= MAX_NAME_LENGTH ? name : `${name.slice(0, MAX_NAME_LENGTH)}…`;
  return /^[\w$]+$/.test(short) ? short : JSON.stringify(short);
}

function writeArray({ lengths, element }: Shape): string {
  const shortest = Math.min(...lengths);
  const longest = Math.max(...lengths);
  const length = shortest === longest ? String(longest) : `${String(shortest)}-${String(longest)}`;
  const of = element === undefined ? '' : write(element);
  return `${of.includes('|') && !/^\{.*\}$/.test(of) ? `(${of})` : of}[${length}]`;
}
