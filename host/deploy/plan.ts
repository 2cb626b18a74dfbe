import type { Config } from '../config/schema.js';

/** How a version is to take over. */
export interface RolloutPlan {
  /** Percent of the callers that it answers at first; 0: none. */
  readonly canaryPercent: number;
  /** Percent of the reads that it gets a copy of; 0: none. With either of them it is a canary first. */
  readonly shadowPercent: number;
  /** How long it must hold as a canary. */
  readonly forMs: number;
  readonly allowBreaking: boolean;
  /** Stay a canary until an operator promotes it. */
  readonly hold: boolean;
}

/** What an operator asked for; the configuration says the rest. */
export type RolloutOptions = Partial<RolloutPlan>;

export function makePlan(settings: Config['rollout'], options: RolloutOptions = {}): RolloutPlan {
  return {
    canaryPercent: settings.canaryPercent,
    shadowPercent: settings.shadowPercent,
    forMs: settings.canaryForMs,
    allowBreaking: settings.breaking === 'allow',
    hold: false,
    ...options,
  };
}

/**
 * Why a version is on its way:
 * - `drop`: it came into the plugin directory
 * - `deploy`, `rollback`: an operator ordered it
 * - `restore`: the bundle that had taken its place is gone from the plugin directory
 * - `boot`: it served when the host was stopped
 * - `quarantine`: the version that had taken its place is in quarantine
 * - `refresh`: the DBA changed an object that it uses
 */
export type Cause = 'drop' | 'deploy' | 'rollback' | 'restore' | 'boot' | 'quarantine' | 'refresh';
