import { requestErrors } from '../errors/request.js';
import { isError } from '../errors/thrown.js';
import { toReplyError } from './encode.js';
import type { OperationResult } from './check-result.js';
import { type Deadlines, Watched } from './deadlines.js';
import type { OperationInput } from './operation.js';
import type { RequestScope } from './request-scope.js';
import type { Target } from './target.js';
import { type ContextHost, RequestContext } from './template-context.js';

/** What is run. */
export interface Run {
  readonly input: OperationInput;
  readonly scope: RequestScope;
  /** How many domains called each other to get here. */
  readonly depth: number;
  /** When the code has really ended, be it after the deadline. */
  readonly onEnded?: () => void;
}

/** Who waits for it; one of the two is called once. A request costs no promise for this. */
export interface Waiting {
  succeeded(result: OperationResult): void;
  failed(error: unknown): void;
}

/**
 * Code of a template that runs: it has a lease on its generation until it has really ended, and whoever waits for it is told
 * at the deadline at the latest.
 */
export class Running extends Watched {
  readonly #target: Target;
  readonly #run: Run;
  readonly #waiting: Waiting;
  readonly #deadlines: Deadlines;

  constructor(target: Target, run: Run, { waiting, deadlines }: { waiting: Waiting; deadlines: Deadlines }) {
    super();
    this.#target = target;
    this.#run = run;
    this.#waiting = waiting;
    this.#deadlines = deadlines;
  }

  /** Throws, with nothing begun, where the deadline has passed. */
  start(host: ContextHost): void {
    const { generation, operation } = this.#target;
    const { scope, depth } = this.#run;
    scope.requireTime();
    this.#deadlines.add(scope.expiresAtMs, this);
    generation.lease();
    host.entering(generation);
    this.#begin(new RequestContext({ host, generation, operation, scope, depth })).then(
      (value) => {
        if (this.#ended()) this.#succeeded(value);
      },
      (error: unknown) => {
        if (this.#ended()) this.#failed(error);
      },
    );
  }

  /** n.b. of what a template gives that is not a promise one is made; a promise stays the one it is. */
  #begin(context: RequestContext): Promise<unknown> {
    try {
      return Promise.resolve(this.#target.operation.run(this.#run.input, context));
    } catch (error) {
      return Promise.reject(isError(error) ? error : toReplyError(error));
    }
  }

  #succeeded(value: unknown): void {
    let result: OperationResult;
    try {
      result = this.#target.operation.resultOf(value);
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#waiting.succeeded(result);
  }

  #failed(error: unknown): void {
    this.#waiting.failed(isError(error) ? error : toReplyError(error));
  }

  override expire(): void {
    const { scope } = this.#run;
    if (!scope.isCopy) this.#target.generation.counts.overran();
    scope.expire();
    this.#waiting.failed(requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED'));
  }

  /** Whether somebody still waits. */
  #ended(): boolean {
    const { generation } = this.#target;
    const isInTime = this.#deadlines.remove(this);
    generation.release();
    if (!isInTime && !this.#run.scope.isCopy) generation.counts.settled();
    // n.b. domains that a request calls share its scope, and what they got may have been handed on.
    if (this.#run.depth === 0) this.#run.scope.done();
    this.#run.onEnded?.();
    return isInTime;
  }
}
