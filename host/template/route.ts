/** A version under observation beside the one that answers its domain. */
export interface CandidateRoute {
  readonly generation: number;
  /** Percent of the callers whose requests it answers; a caller stays on one side as long as that keeps the share. */
  readonly percent: number;
  /** An integer that tells rollouts apart: in each of them other callers come first. The same for all domains of one. */
  readonly salt: number;
  /** Percent of the reads that it gets a copy of; nobody sees what it answers to those. */
  readonly shadowPercent: number;
}

/**
 * Which loaded generations answer a domain. The supervisor writes it, every broker thread follows it; a generation that no
 * route names any more drains.
 */
export interface Route {
  readonly domain: string;
  /** Absent: nothing answers. */
  readonly active?: number;
  readonly candidate?: CandidateRoute;
  /** Nothing answers because the only version is quarantined; callers are told to come back. */
  readonly withheld?: boolean;
}
