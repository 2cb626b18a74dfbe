import type { Json, JsonObject } from '@beds/sdk';
import type { RolloutOptions } from '../deploy/state.js';
import type { Finding } from '../template/contract.js';
import type { DeadLetterDetail } from './shown.js';

/** The files of one bundle by name, as the command line read them: one `*.mjs`, or `manifest.json` and the files it names. */
export type BundleFiles = ReadonlyMap<string, Buffer>;

/** One domain that a command is about. */
export interface Receipt {
  readonly domain: string;
  readonly version: string;
  /** Names the bytes; what becomes of them is in the history. */
  readonly hash: string;
  /** One sentence for a person. */
  readonly words: string;
  /** Of dead letters: how many. */
  readonly count?: number;
  /** Of `deadLetter`. */
  readonly letter?: DeadLetterDetail;
  /** Of `check`: what the author should know, and keeps nothing from serving. */
  readonly notices?: readonly Finding[];
}

export interface QuarantineView {
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  /** ISO 8601 instant. */
  readonly since: string;
  readonly code: string;
  readonly message: string;
}

/**
 * What an operator may have done. Every call resolves as soon as it is accepted; the rollout that follows is seen in the
 * history. Rejects with a `BEDS_ROLLOUT_*` error that says what to do instead; an error with a member `findings` has them
 * answered to the operator. The receipt of `rollback` names the version that shall serve.
 */
export interface Operations {
  /** Several bundles take over together or not at all. */
  deploy(bundles: readonly BundleFiles[], options: RolloutOptions): Promise<readonly Receipt[]>;
  /** What would come of a deploy, and nothing else: rejects with BEDS_ROLLOUT_CHECK_FAILED, which has everything that is wrong. */
  check(bundles: readonly BundleFiles[]): Promise<readonly Receipt[]>;
  /** Ends a canary; without one, goes to the version named, or to the one that served before. */
  rollback(domain: string, version?: string): Promise<Receipt>;
  /** Lets a canary, or a version that waits because of `pause`, take over now. */
  promote(domain: string): Promise<Receipt>;
  /** A canary keeps its share and no new version takes over until `promote` or `rollback`. */
  pause(domain: string): Promise<Receipt>;
  /** Takes a domain out of service; its file in the plugin directory counts again only when it changes. */
  undeploy(domain: string): Promise<Receipt>;
  /** `name`: a hash or its beginning (at least 6 digits), or a domain for all of its quarantined versions. */
  lift(name: string): Promise<readonly Receipt[]>;
  readonly quarantined: readonly QuarantineView[];
}

/** Asks an operation of a domain in the name of this host. */
export type AskDomain = (question: DomainQuestion, timeoutMs: number) => Promise<Json>;

export interface DomainQuestion {
  readonly domain: string;
  readonly op: string;
  readonly payload: JsonObject;
}
