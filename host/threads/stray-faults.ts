import type { ErrorStatus } from '@beds/sdk';
import { threadErrors } from '../errors/thread.js';
import { isError, textOf, wordsFor } from '../errors/thrown.js';
import { publishFault, publishTemplateLog } from '../observe/channels.js';
import { toReplyError } from '../request/encode.js';
import { IN_DOUBT } from '../request/observations.js';
import { handedTo, type ServingGeneration } from '../request/serving-generation.js';
import { generationFile } from '../template/compile.js';
import { framesOf, mapStack } from '../template/map-stack.js';

export interface StrayFaultsOptions {
  /** Everything whose code may still run. */
  readonly generations: () => readonly ServingGeneration[];
  /** The generation whose code was entered last. */
  readonly lastEntered: () => number;
}

const FILE = /beds:\/\/[^\s()]+?\/index\.js/g;
/** A frame of Node, or of the language. Whoever called it may be gone: a callback, a stream and a promise have no other frames. */
const OF_NODE = /^\s+at (?:async )?(?:node:|[^(]*\((?:node:|<anonymous>|native|index \d+\)))/;
/** What calls the functions that a template gave to a timer, in template-timers.ts. */
const OF_TIMERS = /^\s+at (?:\w+\.)?templateTimer\b/;
/** What the network does to a driver; templates have none. */
const OF_SYSTEM = /^(?:E(?!RR_)|ERR_(?:SOCKET|TLS|SSL)_)/;
/** What Node rejects with where a signal ends a wait: the error is made in no file of ours or of theirs. */
const OF_SIGNALS: ReadonlySet<string> = new Set(['AbortError', 'TimeoutError']);

/** Faults that no request ended with: promises that were rejected and that nobody handled, and what else ran beside requests. */
export class StrayFaults {
  readonly #options: StrayFaultsOptions;

  constructor(options: StrayFaultsOptions) {
    this.#options = options;
  }

  /** Counts a fault against the version whose code left it behind, and makes it known, with the author's line. */
  report(where: string, error: unknown): void {
    const generation = this.#culprit(error);
    if (generation === undefined) {
      publishFault({ where, error });
      return;
    }
    const { domain, version, source } = generation;
    generation.counts.strayed(statusOf(error));
    publishFault({ where, error: mapStack(error, source), domain, version, hash: source.hash });
  }

  /** Node writes what it warns of past the log. Whether it was a template, which has a line of its own then. */
  warn(warning: Error): boolean {
    const generation = this.#culprit(warning);
    if (generation === undefined) return false;
    const { domain, version } = generation;
    const message = `${textOf(warning, 'name') ?? 'Warning'}: ${wordsFor(warning)}`;
    publishTemplateLog({ level: 'warn', domain, version, message, fields: {} });
    return true;
  }

  /** What is left to say of an exception that ends the thread: an error that names the file of whom it is blamed on. */
  describeUncaught(error: unknown): Error {
    if (isError(error) && (framesOf(error).match(FILE) !== null || isOfHost(error))) return error;
    const generation = this.#culprit(error);
    const file = generation === undefined ? '' : ` (${generationFile(generation.source.manifest)})`;
    return threadErrors.make('BEDS_THREAD_UNCAUGHT', `Code threw, and nobody caught it${file}: ${wordsFor(error)}`);
  }

  /**
   * Whom it is blamed on; undefined: the host itself, or somebody who has ended. What was handed to a template is its to
   * handle; else the innermost file of a template in the stack counts. What is no error, or was made by Node alone, was not thrown
   * by the host: whose code was entered last did it.
   */
  #culprit(error: unknown): ServingGeneration | undefined {
    const handed = handedTo(error);
    if (handed !== undefined) return handed;
    const frames = isError(error) ? framesOf(error) : '';
    const known = this.#options.generations();
    const last = this.#options.lastEntered();
    const [file] = frames.match(FILE) ?? [];
    if (file !== undefined) {
      const named = known.filter(({ source }) => generationFile(source.manifest) === file);
      // Two versions may have the same number.
      return named.find(({ id }) => id === last) ?? named[0];
    }
    return isOfHost(error) ? undefined : known.find(({ id }) => id === last);
  }
}

/** Whether no template comes into question. */
function isOfHost(error: unknown): boolean {
  const frames = isError(error) ? framesOf(error) : '';
  if (frames === '' || OF_SIGNALS.has(textOf(error, 'name') ?? '')) return false;
  if (OF_SYSTEM.test(textOf(error, 'code') ?? '')) return true;
  return frames.split('\n').some((frame) => !OF_NODE.test(frame) && !OF_TIMERS.test(frame));
}

/** n.b. what a promise was rejected with is not what a caller was told: that nobody handled it is the fault. */
function statusOf(error: unknown): ErrorStatus {
  const { status } = toReplyError(error);
  return IN_DOUBT.has(status) ? status : 'fault';
}
