import type { Finding } from '../template/contract.js';
import { addLeftovers, type Leftovers, NO_LEFTOVERS } from '../template/leftovers.js';
import type { LifecycleState } from '../template/lifecycle.js';
import { makeFinding } from '../template/make-finding.js';
import type { RolloutCode } from '../errors/rollout.js';
import { compareVersions } from './compare-versions.js';
import type { Cause, RolloutPlan } from './plan.js';
import { type Dropped, dropped, looked, type Removed, removed, tryNext } from './sources/choose-drop.js';
import {
  domainOf,
  domainsOf,
  type Generation,
  generationOf,
  isHarmed,
  isNamed,
  isQuarantined,
  liveOf,
  type Member,
  NO_STRIKES,
  type Objection,
  type Origin,
  pendingOf,
  placesOf,
  type Retirement,
  type Rollout,
  rolloutOf,
  rolloutsOf,
  type State,
  type Transition,
} from './state.js';
import { banOf, type Remark, type Rules, Step } from './step.js';
import { culpritOf, type ThreadLoss } from './watch/crash-attribution.js';

/** Something that happened. The first group comes from outside, the second is what became of commands. */
export type DeployEvent =
  | { readonly kind: 'boot' }
  | ({ readonly kind: 'dropped' } & Dropped)
  | ({ readonly kind: 'removed' } & Removed)
  /** What lies there cannot become a bundle. */
  | ({ readonly kind: 'malformed' } & Pick<Transition, 'domain' | 'version' | 'hash'> & {
        readonly findings: readonly Finding[];
      })
  /** What was malformed is gone, or is something else now. */
  | { readonly kind: 'withdrawn'; readonly domain: string }
  | { readonly kind: 'looked'; readonly isWhole: boolean }
  | {
      readonly kind: 'deploy';
      readonly versions: readonly Pick<Member, 'domain' | 'version' | 'hash'>[];
      readonly plan: RolloutPlan;
    }
  | { readonly kind: 'restore'; readonly domain: string; readonly hash: string }
  /** An operator or the host ends what is on its way. */
  | { readonly kind: 'end'; readonly rollout: number; readonly finding: Finding; readonly orderedFor?: string }
  | { readonly kind: 'promote' | 'pause' | 'retire'; readonly domain: string }
  /** A hash or its beginning, or a domain. */
  | { readonly kind: 'lift'; readonly name: string }
  | ({ readonly kind: 'thread-lost' } & ThreadLoss)
  | { readonly kind: 'thread-released'; readonly thread: string }
  /** A version goes on leaving faults that no request ended with. */
  | { readonly kind: 'strayed'; readonly generation: number; readonly strays: number; readonly requests: number }
  | { readonly kind: 'schema'; readonly domain: string; readonly hash: string; readonly change: 'refit' }
  | {
      readonly kind: 'schema';
      readonly domain: string;
      readonly change: 'degraded';
      readonly findings: readonly Finding[];
    }
  | CommandResult;

export type CommandResult =
  | {
      readonly kind: 'progress';
      readonly rollout: number;
      readonly hash: string;
      readonly state: Extract<LifecycleState, 'received' | 'verified' | 'probed'>;
    }
  /** The stage has no sound copy of it. */
  | { readonly kind: 'missing'; readonly rollout: number; readonly hash: string }
  | {
      readonly kind: 'waits' | 'refused' | 'admitted';
      readonly rollout: number;
      readonly hash: string;
      readonly findings: readonly Finding[];
    }
  /** The threads begin to load it: from now on its code may end one of them. */
  | { readonly kind: 'loading' | 'prepared'; readonly rollout: number }
  | { readonly kind: 'rabbit-away' | 'failed'; readonly rollout: number; readonly finding: Finding }
  | { readonly kind: 'trial-routed'; readonly rollout: number; readonly percent: number }
  | { readonly kind: 'trial-begun'; readonly rollout: number }
  | { readonly kind: 'verdict'; readonly rollout: number; readonly objections: readonly Objection[] }
  | { readonly kind: 'candidates-out'; readonly generations: readonly number[]; readonly threads: ThreadNames }
  | { readonly kind: 'candidates-gone'; readonly rollout: number }
  | { readonly kind: 'discarded'; readonly generation: number }
  /** The routes are about to change; the last moment at which it may be unwanted. */
  | { readonly kind: 'flip'; readonly rollout: number; readonly threads: ThreadNames }
  | {
      readonly kind: 'flipped';
      readonly rollout: number;
      readonly flipMs: number;
      /** What shadowing found, by generation. */
      readonly findings: Readonly<Record<number, readonly Finding[]>>;
    }
  | { readonly kind: 'held'; readonly domain: string; readonly generation: number }
  /** `hash`: a version that names the operations; without it none is known. */
  | { readonly kind: 'withhold'; readonly domain: string; readonly hash?: string; readonly threads: readonly string[] }
  | {
      readonly kind: 'out-of-service';
      readonly domain: string;
      readonly why: Finding;
      readonly threads: readonly string[];
    }
  | { readonly kind: 'retirement-done'; readonly retirement: number }
  | { readonly kind: 'staged'; readonly hash: string }
  | { readonly kind: 'drained'; readonly generation: number; readonly thread: string; readonly left: Leftovers };

/** Names of the threads that have a generation of a domain, by domain. */
export type ThreadNames = Readonly<Record<string, readonly string[]>>;

/**
 * Something to be done. Commands follow from the state: one is wanted as long as the state says so, is aborted when it no
 * longer does, and may be begun again, with the same effect, by a host that was killed meanwhile.
 */
export type Command = {
  readonly key: string;
  readonly owner: number | undefined;
  readonly places: readonly string[];
} & (
  | { readonly kind: 'admit'; readonly rollout: Rollout; readonly member: Member }
  | { readonly kind: 'prepare' | 'trial' | 'activate'; readonly rollout: Rollout }
  | { readonly kind: 'withdraw'; readonly generations: readonly Generation[] }
  | { readonly kind: 'discard'; readonly generation: Generation }
  | { readonly kind: 'hold'; readonly generation: Generation }
  | { readonly kind: 'withhold'; readonly domain: string }
  | { readonly kind: 'retire'; readonly retirement: Retirement }
  | { readonly kind: 'stage'; readonly hash: string }
);

export interface Reconciled {
  readonly state: State;
  readonly transitions: readonly Transition[];
  readonly remarks: readonly Remark[];
}

/** An operator, or the host itself, knows what it does: these go back to what was served before. */
const UNGATED: ReadonlySet<Cause> = new Set(['rollback', 'restore', 'boot', 'quarantine', 'refresh']);
const PAUSABLE: ReadonlySet<Cause> = new Set(['drop', 'deploy', 'restore']);
/** They bring back what was decided before; what lies in the plugin directory besides is still to be decided. */
const REPEATED: ReadonlySet<Cause> = new Set(['boot', 'refresh', 'quarantine']);
/** These go back on purpose, or bring back what was decided before: nobody is told that they are lower. */
const UNREMARKED: ReadonlySet<Cause> = new Set(['rollback', 'boot', 'refresh', 'quarantine']);
/** Who decides about a domain from then on; the other causes leave that as it was. */
const ORIGINS: Partial<Record<Cause, Origin>> = {
  drop: 'directory',
  deploy: 'deploy',
  // What was gone back to is not what lies in the directory; whoever tidies up there must not end it.
  rollback: 'deploy',
  quarantine: 'deploy',
};
/** What quarantines the bytes of a canary; anything else only ends its rollout. */
const HARM: ReadonlySet<string> = new Set<RolloutCode>([
  'BEDS_ROLLOUT_GUARD_ERRORS',
  'BEDS_ROLLOUT_GUARD_LATENCY',
  'BEDS_ROLLOUT_GUARD_THREAD',
]);
/** What quarantines the bytes before they ever served. */
const FATAL = 'BEDS_ADMISSION_ENDED_PROCESS';
/** How the reason of a strike begins that is for faults which no request ended with. */
export const STRAYS = 'stray faults';

/** What becomes of the state by an event. Pure: time comes in with the event, what is to be done follows from the state. */
export function reconcile(state: State, event: DeployEvent, { rules, at }: { rules: Rules; at: number }): Reconciled {
  const step = new Step(state, rules, at);
  apply(step, event);
  while (advance(step));
  return { state: step.state, transitions: step.transitions, remarks: step.remarks };
}

/** What is to be done now. Of commands that share a place and have several owners, the first that is given is to be begun first. */
export function commandsOf(state: State): readonly Command[] {
  const ids = new Set(state.queue.map(({ id }) => id));
  const generations = Object.values(state.generations);
  const orphans = generations.filter(({ rollout }) => !ids.has(rollout));
  const commands: Command[] = [
    ...withdrawals(orphans.filter(({ state: is }) => is === 'candidate')),
    ...orphans.filter(({ state: is }) => is === 'prepared').map((generation) => discard(generation)),
    ...Object.entries(state.domains).flatMap(([name]) => harmCommands(state, name)),
    ...state.toStage.map((hash): Command => ({
      key: `stage ${hash}`,
      owner: undefined,
      places: [],
      kind: 'stage',
      hash,
    })),
  ];
  for (const item of firstInPlace(state)) {
    if (item.kind === 'rollout') commands.push(...rolloutCommands(state, item));
    else
      commands.push({
        key: `retire ${item.id}`,
        owner: item.id,
        places: placesOf(item),
        kind: 'retire',
        retirement: item,
      });
  }
  return commands;
}

function rolloutCommands(state: State, rollout: Rollout): readonly Command[] {
  const { id, stage, members } = rollout;
  const common = { owner: id, places: placesOf(rollout) };
  switch (stage) {
    case 'admit':
      return members
        .filter(({ admission }) => admission === 'open' || admission === 'waiting')
        .map((member) => ({ ...common, key: `admit ${id} ${member.hash}`, kind: 'admit', rollout, member }));
    case 'withdraw': {
      const own = Object.values(state.generations).filter((each) => each.rollout === id && each.state === 'candidate');
      return [{ ...common, key: `withdraw ${id}`, kind: 'withdraw', generations: own }];
    }
    case 'prepare':
    case 'trial':
      return [{ ...common, key: `${stage} ${id}`, kind: stage, rollout }];
    case 'activate':
    case 'flipped':
      return [{ ...common, key: `activate ${id}`, kind: 'activate', rollout }];
    case 'queued':
    case 'ready':
    case 'prepared':
      return [];
  }
}

/** One owner acts in a place at a time, and does one thing at a time; it may admit several versions at once. */
export function isBlockedBy({ owner, places, kind }: Command, running: Command): boolean {
  if (owner !== undefined && running.owner === owner) return running.kind !== kind || kind !== 'admit';
  return running.places.some((place) => places.includes(place));
}

function discard(generation: Generation): Command {
  const { id, rollout } = generation;
  return { key: `discard ${id}`, owner: rollout, places: [], kind: 'discard', generation };
}

/** Canaries whose rollout is over, each rollout's together. */
function withdrawals(candidates: readonly Generation[]): readonly Command[] {
  return [...new Set(candidates.map(({ rollout }) => rollout))].map((owner) => {
    const generations = candidates.filter(({ rollout }) => rollout === owner);
    const places = generations.map(({ domain }) => domain);
    return { key: `withdraw ${owner}`, owner, places, kind: 'withdraw', generations };
  });
}

function harmCommands(state: State, name: string): readonly Command[] {
  const { isToBeWithheld, held } = domainOf(state, name);
  if (isToBeWithheld)
    return [{ key: `withhold ${name}`, owner: undefined, places: [], kind: 'withhold', domain: name }];
  const live = liveOf(state, name);
  const isGoingBack = rolloutsOf(state).some((each) => each.cause === 'quarantine' && domainsOf(each).includes(name));
  if (live === undefined || held === live.id || !isGoingBack || !isHarmed(state, name)) return [];
  return [{ key: `hold ${live.id}`, owner: undefined, places: [], kind: 'hold', generation: live }];
}

function firstInPlace(state: State): readonly (Rollout | Retirement)[] {
  const taken = new Set<string>();
  return state.queue.filter((item) => {
    const places = placesOf(item);
    const isFirst = !places.some((place) => taken.has(place));
    for (const place of places) taken.add(place);
    return isFirst;
  });
}

type Handlers<E extends { readonly kind: string }> = {
  readonly [K in E['kind']]: (step: Step, event: Extract<E, { readonly kind: K }>) => void;
};

const HANDLERS: Handlers<Exclude<DeployEvent, RolloutResult>> = {
  boot: (step) => {
    for (const [name, { isServed }] of Object.entries(step.state.domains)) {
      if (isServed && step.rules.serves(name)) step.goBack(name, 'boot');
    }
  },
  dropped,
  removed,
  malformed: (step, { domain, version, hash, findings }) => {
    step.note({ domain, version, hash, state: 'rejected', cause: 'drop', findings });
  },
  withdrawn: (step, { domain }) => {
    step.forgetCandidate(domain);
  },
  looked,
  deploy: (step, { versions, plan }) => {
    step.begin({ versions, cause: 'deploy', plan, completeAt: step.at });
  },
  restore: (step, { domain, hash }) => {
    step.restore(domain, [hash], 'rollback');
  },
  promote,
  pause,
  retire: (step, { domain }) => {
    step.retire(domain, makeFinding('BEDS_ROLLOUT_RETIRED'));
  },
  lift,
  'thread-lost': threadLost,
  'thread-released': (step, { thread }) => {
    threadGone(step, thread);
  },
  strayed,
  schema: (step, event) => {
    if (event.change === 'degraded') step.patch(event.domain, { degraded: event.findings });
    else step.refresh(event.domain, event.hash);
  },
  withhold,
  'out-of-service': takeOutOfService,
  'retirement-done': (step, { retirement }) => {
    step.remove(retirement);
  },
  staged: (step, event) => {
    step.state = { ...step.state, toStage: step.state.toStage.filter((hash) => hash !== event.hash) };
  },
  held: (step, { domain, generation }) => {
    step.patch(domain, { held: generation });
  },
  drained: threadDrained,
  discarded: (step, { generation }) => {
    if (generationOf(step.state, generation)?.state === 'prepared') step.deleteGeneration(generation);
  },
  'candidates-out': (step, { generations, threads }) => {
    for (const id of generations) {
      const generation = generationOf(step.state, id);
      if (generation?.state === 'candidate') step.drain(id, threads[generation.domain] ?? []);
    }
  },
};

/** What is about a rollout that there still is; what was abandoned meanwhile has nothing to say. */
type RolloutResult = Extract<DeployEvent, { readonly rollout: number }>;

const ROLLOUT_HANDLERS: {
  readonly [K in RolloutResult['kind']]: (
    step: Step,
    rollout: Rollout,
    event: Extract<RolloutResult, { readonly kind: K }>,
  ) => void;
} = {
  end,
  progress: (step, rollout, { hash, state }) => {
    const member = rollout.members.find((each) => each.hash === hash);
    if (member !== undefined) step.noteMember(rollout, member, state);
  },
  missing: (step, rollout, { hash }) => {
    tryAlternative(step, rollout, hash);
  },
  admitted: (step, { id }, { hash, findings }) => {
    step.patchMember(id, hash, { admission: 'admitted', findings });
  },
  refused: (step, { id }, { hash, findings }) => {
    step.patchMember(id, hash, { admission: 'refused', findings });
  },
  waits: (step, rollout, { hash, findings }) => {
    step.patchMember(rollout.id, hash, { admission: 'waiting' });
    wait(step, rollout, { members: rollout.members.filter((member) => member.hash === hash), findings });
  },
  'rabbit-away': (step, rollout, { finding }) => {
    wait(step, rollout, { members: rollout.members, findings: [finding] });
  },
  loading: startLoading,
  prepared: (step, rollout) => {
    if (rollout.stage !== 'prepare') return;
    for (const member of rollout.members) step.noteMember(rollout, member, 'prepared');
    step.patchRollout(rollout.id, { stage: 'prepared', isPauseNoted: false });
  },
  failed: (step, rollout, { finding }) => {
    if (rollout.stage === 'flipped' || rollout.stage === 'withdraw') return;
    refuse(step, rollout, { findings: new Map(), otherwise: finding });
  },
  'trial-routed': (step, rollout, { percent }) => {
    routeTrial(step, rollout, percent);
  },
  'trial-begun': (step, rollout) => {
    if (rollout.stage !== 'trial') return;
    for (const member of rollout.members) step.noteMember(rollout, member, 'canary');
    step.patchRollout(rollout.id, { hasWaited: true });
  },
  verdict: (step, rollout, { objections }) => {
    if (rollout.stage !== 'trial') return;
    step.patchRollout(rollout.id, { stage: objections.length === 0 ? 'activate' : 'withdraw', objections });
  },
  'candidates-gone': (step, rollout) => {
    if (rollout.stage === 'withdraw') condemn(step, rollout);
  },
  flip,
  flipped: (step, rollout, event) => {
    if (rollout.stage !== 'flipped') return;
    for (const { hash } of rollout.members) takeOver(step, { rollout: rollout.id, hash, cause: rollout.cause, event });
    step.remove(rollout.id);
  },
};

function apply(step: Step, event: DeployEvent): void {
  // n.b. the tables are complete by their types; that a handler fits its event is more than TypeScript can see.
  if (!isAboutRollout(event)) {
    (HANDLERS[event.kind] as (step: Step, event: DeployEvent) => void)(step, event);
    return;
  }
  const rollout = rolloutOf(step.state, event.rollout);
  const handle = ROLLOUT_HANDLERS[event.kind] as (step: Step, rollout: Rollout, event: RolloutResult) => void;
  if (rollout !== undefined) handle(step, rollout, event);
}

function isAboutRollout(event: DeployEvent): event is RolloutResult {
  return 'rollout' in event;
}

/** Moves what can move without anything being done; false: nothing does. */
function advance(step: Step): boolean {
  for (const rollout of rolloutsOf(step.state)) {
    if (isBanned(step, rollout)) return true;
    if (isWanted(step.state, rollout)) continue;
    step.abandon(rollout);
    if (rollout.cause === 'quarantine') fallBack(step, rollout, false);
    return true;
  }
  for (const [name, { isToBeWithheld }] of Object.entries(step.state.domains)) {
    if (!isToBeWithheld || isHarmed(step.state, name) || liveOf(step.state, name) === undefined) continue;
    step.patch(name, { isToBeWithheld: false });
  }
  return firstInPlace(step.state).some((item) =>
    item.kind === 'retirement' ? beginRetirement(step, item) : advanceRollout(step, item),
  );
}

/** What is in quarantine, or came to be while it was on its way, goes no further. */
function isBanned(step: Step, rollout: Rollout): boolean {
  if (rollout.stage === 'flipped' || rollout.stage === 'withdraw') return false;
  const bans = rollout.members.flatMap((member) => {
    const ban = banOf(member, step.state);
    return ban === undefined ? [] : [[member.hash, [ban]] as const];
  });
  if (bans.length === 0) return false;
  refuse(step, rollout, { findings: new Map(bans), otherwise: makeFinding('BEDS_ROLLOUT_TOGETHER') });
  return true;
}

/** Whether what the host does by itself is still of use. */
function isWanted(state: State, { cause, stage, members: [first] }: Rollout): boolean {
  if (first === undefined || stage === 'flipped') return true;
  const live = liveOf(state, first.domain);
  if (cause === 'boot') return live === undefined;
  if (cause === 'refresh') return live?.hash === first.hash;
  return cause !== 'quarantine' || isHarmed(state, first.domain);
}

function advanceRollout(step: Step, rollout: Rollout): boolean {
  const { id, stage, members, plan } = rollout;
  const move = (patch: Partial<Rollout>): true => {
    step.patchRollout(id, patch);
    return true;
  };
  switch (stage) {
    case 'queued':
      return move({ stage: 'admit' });
    case 'admit':
      return judgeAdmission(step, rollout);
    case 'ready':
    case 'prepared': {
      if (isPaused(step.state, rollout)) {
        if (rollout.isPauseNoted) return false;
        wait(step, rollout, { members, findings: [makeFinding('BEDS_ROLLOUT_PAUSED')] });
        return move({ isPauseNoted: true });
      }
      if (stage === 'ready') return move({ stage: 'prepare' });
      const isBeside = members.some(({ domain }) => liveOf(step.state, domain) !== undefined);
      const isTried = isBeside && !rollout.isHurried && plan.canaryPercent + plan.shadowPercent > 0;
      return move({ stage: isTried ? 'trial' : 'activate' });
    }
    case 'trial':
      return rollout.isHurried && move({ stage: 'activate' });
    case 'prepare':
    case 'withdraw':
    case 'activate':
    case 'flipped':
      return false;
  }
}

/** Whether all that was found of the members decides about them. */
function judgeAdmission(step: Step, rollout: Rollout): boolean {
  const { members, plan, cause } = rollout;
  if (members.some(({ admission }) => admission === 'open')) return false;
  const isRefused = members.some(({ admission }) => admission === 'refused');
  if (!isRefused && members.some(({ admission }) => admission === 'waiting')) return false;
  const isGated = !plan.allowBreaking && !UNGATED.has(cause);
  const refused = members.filter(({ admission, findings }) =>
    isRefused ? admission === 'refused' : isGated && findings.length > 0,
  );
  if (refused.length === 0) return giveNumbers(step, rollout);
  const findings = new Map(refused.map((member) => [member.hash, member.findings]));
  refuse(step, rollout, { findings, otherwise: makeFinding('BEDS_ROLLOUT_TOGETHER') });
  return true;
}

/** `promote` of one domain does not speak for another of the same rollout that is paused. */
function isPaused(state: State, rollout: Rollout): boolean {
  return PAUSABLE.has(rollout.cause) && domainsOf(rollout).some((domain) => domainOf(state, domain).paused);
}

function giveNumbers(step: Step, rollout: Rollout): true {
  for (const { hash } of rollout.members) {
    const generation = step.state.lastGeneration + 1;
    step.state = { ...step.state, lastGeneration: generation };
    step.patchMember(rollout.id, hash, { generation });
  }
  step.patchRollout(rollout.id, { stage: 'ready' });
  return true;
}

function startLoading(step: Step, rollout: Rollout): void {
  if (rollout.stage !== 'prepare') return;
  for (const { domain, version, hash, generation } of rollout.members) {
    if (generation === undefined || generationOf(step.state, generation) !== undefined) continue;
    const made: Generation = {
      id: generation,
      domain,
      version,
      hash,
      rollout: rollout.id,
      state: 'prepared',
      share: undefined,
      threads: [],
      left: NO_LEFTOVERS,
      why: undefined,
    };
    step.state = { ...step.state, generations: { ...step.state.generations, [generation]: made } };
  }
}

/** It waits for somebody outside. What did harm must not go on until then. */
function wait(
  step: Step,
  rollout: Rollout,
  { members, findings }: { readonly members: readonly Member[]; readonly findings: readonly Finding[] },
): void {
  for (const member of members) step.noteMember(rollout, member, 'waiting', { findings });
  step.patchRollout(rollout.id, { hasWaited: true });
  if (rollout.cause !== 'quarantine') return;
  step.abandon(rollout);
  fallBack(step, rollout, false);
}

/** The stage lacks a version that served: the next one stands in. */
function tryAlternative(step: Step, rollout: Rollout, hash: string): void {
  const [member] = rollout.members;
  const [next, ...alternatives] = rollout.alternatives;
  if (member?.hash !== hash) return;
  if (next === undefined) {
    step.abandon(rollout);
    if (rollout.cause === 'quarantine') step.goBack(member.domain, 'quarantine', [...rollout.tried, hash]);
    return;
  }
  const version = step.versionOf(member.domain, next);
  step.patchRollout(rollout.id, {
    members: [{ ...member, hash: next, version }],
    alternatives,
    tried: [...rollout.tried, hash],
    stage: 'queued',
  });
}

/** All of them end, each for its own findings or for `otherwise`. */
function refuse(
  step: Step,
  rollout: Rollout,
  { findings, otherwise }: { readonly findings: ReadonlyMap<string, readonly Finding[]>; readonly otherwise: Finding },
): void {
  step.remove(rollout.id);
  for (const member of rollout.members) {
    const own = findings.get(member.hash) ?? [otherwise];
    const fatal = own.find(({ code }) => code === FATAL);
    if (fatal !== undefined) step.quarantine(member.domain, member, fatal);
    // It may have been blamed meanwhile for what ended its rollout.
    const isBanned = isQuarantined(step.state, member.domain, member.hash);
    step.noteMember(rollout, member, isBanned ? 'quarantined' : 'rejected', { findings: own });
  }
  fallBack(step, rollout, true);
}

/** A canary is out again: what did harm is quarantined; what an operator ended, or what came with it, is only refused. */
function condemn(step: Step, rollout: Rollout): void {
  step.remove(rollout.id);
  for (const member of rollout.members) {
    const own = rollout.objections.filter(({ domain }) => domain === undefined || domain === member.domain);
    const findings = own.length === 0 ? [makeFinding('BEDS_ROLLOUT_TOGETHER')] : own.map(({ finding }) => finding);
    const harm = own.find(({ finding }) => HARM.has(finding.code))?.finding;
    if (harm !== undefined) step.quarantine(member.domain, member, harm);
    step.noteMember(rollout, member, harm === undefined ? 'rejected' : 'quarantined', { findings });
  }
  fallBack(step, rollout, true);
}

/** What did not come to serve must not keep what served before from serving again. */
function fallBack(step: Step, { cause, members, tried }: Rollout, mayTryNext: boolean): void {
  const isGoingBack = cause === 'boot' || cause === 'quarantine';
  const failed = isGoingBack ? [...tried, ...members.map(({ hash }) => hash)] : [];
  for (const { domain } of members) {
    const isIdle = pendingOf(step.state, domain) === undefined;
    if (!step.domain(domain).isServed) {
      const hashes = mayTryNext && isIdle ? members.map(({ hash }) => hash) : [];
      for (const hash of hashes) tryNext(step, domain, hash);
    } else if (isHarmed(step.state, domain)) step.goBack(domain, 'quarantine', failed);
    else if (liveOf(step.state, domain) === undefined && isIdle) step.goBack(domain, 'boot', failed);
  }
}

function routeTrial(step: Step, rollout: Rollout, percent: number): void {
  if (rollout.stage !== 'trial') return;
  const { shadowPercent } = rollout.plan;
  const ids = rollout.members.flatMap(({ generation }) => generation ?? []);
  // One for all of them, so that a caller is on one side in all their domains.
  const salt = Math.min(...ids);
  for (const { domain, generation } of rollout.members) {
    if (generation === undefined) continue;
    step.patchGeneration(generation, { state: 'candidate', share: { percent, shadowPercent, salt } });
    step.patch(domain, { trial: generation });
  }
}

/** All members serve from here on, and those before them drain. */
function flip(step: Step, rollout: Rollout, { threads }: { readonly threads: ThreadNames }): void {
  if (rollout.stage !== 'activate' || !isWanted(step.state, rollout)) return;
  const previous: Generation[] = [];
  for (const member of rollout.members) {
    const { domain, hash, generation } = member;
    if (generation === undefined) continue;
    const live = liveOf(step.state, domain);
    if (live !== undefined) previous.push(live);
    step.patchMember(rollout.id, hash, { remarks: remarksOn(step, member, rollout.cause) });
    step.patchGeneration(generation, { state: 'live', share: undefined });
    const { trial } = step.domain(domain);
    step.patch(domain, {
      live: generation,
      trial: trial === generation ? undefined : trial,
      withheld: undefined,
      isToBeWithheld: false,
      held: undefined,
    });
  }
  for (const { id, domain } of previous) step.drain(id, threads[domain] ?? []);
  step.patchRollout(rollout.id, { stage: 'flipped' });
}

/** What whoever brought a version is told when it takes over: that it is lower than the one before, or another build of it. */
function remarksOn(step: Step, { domain, version, hash }: Member, cause: Cause): readonly Finding[] {
  if (UNREMARKED.has(cause)) return [];
  const live = liveOf(step.state, domain);
  const findings: Finding[] = [];
  if (live !== undefined && compareVersions(version, live.version) < 0) {
    const words = `${domain} ${version} took the place of ${live.version}, which is higher.`;
    findings.push(makeFinding('BEDS_ROLLOUT_DOWNGRADE', words));
  }
  const known = [...(live === undefined ? [] : [live]), ...step.domain(domain).served];
  const twin = known.find((served) => served.version === version && served.hash !== hash);
  if (twin !== undefined) {
    const [mine, other] = [hash.slice(0, 12), twin.hash.slice(0, 12)];
    const words = `${domain} ${version} (${mine}) has other bytes than the ${version} (${other}) that served before.`;
    findings.push(makeFinding('BEDS_ROLLOUT_SAME_VERSION', words));
  }
  return findings;
}

function takeOver(
  step: Step,
  {
    rollout: id,
    hash,
    cause,
    event,
  }: {
    readonly rollout: number;
    readonly hash: string;
    readonly cause: Cause;
    readonly event: Extract<CommandResult, { kind: 'flipped' }>;
  },
): void {
  const rollout = rolloutOf(step.state, id);
  const member = rollout?.members.find((each) => each.hash === hash);
  if (rollout === undefined || member?.generation === undefined) return;
  const { domain, generation, remarks } = member;
  const findings = [...remarks, ...(event.findings[generation] ?? [])];
  step.noteMember(rollout, member, 'active', {
    flipMs: Math.round(event.flipMs * 100) / 100,
    ...(findings.length === 0 ? {} : { findings }),
  });
  // What a start serves was confirmed before, or stands in for what was.
  if (cause !== 'boot') step.confirm(domain, member, ORIGINS[cause]);
  step.patch(domain, { isRestored: cause === 'quarantine' });
  if (!REPEATED.has(cause)) step.settleDomain(domain, hash);
}

function beginRetirement(step: Step, { id, domain, hasBegun }: Retirement): boolean {
  if (hasBegun) return false;
  const begun = (item: Rollout | Retirement): Rollout | Retirement =>
    item.kind === 'retirement' && item.id === id ? { ...item, hasBegun: true } : item;
  step.state = { ...step.state, queue: step.state.queue.map(begun) };
  step.patch(domain, { isServed: false });
  step.settleDomain(domain);
  step.forgetCandidate(domain);
  return true;
}

function takeOutOfService(
  step: Step,
  { domain, why, threads }: Extract<CommandResult, { kind: 'out-of-service' }>,
): void {
  const { live, trial } = step.domain(domain);
  for (const id of [live, trial]) if (id !== undefined) step.drain(id, threads, why);
  step.patch(domain, { withheld: undefined, held: undefined });
}

/** Ends what must not go on though nothing can take its place: callers are told to come back. */
function withhold(step: Step, { domain, hash, threads }: Extract<CommandResult, { kind: 'withhold' }>): void {
  if (!step.domain(domain).isToBeWithheld) return;
  step.patch(domain, { isToBeWithheld: false });
  if (hash === undefined) return;
  const { live, trial } = step.domain(domain);
  const tried = generationOf(step.state, trial);
  const rollout = tried === undefined ? undefined : rolloutOf(step.state, tried.rollout);
  for (const id of [live, trial]) if (id !== undefined) step.drain(id, threads);
  step.patch(domain, { withheld: hash, held: undefined });
  // Beside nothing it is no canary.
  if (rollout !== undefined) step.restart(rollout);
}

function end(step: Step, rollout: Rollout, { finding, orderedFor }: Extract<DeployEvent, { kind: 'end' }>): void {
  if (rollout.stage === 'flipped') return;
  if (orderedFor !== undefined) {
    // Where it lies in the plugin directory, a restart must not begin it again.
    step.settle(({ hash }) => rollout.members.some((member) => member.hash === hash));
    step.patch(orderedFor, { paused: false });
  }
  if (rollout.stage === 'withdraw') return;
  if (rollout.stage === 'trial') {
    step.patchRollout(rollout.id, { stage: 'withdraw', objections: [{ finding }] });
    return;
  }
  step.remove(rollout.id);
  for (const member of rollout.members) {
    const isBanned = isQuarantined(step.state, member.domain, member.hash);
    step.noteMember(rollout, member, isBanned ? 'quarantined' : 'rejected', { findings: [finding] });
  }
  fallBack(step, rollout, false);
}

function promote(step: Step, { domain }: { readonly domain: string }): void {
  step.patch(domain, { paused: false });
  const rollout = pendingOf(step.state, domain);
  if (rollout === undefined || domainsOf(rollout).some((each) => step.domain(each).paused)) return;
  step.patchRollout(rollout.id, { isHurried: true });
}

/** A canary keeps its share, and no new version takes over. */
function pause(step: Step, { domain }: { readonly domain: string }): void {
  step.patch(domain, { paused: true });
  const rollout = pendingOf(step.state, domain);
  if (rollout?.stage === 'trial') step.patchRollout(rollout.id, { isHeld: true });
}

function lift(step: Step, { name }: { readonly name: string }): void {
  const withheld = new Set<string>();
  for (const { domain, hash, version } of liftedBy(step.state, name)) {
    step.patchVersion(domain, { hash, version }, { quarantine: undefined, strikes: NO_STRIKES, isRefused: false });
    if (step.domain(domain).withheld !== undefined) withheld.add(domain);
  }
  // Nothing else may serve there: whoever lifts it wants it back.
  for (const domain of withheld) step.goBack(domain, 'rollback');
}

/** What is in quarantine and named so. */
export function liftedBy(state: State, name: string): readonly { domain: string; hash: string; version: string }[] {
  return Object.entries(state.domains).flatMap(([domain, { versions }]) =>
    Object.entries(versions).flatMap(([hash, { version, quarantine }]) => {
      const isMeant = domain === name || isNamed({ version: '', hash }, name);
      return quarantine !== undefined && isMeant ? [{ domain, hash, version }] : [];
    }),
  );
}

function threadLost(step: Step, loss: ThreadLoss): void {
  // Before its part of a drain ends: the version that drains may be the one to blame.
  const culprit = culpritOf(step.state, loss);
  if (culprit !== undefined) blame(step, culprit, loss);
  threadGone(step, loss.thread);
}

function blame(step: Step, culprit: Generation, { reason, killed }: ThreadLoss): void {
  const { domain } = culprit;
  const verdict = judgeLoss(step, culprit, { reason, killed });
  if (culprit.state === 'candidate') {
    const rollout = rolloutOf(step.state, culprit.rollout);
    if (rollout?.stage !== 'trial' && rollout?.stage !== 'activate') return;
    const [firstLine = ''] = reason.split('\n');
    const finding = makeFinding('BEDS_ROLLOUT_GUARD_THREAD', `The canary ended a broker thread: ${firstLine}`);
    step.patchRollout(rollout.id, { stage: 'withdraw', objections: [{ domain, finding }] });
  } else if (verdict !== undefined) convict(step, culprit, verdict);
}

/** A thread may end by accident. A process that was made for suspects proves it, if nobody else ran in it. */
function judgeLoss(
  step: Step,
  culprit: Generation,
  { reason, killed }: { readonly reason: string; readonly killed: ThreadLoss['killed'] },
): Finding | undefined {
  const { domain, hash } = culprit;
  const verdict = step.strike(domain, culprit, reason);
  if (verdict !== undefined || killed === undefined || isQuarantined(step.state, domain, hash)) return verdict;
  const strikes = step.domain(domain).versions[hash]?.strikes ?? NO_STRIKES;
  const isProven = killed === 'sole' || strikes.length > 1;
  const words = `It was tried apart after the host had ended under it, and ${reason}.`;
  return isProven ? makeFinding('BEDS_ROLLOUT_ENDED_PROCESS', words) : undefined;
}

function convict(step: Step, { id, domain, version, hash }: Generation, verdict: Finding): void {
  step.quarantine(domain, { hash, version }, verdict);
  step.note({ domain, version, hash, state: 'quarantined', generation: id, findings: [verdict] });
  if (isHarmed(step.state, domain)) step.goBack(domain, 'quarantine');
}

/**
 * A version that serves goes on leaving faults that no request ended with. Its callers have their answers: so it gives way to
 * a version before it, and stays where there is none.
 */
function strayed(step: Step, { generation: id, strays, requests }: Extract<DeployEvent, { kind: 'strayed' }>): void {
  const generation = generationOf(step.state, id);
  if (generation?.state !== 'live') return;
  const { domain, version, hash } = generation;
  const words = `${String(strays)} faults that no request ended with, beside ${String(requests)} requests`;
  const where = `code that ${domain} ${version} leaves running`;
  step.remarks.push({ level: 'fault', domain, message: words, fields: { where, version, hash } });
  // A version that was gone back to stays.
  const { served, isRestored } = step.domain(domain);
  const mayGoBack = served.some((each) => each.hash !== hash && !isQuarantined(step.state, domain, each.hash));
  if (isRestored || !mayGoBack) return;
  const verdict = step.strike(domain, generation, `${STRAYS}: ${words}`);
  if (verdict !== undefined) convict(step, generation, verdict);
}

function threadDrained(step: Step, event: Extract<CommandResult, { kind: 'drained' }>): void {
  const generation = generationOf(step.state, event.generation);
  if (generation?.state !== 'draining' || !generation.threads.includes(event.thread)) return;
  const threads = generation.threads.filter((thread) => thread !== event.thread);
  step.patchGeneration(generation.id, { threads, left: addLeftovers(generation.left, event.left) });
  if (threads.length === 0) step.retireGeneration(generation.id);
}

/** What a lost thread left went with it. */
function threadGone(step: Step, thread: string): void {
  for (const { id } of Object.values(step.state.generations)) {
    threadDrained(step, { kind: 'drained', generation: id, thread, left: NO_LEFTOVERS });
  }
}
