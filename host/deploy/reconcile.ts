import type { Config } from '../config/schema.js';
import type { VersionView } from '../admin/views.js';
import { type Finding, makeFinding } from '../template/contract.js';
import { generationFile } from '../template/compile.js';
import { addLeftovers, isNothing, NO_LEFTOVERS } from '../template/template-timers.js';
import type { RolloutCode } from '../errors/rollout.js';
import { compareVersions } from './compare-versions.js';
import {
  type Burst,
  type Cause,
  type Command,
  type CommandResult,
  type DeployEvent,
  type Domain,
  type Dropped,
  type DroppedVersion,
  type FoundVersion,
  type Generation,
  type KnownVersion,
  type Member,
  NO_STRIKES,
  type Origin,
  type Passed,
  type Remark,
  type Removed,
  type Retirement,
  type Rollout,
  type RolloutOptions,
  type RolloutPlan,
  type Rules,
  type State,
  type Strike,
  type ThreadNames,
  type Transition,
  UNKNOWN,
  type ThreadLoss,
} from './state.js';

export interface Reconciled {
  readonly state: State;
  /** What is to be done now. */
  readonly commands: readonly Command[];
  readonly transitions: readonly Transition[];
  readonly remarks: readonly Remark[];
}

/** An operator, or the host itself, knows what it does: these go back to what was served before. */
const UNGATED: ReadonlySet<Cause> = new Set(['rollback', 'restore', 'boot', 'quarantine', 'refresh']);
/** Somebody wanted these, and still does when the version before them did harm. */
const ORDERED: ReadonlySet<Cause> = new Set(['drop', 'deploy', 'rollback', 'restore']);
const PAUSABLE: ReadonlySet<Cause> = new Set(['drop', 'deploy', 'restore']);
/** An operator asks for something else than what lies in the plugin directory. */
export const BY_OPERATOR: ReadonlySet<Cause | 'retire'> = new Set(['deploy', 'rollback']);
/** They bring back what was decided before; what lies in the plugin directory besides is still to be decided. */
export const REPEATED: ReadonlySet<Cause> = new Set(['boot', 'refresh', 'quarantine']);
/** These go back on purpose, or restore an earlier decision: they are not reported as downgrades. */
const UNREMARKED: ReadonlySet<Cause> = new Set(['rollback', 'boot', 'refresh', 'quarantine']);
/** Who decides about a domain from then on; the other causes leave that as it was. */
const ORIGINS: Partial<Record<Cause, Origin>> = {
  drop: 'directory',
  deploy: 'deploy',
  // What was gone back to is not what lies in the directory; whoever tidies up there must not end it.
  rollback: 'deploy',
  quarantine: 'deploy',
};
/** Ends that name no culprit by themselves: whose code was entered last did it. */
const BY_LAST_ENTERED = /no sign of life|ERR_WORKER_OUT_OF_MEMORY|memory limit|exit code|process was ended/;
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
  const { state: next, transitions, remarks } = step;
  return { state: next, commands: commandsOf(next), transitions, remarks };
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
  if (live !== undefined && held === live.id && !isServedFromQuarantine(state, name))
    return [{ key: `release ${live.id}`, owner: undefined, places: [], kind: 'release', generation: live }];
  const isGoingBack = rolloutsOf(state).some((each) => each.cause === 'quarantine' && domainsOf(each).includes(name));
  if (live === undefined || held === live.id || !isGoingBack || !isServedFromQuarantine(state, name)) return [];
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
  desired,
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
      if (generation?.state === 'candidate') step.drain(id, threads[id] ?? []);
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
  progress: (step, rollout, event) => {
    notePassed(step, rollout, event);
  },
  missing: (step, rollout, { hash }) => {
    tryAlternative(step, rollout, hash);
  },
  admitted: (step, rollout, event) => {
    const { hash, findings, peers } = event;
    notePassed(step, rollout, event);
    step.patchMember(rollout.id, hash, { admission: 'admitted', findings, peers });
  },
  refused: (step, rollout, event) => {
    const { hash, findings } = event;
    notePassed(step, rollout, event);
    step.patchMember(rollout.id, hash, { admission: 'refused', findings });
  },
  waits: (step, rollout, event) => {
    const { hash, findings } = event;
    notePassed(step, rollout, event);
    step.patchMember(rollout.id, hash, { admission: 'waiting' });
    wait(step, rollout, { members: rollout.members.filter((member) => member.hash === hash), findings });
  },
  'rabbit-away': (step, rollout, { finding }) => {
    wait(step, rollout, { members: rollout.members, findings: [finding] });
  },
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
    if (!isToBeWithheld || isServedFromQuarantine(step.state, name) || liveOf(step.state, name) === undefined) continue;
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
function isWanted(state: State, { cause, isBeside, stage, members: [first] }: Rollout): boolean {
  if (first === undefined || stage === 'flipped') return true;
  const live = liveOf(state, first.domain);
  if (cause === 'boot' || (cause === 'quarantine' && isBeside)) return live === undefined;
  if (cause === 'refresh') return live?.hash === first.hash;
  return cause !== 'quarantine' || isServedFromQuarantine(state, first.domain);
}

function advanceRollout(step: Step, rollout: Rollout): boolean {
  const { id, stage, members, plan } = rollout;
  const move = (patch: Partial<Rollout>): true => {
    step.patchRollout(id, patch);
    return true;
  };
  switch (stage) {
    case 'queued':
      for (const member of members) step.noteMember(rollout, member, 'received');
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
      if (stage === 'ready') {
        makeGenerations(step, rollout);
        return move({ stage: 'prepare' });
      }
      if (isAheadOfPeers(step.state, rollout)) return false;
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

/**
 * A domain that nobody serves yet begins after those that it calls, where they are on their way themselves: what waits in its queue
 * would meet them missing. Those that call each other begin when all of them are prepared.
 */
function isAheadOfPeers(state: State, rollout: Rollout): boolean {
  return calledOnTheWay(state, rollout).some(
    (called) =>
      !(called.stage === 'prepared' || called.stage === 'activate') || !calledOnTheWay(state, called).includes(rollout),
  );
}

/** Rollouts of the domains that it calls and that nobody serves yet, and of those that they call; without such as wait for an operator or a database. */
function calledOnTheWay(state: State, rollout: Rollout): readonly Rollout[] {
  const isNew = ({ domain }: Member): boolean => liveOf(state, domain) === undefined;
  const isWaiting = (each: Rollout): boolean =>
    isPaused(state, each) ||
    (each.stage === 'trial' && each.isHeld) ||
    each.members.some(({ admission }) => admission === 'waiting');
  const ahead = firstInPlace(state).filter((item) => item.kind === 'rollout' && !isWaiting(item)) as readonly Rollout[];
  const found = new Set<Rollout>();
  const follow = ({ members }: Rollout): void => {
    const called = members.filter(isNew).flatMap(({ peers }) => peers);
    if (called.length === 0) return;
    for (const each of ahead) {
      if (found.has(each) || !each.members.some((member) => isNew(member) && called.includes(member.domain))) continue;
      found.add(each);
      follow(each);
    }
  };
  follow(rollout);
  return [...found].filter((each) => each !== rollout);
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
  if (refused.length === 0) {
    step.patchRollout(rollout.id, { stage: 'ready' });
    return true;
  }
  const findings = new Map(refused.map((member) => [member.hash, member.findings]));
  refuse(step, rollout, { findings, otherwise: makeFinding('BEDS_ROLLOUT_TOGETHER') });
  return true;
}

/** `promote` of one domain does not speak for another of the same rollout that is paused. */
function isPaused(state: State, rollout: Rollout): boolean {
  return PAUSABLE.has(rollout.cause) && domainsOf(rollout).some((domain) => domainOf(state, domain).paused);
}

/** From now on the threads may have them, and their code may end one of these: it is known whom to blame. */
function makeGenerations(step: Step, { id: rollout, members }: Rollout): void {
  for (const { domain, version, hash } of members) {
    const id = step.state.lastGeneration + 1;
    const common = { share: undefined, threads: [], left: NO_LEFTOVERS, why: undefined };
    const made: Generation = { id, domain, version, hash, rollout, state: 'prepared', ...common };
    step.state = { ...step.state, lastGeneration: id, generations: { ...step.state.generations, [id]: made } };
    step.patchMember(rollout, hash, { generation: id });
  }
}

function notePassed(step: Step, rollout: Rollout, { hash, passed }: Passed): void {
  const member = rollout.members.find((each) => each.hash === hash);
  if (member !== undefined) for (const state of passed) step.noteMember(rollout, member, state);
}

/** It waits for somebody outside. What did harm must not go on until then. */
function wait(
  step: Step,
  rollout: Rollout,
  { members, findings }: { readonly members: readonly Member[]; readonly findings: readonly Finding[] },
): void {
  for (const member of members) step.noteMember(rollout, member, 'waiting', { findings });
  step.patchRollout(rollout.id, { hasWaited: true });
  if (rollout.cause !== 'quarantine' || rollout.isBeside) return;
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
    } else if (isServedFromQuarantine(step.state, domain)) step.goBack(domain, 'quarantine', failed);
    else if (liveOf(step.state, domain) === undefined && isIdle) {
      step.goBack(domain, step.domain(domain).withheld === undefined ? 'boot' : 'quarantine', failed);
    }
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
  for (const { id } of previous) step.drain(id, threads[id] ?? []);
  step.patchRollout(rollout.id, { stage: 'flipped' });
}

/** The findings for a version that takes over: it is lower than the one before, or another build of it. */
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
  for (const id of [live, trial]) if (id !== undefined) step.drain(id, threads[id] ?? [], why);
  step.patch(domain, { withheld: undefined, held: undefined });
}

/** Ends what must not go on though nothing can take its place: callers get BEDS_REQUEST_WITHHELD. */
function withhold(step: Step, { domain, hash, threads }: Extract<CommandResult, { kind: 'withhold' }>): void {
  if (!step.domain(domain).isToBeWithheld) return;
  step.patch(domain, { isToBeWithheld: false });
  if (hash === undefined) return;
  const { live, trial } = step.domain(domain);
  const tried = generationOf(step.state, trial);
  const rollout = tried === undefined ? undefined : rolloutOf(step.state, tried.rollout);
  for (const id of [live, trial]) if (id !== undefined) step.drain(id, threads[id] ?? []);
  step.patch(domain, { withheld: hash, held: undefined });
  // Beside nothing it is no canary.
  if (rollout !== undefined) step.restart(rollout);
  // What did no harm and only waited in vain for what was away serves when that is back.
  const isSound = step.domain(domain).served.some((each) => !isQuarantined(step.state, domain, each.hash));
  if (isSound) step.goBack(domain, 'quarantine');
}

function end(step: Step, rollout: Rollout, { finding, orderedFor }: Extract<DeployEvent, { kind: 'end' }>): void {
  if (rollout.stage === 'flipped') return;
  if (orderedFor !== undefined) {
    step.settleEnded(rollout, [orderedFor]);
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
  } else if (verdict !== undefined) quarantineLive(step, culprit, verdict);
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

function quarantineLive(step: Step, { id, domain, version, hash }: Generation, verdict: Finding): void {
  step.quarantine(domain, { hash, version }, verdict);
  step.note({ domain, version, hash, state: 'quarantined', generation: id, findings: [verdict] });
  if (isServedFromQuarantine(step.state, domain)) step.goBack(domain, 'quarantine');
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
  if (verdict !== undefined) quarantineLive(step, generation, verdict);
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

// What there is, as the state says.

/** They run beside what is on its way, which may wait for long, and give way to it when it takes over first. */
const BESIDE: ReadonlySet<Cause> = new Set(['boot', 'refresh']);

export function domainOf(state: State, name: string): Domain {
  return Object.hasOwn(state.domains, name) ? (state.domains[name] ?? UNKNOWN) : UNKNOWN;
}

export function generationOf(state: State, id: number | undefined): Generation | undefined {
  return id === undefined ? undefined : state.generations[id];
}

export function liveOf(state: State, domain: string): Generation | undefined {
  return generationOf(state, domainOf(state, domain).live);
}

export function rolloutsOf(state: State): readonly Rollout[] {
  return state.queue.filter((item) => item.kind === 'rollout');
}

export function rolloutOf(state: State, id: number): Rollout | undefined {
  return rolloutsOf(state).find((rollout) => rollout.id === id);
}

function domainsOf(item: Rollout | Retirement): readonly string[] {
  return item.kind === 'retirement' ? [item.domain] : item.members.map(({ domain }) => domain);
}

/** Of what shares a place, only the first acts. */
function placesOf(item: Rollout | Retirement): readonly string[] {
  const isBeside = item.kind === 'rollout' && item.isBeside;
  return isBeside ? domainsOf(item).map((domain) => `${item.cause} of ${domain}`) : domainsOf(item);
}

/** The newest rollout of a domain, without what the host repeats by itself beside it. */
export function pendingOf(state: State, domain: string): Rollout | undefined {
  return rolloutsOf(state).findLast((rollout) => !rollout.isBeside && domainsOf(rollout).includes(domain));
}

export function isOnItsWay(state: State, hash: string): boolean {
  return rolloutsOf(state).some(({ members }) => members.some((member) => member.hash === hash));
}

/** Nothing is asked of the domain, and these bytes serve it. */
function isServing(state: State, domain: string, hash: string): boolean {
  return liveOf(state, domain)?.hash === hash && !state.queue.some((item) => placesOf(item).includes(domain));
}

export function isQuarantined(state: State, domain: string, hash: string): boolean {
  return domainOf(state, domain).versions[hash]?.quarantine !== undefined;
}

/** Whether the live version of the domain is in quarantine. */
export function isServedFromQuarantine(state: State, domain: string): boolean {
  const live = liveOf(state, domain);
  return live !== undefined && isQuarantined(state, domain, live.hash);
}

function isInDirectory(state: State, hash: string): boolean {
  return Object.values(state.entries).some((entry) => entry.hash === hash);
}

/** Fewer digits of a hash could be taken for a version. */
const MIN_HASH_DIGITS = 6;

/** Whether a person means these bytes: by the version, or by the hash or its beginning, at least six digits. */
export function isNamed(bytes: { readonly version: string; readonly hash: string }, name: string): boolean {
  return bytes.version === name || (name.length >= MIN_HASH_DIGITS && bytes.hash.startsWith(name));
}

/** Bytes that must stay in the stage: what serves, what one may go back to, and what may still come. */
export function hashesInUse(state: State): ReadonlySet<string> {
  return new Set([
    ...Object.values(state.entries).map(({ hash }) => hash),
    ...rolloutsOf(state).flatMap(({ members }) => members.map(({ hash }) => hash)),
    ...Object.values(state.generations).flatMap(({ state: is, hash }) => (is === 'draining' ? [] : [hash])),
    ...Object.values(state.domains).flatMap(({ served }) => served.map(({ hash }) => hash)),
  ]);
}

/** Everything that is asked serves, was refused, is observed or waits for somebody outside. */
export function isDecided(state: State): boolean {
  const isOpen = (item: Rollout | Retirement): boolean => item.kind === 'retirement' || !item.hasWaited;
  return !state.queue.some(isOpen) && !Object.values(state.domains).some(({ isToBeWithheld }) => isToBeWithheld);
}

export function strikesOf({ strikes }: KnownVersion, nowMs: number, periodMs: number): readonly Strike[] {
  return strikes.filter(({ atMs }) => nowMs - atMs < periodMs);
}

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

export interface RolloutRequest {
  readonly id: number;
  readonly cause: Cause;
  readonly plan: RolloutPlan;
  readonly completeAt: number;
  readonly versions: readonly Pick<Member, 'domain' | 'version' | 'hash'>[];
  readonly alternatives?: readonly string[];
  readonly tried?: readonly string[];
}

function newRollout(request: RolloutRequest): Rollout {
  const { id, cause, plan, completeAt, versions, alternatives = [], tried = [] } = request;
  return {
    kind: 'rollout',
    id,
    cause,
    isBeside: BESIDE.has(cause),
    plan,
    completeAt,
    members: versions.map(({ domain, version, hash }) => ({
      domain,
      version,
      hash,
      admission: 'open',
      generation: undefined,
      findings: [],
      remarks: [],
      peers: [],
    })),
    alternatives,
    tried,
    stage: 'queued',
    isHurried: false,
    isHeld: plan.hold,
    hasWaited: false,
    isPauseNoted: false,
    objections: [],
  };
}

// How it changes.

/** Nothing more comes of it by itself soon. */
const DECIDED: ReadonlySet<Transition['state']> = new Set(['waiting', 'canary', 'active', 'rejected', 'quarantined']);
const REFUSED: ReadonlySet<Transition['state']> = new Set(['rejected', 'quarantined']);
/** The oldest go: nobody drops them again, and the file is written whole. */
const MAX_QUARANTINED = 1_000;
/** Whole stack traces are in the log. */
const MAX_REASON_LENGTH = 200;
/** Retired generations that left something behind, of each domain: enough to see that it goes on. */
const MOST_LEFT = 5;

/** One event being applied: the state as it becomes, and what is said of it. Every part of the state stays immutable. */
class Step {
  state: State;
  readonly rules: Rules;
  /** Wall clock, milliseconds since 1970. */
  readonly at: number;
  readonly transitions: Transition[] = [];
  readonly remarks: Remark[] = [];

  constructor(state: State, rules: Rules, at: number) {
    this.state = state;
    this.rules = rules;
    this.at = at;
  }

  domain(name: string): Domain {
    return domainOf(this.state, name);
  }

  live(domain: string): Generation | undefined {
    return liveOf(this.state, domain);
  }

  isServing(domain: string, hash: string): boolean {
    return isServing(this.state, domain, hash);
  }

  isOnItsWay(hash: string): boolean {
    return isOnItsWay(this.state, hash);
  }

  isInDirectory(hash: string): boolean {
    return isInDirectory(this.state, hash);
  }

  patch(name: string, patch: Partial<Domain>): void {
    const domain = { ...this.domain(name), ...patch };
    if (isNothingKnown(domain)) {
      const { [name]: _, ...domains } = this.state.domains;
      this.state = { ...this.state, domains };
    } else this.state = { ...this.state, domains: { ...this.state.domains, [name]: domain } };
  }

  patchVersion(name: string, { hash, version }: { hash: string; version: string }, patch: Partial<KnownVersion>): void {
    const { versions } = this.domain(name);
    const known = versions[hash] ?? {
      version,
      strikes: NO_STRIKES,
      quarantine: undefined,
      isRefused: false,
      wasSeen: false,
    };
    this.patch(name, { versions: { ...versions, [hash]: { ...known, ...patch } } });
  }

  /** Thousands of versions may come and go: what nothing knows any more is forgotten. */
  forgetVersions(name: string): void {
    const { versions } = this.domain(name);
    const inUse = hashesInUse(this.state);
    const { strikePeriodMs } = this.rules.settings;
    const kept = Object.entries(versions).filter(
      ([hash, known]) =>
        inUse.has(hash) || known.quarantine !== undefined || strikesOf(known, this.at, strikePeriodMs).length > 0,
    );
    if (kept.length < Object.keys(versions).length) this.patch(name, { versions: Object.fromEntries(kept) });
  }

  patchRollout(id: number, patch: Partial<Rollout>): void {
    this.state = {
      ...this.state,
      queue: this.state.queue.map((item) => (item.kind === 'rollout' && item.id === id ? { ...item, ...patch } : item)),
    };
  }

  patchMember(id: number, hash: string, patch: Partial<Member>): void {
    const rollout = rolloutsOf(this.state).find((each) => each.id === id);
    if (rollout === undefined) return;
    const members = rollout.members.map((member) => (member.hash === hash ? { ...member, ...patch } : member));
    this.patchRollout(id, { members });
  }

  patchGeneration(id: number, patch: Partial<Generation>): void {
    const generation = generationOf(this.state, id);
    if (generation === undefined) return;
    this.state = { ...this.state, generations: { ...this.state.generations, [id]: { ...generation, ...patch } } };
  }

  deleteGeneration(id: number): void {
    const { [id]: _, ...generations } = this.state.generations;
    this.state = { ...this.state, generations };
  }

  // What a person sees.

  note(transition: Transition): void {
    const { domain, hash, version, state } = transition;
    this.transitions.push(transition);
    this.#show(transition);
    if (REFUSED.has(state) && isInDirectory(this.state, hash)) {
      this.patchVersion(domain, { hash, version }, { isRefused: true });
    }
    const { burst } = this.domain(domain);
    if (DECIDED.has(state) && burst?.best.hash === hash && burst.decidedAt === undefined) {
      this.patch(domain, { burst: { ...burst, decidedAt: this.at } });
    }
  }

  noteMember(
    { cause, completeAt }: Rollout,
    member: Member,
    ...[state, more]: [state: Transition['state'], more?: Partial<Transition>]
  ): void {
    const { domain, version, hash, generation } = member;
    this.note({
      domain,
      version,
      hash,
      state,
      cause,
      ms: this.at - completeAt,
      ...(generation === undefined ? {} : { generation }),
      ...more,
    });
  }

  #show({ domain, version, hash, state, generation, findings, left }: Transition): void {
    const { shown } = this.domain(domain);
    const show = (patch: Partial<Domain['shown']>): void => {
      this.patch(domain, { shown: { ...this.domain(domain).shown, ...patch } });
    };
    if (left !== undefined)
      show({ left: [...shown.left, { version, generation: generation ?? 0, left }].slice(-MOST_LEFT) });
    const view: VersionView = {
      version,
      hash,
      state,
      since: new Date(this.at).toISOString(),
      ...(generation === undefined ? {} : { generation }),
      ...(findings === undefined ? {} : { findings }),
    };
    if (state === 'active') {
      const without = (other: VersionView | undefined): VersionView | undefined =>
        other?.hash === hash ? undefined : other;
      show({ live: view, candidate: without(shown.candidate), superseded: without(shown.superseded) });
    } else if (state === 'draining' || state === 'retired') {
      // The same bytes may have taken over again meanwhile, as another generation.
      if (shown.live === undefined || shown.live.generation !== generation) return;
      if (state === 'draining') show({ live: { ...shown.live, state } });
      else {
        show({ live: undefined });
        this.patch(domain, { degraded: [] });
      }
    } else if (state === 'superseded') show({ superseded: view });
    else show({ candidate: view });
  }

  /** The refused or unfinished version is of no interest any more. */
  forgetCandidate(name: string): void {
    const { shown } = this.domain(name);
    this.patch(name, { shown: { ...shown, candidate: undefined, superseded: undefined } });
  }

  // The queue.

  /** Sends versions on their way, together; older ones of their domains that are still on theirs are abandoned. */
  begin(request: Omit<RolloutRequest, 'id' | 'plan'> & { readonly plan?: RolloutPlan }): void {
    const domains = request.versions.map(({ domain }) => domain);
    const hashes = request.versions.map(({ hash }) => hash);
    this.supersede(domains, request.cause, hashes);
    const plan = request.plan ?? this.#planOf(request.cause);
    this.push(newRollout({ ...request, plan, id: this.nextId() }));
  }

  /** Sends the first of these that the stage still has whole on its way. */
  restore(domain: string, hashes: readonly string[], cause: Cause): void {
    this.supersede([domain], cause, hashes);
    this.push(this.#staged(domain, hashes, { cause, tried: [] }));
  }

  /** Admits the version that serves once more: the database objects that it uses are others now. */
  refresh(domain: string, hash: string): void {
    this.push(this.#staged(domain, [hash], { cause: 'refresh', tried: [] }));
  }

  /** Takes a domain out of service after what is on its way. */
  retire(domain: string, why: Finding): void {
    this.supersede([domain], 'retire');
    this.push({ kind: 'retirement', id: this.nextId(), domain, why, hasBegun: false });
  }

  push(...items: State['queue']): void {
    this.state = { ...this.state, queue: [...this.state.queue, ...items] };
  }

  nextId(): number {
    this.state = { ...this.state, lastId: this.state.lastId + 1 };
    return this.state.lastId;
  }

  /** It is over, for whatever reason; what the threads have of it is cleared away by itself. */
  remove(id: number): void {
    this.state = { ...this.state, queue: this.state.queue.filter((item) => item.id !== id) };
  }

  /** A newer version came, its bundle is gone, or nobody wants it any more. */
  abandon(rollout: Rollout): void {
    this.remove(rollout.id);
    for (const { domain, hash } of rollout.members) this.#forgetUnfinished(domain, hash);
  }

  /** What is on its way for these domains is abandoned for `coming`; versions of other domains cannot take over without it. */
  supersede(domains: readonly string[], cause: Cause | 'retire', coming: readonly string[] = []): void {
    for (const older of rolloutsOf(this.state)) {
      // Going back from what did harm is short, and what comes next begins from there; what served before a restart must
      // serve again until what was dropped since then does.
      const isNews = cause === 'drop' || cause === 'deploy';
      const goesOn =
        older.cause === 'boot' || (older.cause === 'quarantine' && older.isBeside)
          ? isNews
          : older.cause === 'quarantine';
      if (goesOn || older.stage === 'flipped') continue;
      if (!domainsOf(older).some((domain) => domains.includes(domain))) continue;
      const words = `Something newer was asked of ${domains.join(', ')}, and they were to take over together.`;
      const findings = [makeFinding('BEDS_ADMISSION_SUPERSEDED', words)];
      for (const member of older.members) {
        if (!domains.includes(member.domain)) this.noteMember(older, member, 'rejected', { findings });
        else if (isNews) this.#saySuperseded(older, member, coming);
      }
      this.abandon(older);
      if (BY_OPERATOR.has(cause)) this.settleEnded(older, domains, coming);
      fallBack(this, { ...older, members: older.members.filter(({ domain }) => !domains.includes(domain)) }, false);
    }
  }

  /** A canary, or what waits for somebody, gives way to a version that is lower. */
  #saySuperseded(older: Rollout, member: Member, coming: readonly string[]): void {
    const { domain, version, hash } = member;
    const next = coming.map((each) => this.versionOf(domain, each)).find((each) => each !== '');
    if (next === undefined || coming.includes(hash) || compareVersions(next, version) >= 0) return;
    const words = `${domain} ${version}, which is higher, was on its way when ${next} came, and gave way to it.`;
    const findings = [makeFinding('BEDS_ADMISSION_SUPERSEDED', words)];
    this.noteMember(older, member, 'superseded', { findings });
  }

  /** Serves the newest version that served before and is not quarantined; where there is none, callers get BEDS_REQUEST_WITHHELD. */
  goBack(domain: string, cause: Cause, tried: readonly string[] = []): void {
    const isAllowed = (hash: string): boolean => !isQuarantined(this.state, domain, hash);
    const hashes = this.domain(domain).served.map(({ hash }) => hash);
    const sound = hashes.filter((hash) => isAllowed(hash) && !tried.includes(hash));
    if (sound.length === 0) {
      // Refused is not harmful: such a domain is unknown, as it was before.
      const isHarmful = isServedFromQuarantine(this.state, domain) || !hashes.some(isAllowed);
      // What is withheld already is not withheld once more.
      if (isHarmful && this.domain(domain).withheld === undefined) this.patch(domain, { isToBeWithheld: true });
      return;
    }
    // What did harm is out of service: nothing must be quick any more, and what is away is waited for.
    const isWithheld = cause === 'quarantine' && this.domain(domain).withheld !== undefined;
    if (cause === 'boot' || isWithheld) {
      // n.b. what was to take the place of what is out of service now is not wanted any more.
      const isComing = rolloutsOf(this.state).some(
        (each) => each.cause === cause && each.isBeside && domainsOf(each).includes(domain),
      );
      if (!isComing) this.push({ ...this.#staged(domain, sound, { cause, tried }), isBeside: true });
      return;
    }
    const pending = pendingOf(this.state, domain);
    const isOrdered = pending !== undefined && ORDERED.has(pending.cause);
    const resumed = pending !== undefined && isOrdered && pending.stage !== 'flipped' ? pending : undefined;
    // What was on its way when the version before it did harm begins anew after that.
    if (resumed !== undefined) this.abandon(resumed);
    this.supersede(
      [domain],
      cause,
      resumed?.members.map(({ hash }) => hash),
    );
    this.push(this.#staged(domain, sound, { cause, tried }));
    if (resumed !== undefined) this.push(this.#anew(resumed));
  }

  /** A rollout begins anew, in its place. */
  restart(rollout: Rollout): void {
    const { queue } = this.state;
    const anew = this.#anew(rollout);
    for (const { domain, hash } of rollout.members) this.#forgetUnfinished(domain, hash);
    this.state = { ...this.state, queue: queue.map((item) => (item.id === rollout.id ? anew : item)) };
  }

  #anew({ cause, isBeside, plan, completeAt, members, alternatives, tried }: Rollout): Rollout {
    const request = { id: this.nextId(), cause, plan, completeAt, versions: members, alternatives, tried };
    return { ...newRollout(request), isBeside };
  }

  #staged(
    domain: string,
    [hash = '', ...alternatives]: readonly string[],
    { cause, tried }: { readonly cause: Cause; readonly tried: readonly string[] },
  ): Rollout {
    return newRollout({
      id: this.nextId(),
      cause,
      plan: this.#planOf(cause),
      completeAt: this.at,
      versions: [{ domain, version: this.versionOf(domain, hash), hash }],
      alternatives,
      tried,
    });
  }

  versionOf(domain: string, hash: string): string {
    const { served, versions } = this.domain(domain);
    return served.find((each) => each.hash === hash)?.version ?? versions[hash]?.version ?? '';
  }

  #planOf(cause: Cause): RolloutPlan {
    const isNew = cause === 'drop' || cause === 'deploy';
    return makePlan(this.rules.settings, isNew ? {} : { canaryPercent: 0, shadowPercent: 0 });
  }

  /** The version is on its way no more; that one was refused is still of interest. */
  #forgetUnfinished(name: string, hash: string): void {
    const { shown } = this.domain(name);
    const { candidate } = shown;
    if (candidate?.hash !== hash || REFUSED.has(candidate.state)) return;
    this.patch(name, { shown: { ...shown, candidate: undefined } });
  }

  // What serves.

  /** A version took over; it is what the next start serves. */
  confirm(name: string, { hash, version }: { hash: string; version: string }, origin: Origin | undefined): void {
    const { served, origin: before } = this.domain(name);
    const [newest] = served;
    const others = served.filter((each) => each.hash !== hash);
    const at = newest?.hash === hash ? newest.at : new Date(this.at).toISOString();
    const isNewest = newest?.hash === hash;
    this.patch(name, {
      served: isNewest ? served : [{ hash, version, at }, ...others].slice(0, this.rules.keepVersions),
      origin: origin ?? before,
      isServed: true,
    });
  }

  /** What lies in the plugin directory by now is done with, and need not be decided again after a restart. */
  settleDomain(ofDomain: string, active?: string): void {
    this.settle(({ domain, hash }) => domain === ofDomain && (hash === active || !isOnItsWay(this.state, hash)));
  }

  /** An operator decided about these domains by ending this: a restart must not begin what lies in the plugin directory, but for `coming`. */
  settleEnded({ members }: Rollout, domains: readonly string[], coming: readonly string[] = []): void {
    this.settle(({ domain, hash }) => {
      if (coming.includes(hash)) return false;
      const isMember = members.some((member) => member.hash === hash);
      return isMember || (domains.includes(domain) && !isOnItsWay(this.state, hash));
    });
  }

  settle(which: (entry: State['entries'][string]) => boolean): void {
    const { entries, settled } = this.state;
    const news = Object.entries(entries).filter(([name, entry]) => which(entry) && settled[name] !== entry.hash);
    if (news.length === 0) return;
    const added = Object.fromEntries(news.map(([name, { hash }]) => [name, hash]));
    this.state = { ...this.state, settled: { ...settled, ...added } };
  }

  /** A generation answers no new requests; the threads that have it finish those they took. */
  drain(id: number, threads: readonly string[], why?: Finding): void {
    const generation = generationOf(this.state, id);
    if (generation === undefined) return;
    const { domain, version, hash } = generation;
    const findings = why === undefined ? {} : { findings: [why] };
    const { live, trial } = this.domain(domain);
    this.patch(domain, { live: live === id ? undefined : live, trial: trial === id ? undefined : trial });
    this.patchGeneration(id, { state: 'draining', threads, left: NO_LEFTOVERS, why });
    this.note({ domain, version, hash, state: 'draining', generation: id, ...findings });
    // Every thread is being replaced: none has it.
    if (threads.length === 0) this.retireGeneration(id);
  }

  retireGeneration(id: number): void {
    const generation = generationOf(this.state, id);
    if (generation === undefined) return;
    const { domain, version, hash, left, why } = generation;
    this.deleteGeneration(id);
    this.note({
      domain,
      version,
      hash,
      state: 'retired',
      generation: id,
      ...(isNothing(left) ? {} : { left }),
      ...(why === undefined ? {} : { findings: [why] }),
    });
  }

  // Harm.

  /** Counts a harm that these bytes did. Returns the finding that quarantines them when it was one too many. */
  strike(
    name: string,
    bytes: { readonly hash: string; readonly version: string },
    reason: string,
  ): Finding | undefined {
    const { maxStrikes, strikePeriodMs } = this.rules.settings;
    const known = this.domain(name).versions[bytes.hash];
    const before = known === undefined ? NO_STRIKES : strikesOf(known, this.at, strikePeriodMs);
    const [firstLine = ''] = reason.split('\n');
    const strikes = [...before, { atMs: this.at, reason: firstLine.slice(0, MAX_REASON_LENGTH) }];
    this.patchVersion(name, bytes, { strikes });
    this.forgetVersions(name);
    if (strikes.length < maxStrikes || known?.quarantine !== undefined) return undefined;
    const reasons = [...new Set(strikes.map((one) => one.reason))].join('; ');
    return makeFinding('BEDS_ROLLOUT_STRIKES', `It did harm ${String(strikes.length)} times: ${reasons}`);
  }

  quarantine(name: string, bytes: { readonly hash: string; readonly version: string }, finding: Finding): void {
    const { code, message } = finding;
    const quarantine = { since: new Date(this.at).toISOString(), code, message };
    this.patchVersion(name, bytes, { quarantine });
    const all = Object.entries(this.state.domains).flatMap(([domain, { versions }]) =>
      Object.entries(versions).flatMap(([hash, known]) =>
        known.quarantine === undefined ? [] : [{ domain, hash, version: known.version, since: known.quarantine.since }],
      ),
    );
    const oldest = all
      .sort((a, b) => a.since.localeCompare(b.since))
      .slice(0, Math.max(0, all.length - MAX_QUARANTINED));
    for (const { domain, ...old } of oldest) {
      this.patchVersion(domain, old, { quarantine: undefined, strikes: NO_STRIKES });
    }
  }
}

/** Why these bytes are refused; undefined: they are not. */
function banOf({ domain, hash }: Pick<Member, 'domain' | 'hash'>, state: State): Finding | undefined {
  const quarantine = domainOf(state, domain).versions[hash]?.quarantine;
  if (quarantine === undefined) return undefined;
  const { since, code, message } = quarantine;
  const words = `These bytes are in quarantine since ${since} (${code}): ${message}`;
  return makeFinding('BEDS_ROLLOUT_QUARANTINED', words);
}

function isNothingKnown(domain: Domain): boolean {
  const { served, versions, paused, live, trial, withheld, isToBeWithheld, burst, shown } = domain;
  const lists = [served, Object.keys(versions), shown.left];
  const values = [live, trial, withheld, burst, shown.live, shown.candidate, shown.superseded];
  const isIdle = !paused && !isToBeWithheld && values.every((value) => value === undefined);
  return isIdle && lists.every(({ length }) => length === 0);
}

/** What all nodes shall run counts for more than what a run before has left, and than what lies in the plugin directory of a node that knew nothing. */
function desired(step: Step, { versions }: Extract<DeployEvent, { kind: 'desired' }>): void {
  for (const { domain, version, hash, state } of versions) {
    if (!step.rules.serves(domain)) continue;
    const { served } = step.domain(domain);
    if (served.length === 0) step.state = { ...step.state, given: [...step.state.given, domain] };
    if (state === 'retired') {
      if (served.length > 0) step.patch(domain, { isServed: false });
    } else if (!isQuarantined(step.state, domain, hash)) {
      const others = served.filter((each) => each.hash !== hash);
      const newest = { hash, version, at: new Date(step.at).toISOString() };
      step.patch(domain, {
        served: [newest, ...others].slice(0, step.rules.keepVersions),
        ...{ isServed: true, origin: 'deploy', paused: state === 'paused' },
      });
    }
  }
}

// What lies in the plugin directory.

/** Between two files of one copy. */
const NEXT_FILE_MS = 25;
/** File systems stamp changes with the tick of a clock, which lags behind. */
const TICK_MS = 10;
/** A file that is older than its predecessor's arrival by more was moved here: its age says nothing. */
const MOVED_MS = 2_000;

/** What a look found together is decided together. */
function looked(step: Step, { changes, isWhole }: Extract<DeployEvent, { kind: 'looked' }>): void {
  const found = new Map<string, FoundVersion[]>();
  for (const change of changes) {
    switch (change.kind) {
      case 'dropped': {
        const { domain } = change;
        const version = dropped(step, change);
        if (version !== undefined) found.set(domain, [...(found.get(domain) ?? []), version]);
        break;
      }
      case 'removed':
        removed(step, change, found.has(change.domain));
        break;
      case 'malformed': {
        const { domain, version, hash, findings } = change;
        step.note({ domain, version, hash, state: 'rejected', cause: 'drop', findings });
        break;
      }
      case 'withdrawn':
        step.forgetCandidate(change.domain);
    }
  }
  for (const [domain, versions] of found) if (step.rules.serves(domain)) choose(step, domain, versions);
  if (isWhole && !step.state.hasSeenDirectory) seenWhole(step);
}

/** What lies there now is all that there is, in this run for the first time. */
function seenWhole(step: Step): void {
  step.state = { ...step.state, hasSeenDirectory: true, settledBytes: [] };
  const { entries } = step.state;
  // All of them gone at once is an accident, such as a volume that is not mounted: they must not be taken for new ones
  // when they are back.
  if (Object.keys(entries).length > 0) forgetSettled(step, (name) => !Object.hasOwn(entries, name));
  const inDirectory = new Set(Object.values(entries).map(({ domain }) => domain));
  for (const [domain, { isServed, origin }] of Object.entries(step.state.domains)) {
    if (!isServed || origin !== 'directory' || !step.rules.serves(domain) || inDirectory.has(domain)) continue;
    const message = `${domain} serves from the stage; its bundle is no longer in the plugin directory`;
    step.remarks.push({ level: 'warn', domain, message, fields: {} });
  }
}

/** Undefined: nothing is to be decided about it. */
function dropped(
  step: Step,
  { domain, kind: _, ...found }: { readonly kind: 'dropped' } & Dropped,
): FoundVersion | undefined {
  const { entry, hash, version } = found;
  const { served, isServed } = step.domain(domain);
  const isGiven = !step.state.hasSeenDirectory && step.state.given.includes(domain);
  if (isGiven || step.state.settledBytes.includes(hash)) {
    step.state = { ...step.state, settled: { ...step.state.settled, [entry]: hash } };
  }
  const isSettled = own(step.state.settled, entry) === hash;
  const isConfirmed = isServed && served[0]?.hash === hash;
  deleteEntry(step, entry);
  step.state = { ...step.state, entries: { ...step.state.entries, [entry]: { domain, version, hash } } };
  // It lay there already when the host was stopped, and something was decided after it: that counts.
  const isNew = !isSettled || isConfirmed;
  step.patchVersion(domain, { hash, version }, { wasSeen: true, ...(isNew ? { isRefused: false } : {}) });
  step.forgetVersions(domain);
  const isThere = step.isServing(domain, hash) || step.isOnItsWay(hash);
  return !isNew || (isThere && isSettled) ? undefined : { ...found, isThere };
}

/** `isReplaced`: the same look found another version of its domain. */
function removed(step: Step, { entry, domain, hash, others }: Removed, isReplaced: boolean): void {
  deleteEntry(step, entry);
  forgetSettled(step, (name) => name === entry);
  const hashOf = (name: string): string | undefined => own(step.state.entries, name)?.hash;
  // Renamed, or there twice: the same bytes are still in the directory.
  if (others.some((other) => hashOf(other) === hash)) return;
  for (const item of step.state.queue) {
    if (item.kind === 'rollout' && item.cause === 'drop' && item.stage !== 'flipped') {
      if (!item.members.some((member) => member.hash === hash)) continue;
      step.abandon(item);
      fallBack(step, item, false);
    }
  }
  const live = step.live(domain)?.hash;
  if (live !== hash) {
    step.forgetCandidate(domain);
    // The next of those that were dropped with it is tried, if it is an advance.
    if (step.domain(domain).burst?.decidedAt === undefined) tryNext(step, domain, hash);
  }
  // What an operator deployed does not hang on the directory.
  if (step.domain(domain).origin === 'deploy') return;
  const remaining = others.flatMap((other) => hashOf(other) ?? []);
  // A version that was refused does not serve instead; nor does it keep a domain without any bundle alive.
  const fallback = highestOf(step, others);
  if (remaining.length === 0) withoutBundle(step, domain, entry);
  // What serves from the stage does not hang on the bundles that lie there.
  else if (isFromBefore(step, domain)) return;
  // What took its place in the same look is begun by itself.
  else if (isReplaced) return;
  else if (fallback !== undefined && !step.isOnItsWay(fallback) && !(live !== undefined && remaining.includes(live)))
    step.restore(domain, [fallback], 'restore');
}

/** The next of those that were dropped together with `hash`, where that is the best of them, is begun if it is an advance. */
function tryNext(step: Step, domain: string, hash: string): void {
  const { burst, versions } = step.domain(domain);
  if (burst?.best.hash !== hash) return;
  const runnersUp = burst.members
    .filter((member) => member.hash !== hash)
    .toSorted((a, b) => compareVersions(b.version, a.version));
  const next = runnersUp.find((each) => step.isInDirectory(each.hash) && versions[each.hash]?.isRefused !== true);
  const live = step.live(domain);
  if (next === undefined || step.isOnItsWay(next.hash) || next.hash === live?.hash) return;
  if (live !== undefined && compareVersions(next.version, live.version) <= 0) return;
  addToBurst(step, domain, next, runnersUp);
  step.restore(domain, [next.hash], 'drop');
}

/** Of several versions that were dropped together the highest is begun; what it supersedes is said and kept. */
function choose(step: Step, domain: string, found: readonly FoundVersion[]): void {
  // Of two that are the same the later one.
  const ranked = found.toReversed().sort((a, b) => compareVersions(b.version, a.version));
  const [best] = ranked;
  if (best === undefined) return;
  const others = ranked.filter(({ hash }) => hash !== best.hash);
  const former = formerOf(step, domain, best);
  if (former !== undefined && compareVersions(best.version, former.version) < 0) {
    for (const each of [best, ...others]) supersede(step, domain, { each, by: former });
    addToBurst(step, domain, former, ranked);
    return;
  }
  const isOvertaken = former !== undefined && step.domain(domain).burst?.decidedAt === undefined;
  addToBurst(step, domain, best, others);
  for (const each of others) supersede(step, domain, { each, by: best });
  if (isOvertaken) sayHigher(step, domain, { each: former, by: best });
  if (best.isThere) return;
  const { version, hash, completeAt } = best;
  step.begin({ versions: [{ domain, version, hash }], cause: 'drop', completeAt });
}

/** What was dropped together with it before, as long as it lies there under another name and was not refused. */
function formerOf(step: Step, domain: string, dropped: DroppedVersion): DroppedVersion | undefined {
  const { burst, versions } = step.domain(domain);
  if (burst === undefined || !belongs(step, burst, dropped)) return undefined;
  const { best } = burst;
  if (best.entry === dropped.entry || best.hash === dropped.hash) return undefined;
  const isThere = own(step.state.entries, best.entry)?.hash === best.hash;
  return isThere && versions[best.hash]?.isRefused !== true ? best : undefined;
}

/**
 * Copying tools put one file after the other into the directory: what somebody began to put there before the version
 * before it took over, or right after the last one, belongs to it.
 */
function belongs(
  step: Step,
  { best, decidedAt, changedAt }: Burst,
  { begunAt, bornAt }: Pick<DroppedVersion, 'begunAt' | 'bornAt'>,
): boolean {
  if (decidedAt === undefined) return step.isOnItsWay(best.hash);
  const from = bornAt >= changedAt - MOVED_MS ? Math.min(bornAt, begunAt) : begunAt;
  return from <= Math.max(decidedAt - TICK_MS, changedAt + NEXT_FILE_MS);
}

/** Members come to `best`, which takes the place of the one before. */
function addToBurst(
  step: Step,
  domain: string,
  ...[best, members]: [best: DroppedVersion, members: readonly DroppedVersion[]]
): void {
  const { burst } = step.domain(domain);
  const before = burst !== undefined && belongs(step, burst, best) ? burst : undefined;
  const all = [...(before?.members ?? []), ...members, best].map(
    ({ entry, hash, version, begunAt, bornAt, changedAt }) => ({ entry, hash, version, begunAt, bornAt, changedAt }),
  );
  step.patch(domain, {
    burst: {
      best,
      decidedAt: before?.best.hash === best.hash ? before.decidedAt : undefined,
      changedAt: Math.max(...all.map(({ changedAt }) => changedAt)),
      members: [...new Map(all.map((member) => [member.hash, member])).values()],
    },
  });
}

/** It is kept in the stage: where the other one goes, it may serve. */
function supersede(
  step: Step,
  domain: string,
  pair: { readonly each: FoundVersion; readonly by: DroppedVersion },
): void {
  const { hash } = pair.each;
  step.state = { ...step.state, toStage: [...step.state.toStage.filter((other) => other !== hash), hash] };
  sayHigher(step, domain, pair);
  // The other one was decided without it, and a restart must not take it for a new one.
  if (step.domain(domain).burst?.decidedAt !== undefined) step.settle((entry) => entry.hash === hash);
}

function sayHigher(
  step: Step,
  domain: string,
  { each: { entry, version, hash }, by }: { readonly each: DroppedVersion; readonly by: DroppedVersion },
): void {
  const isEqual = compareVersions(version, by.version) === 0;
  const both =
    version === by.version ? `both ${domain} ${version}, with other bytes` : `versions of ${domain} of equal rank`;
  const words = isEqual
    ? `${entry} and ${by.entry} were dropped together and are ${both}; ${by.entry} came last.`
    : `${domain} ${version} (${entry}) was dropped together with ${by.version} (${by.entry}), which is higher.`;
  const findings = [makeFinding('BEDS_ADMISSION_SUPERSEDED', words)];
  step.note({ domain, version, hash, state: 'superseded', cause: 'drop', findings });
}

/** The last bundle of a domain is gone. What was never in the directory does not end with it. */
function withoutBundle(step: Step, domain: string, entry: string): void {
  const words = `${entry}, the last bundle of ${domain}, was removed from the plugin directory.`;
  if (!isFromBefore(step, domain)) step.retire(domain, makeFinding('BEDS_ROLLOUT_REMOVED', words));
  else if (step.live(domain) === undefined) step.goBack(domain, 'boot');
}

/** What serves, or is to serve again, was not in the directory since the host started. */
function isFromBefore(step: Step, name: string): boolean {
  const { served, isServed, versions } = step.domain(name);
  const current = step.live(name)?.hash ?? (isServed ? served[0]?.hash : undefined);
  return current !== undefined && versions[current]?.wasSeen !== true;
}

/** Of those that were not refused, the highest version; of two that are the same the later name. */
function highestOf(step: Step, names: readonly string[]): string | undefined {
  const candidates = names
    .flatMap((name) => own(step.state.entries, name) ?? [])
    .filter(({ domain, hash }) => step.domain(domain).versions[hash]?.isRefused !== true);
  return candidates.reduce<(typeof candidates)[number] | undefined>(
    (best, entry) => (best !== undefined && compareVersions(best.version, entry.version) > 0 ? best : entry),
    undefined,
  )?.hash;
}

/** Other bytes under its name, or none: that it was refused counts no longer where it is nowhere else. */
function deleteEntry(step: Step, name: string): void {
  const entry = own(step.state.entries, name);
  if (entry === undefined) return;
  const { [name]: _, ...entries } = step.state.entries;
  step.state = { ...step.state, entries };
  if (step.isInDirectory(entry.hash)) return;
  step.patchVersion(entry.domain, entry, { isRefused: false });
  step.forgetVersions(entry.domain);
}

function forgetSettled(step: Step, which: (name: string) => boolean): void {
  const { settled } = step.state;
  const kept = Object.entries(settled).filter(([name]) => !which(name));
  if (kept.length < Object.keys(settled).length) step.state = { ...step.state, settled: Object.fromEntries(kept) };
}

/** n.b. an entry may be named like what every object has. */
function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

/** Attributes the end of a thread to a version, by its last report or by the code that was entered last. */
export function culpritOf(
  { generations }: State,
  { reason, generation }: Omit<ThreadLoss, 'thread'>,
): Generation | undefined {
  const known = Object.values(generations);
  // Two generations of one version have the same name in a stack: the one that was entered last, then.
  const named = known.filter((each) => reason.includes(generationFile(each)));
  const inStack = named.find(({ id }) => id === generation) ?? named.find(({ state }) => state === 'live') ?? named[0];
  if (inStack !== undefined || !BY_LAST_ENTERED.test(reason)) return inStack;
  return known.find(({ id }) => id === generation);
}
