import type { Finding } from '../template/contract.js';
import { isNothing, NO_LEFTOVERS } from '../template/leftovers.js';
import { makeFinding } from '../template/make-finding.js';
import type { VersionView } from '../admin/views.js';
import type { Config } from '../config/schema.js';
import { type Cause, makePlan, type RolloutPlan } from './plan.js';
import {
  type Domain,
  domainOf,
  domainsOf,
  type Generation,
  generationOf,
  hashesInUse,
  isHarmed,
  isInDirectory,
  isKnownForHarm,
  isOnItsWay,
  isQuarantined,
  type KnownVersion,
  type Member,
  newRollout,
  NO_STRIKES,
  type Origin,
  pendingOf,
  type Rollout,
  type RolloutRequest,
  rolloutsOf,
  type State,
  strikesOf,
  type Transition,
} from './state.js';

/** What decisions go by that does not change while a host runs. */
export interface Rules {
  readonly settings: Config['rollout'];
  /** Versions of a domain that one may go back to. */
  readonly keepVersions: number;
  /** Whether a node of this role serves a domain. */
  readonly serves: (domain: string) => boolean;
}

/** Something that a person should know and that changes no version's state. */
export interface Remark {
  readonly level: 'warn' | 'fault';
  readonly domain: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
}

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
export class Step {
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
    const kept = Object.entries(versions).filter(([hash, known]) => inUse.has(hash) || isKnownForHarm(known));
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
    const versions = request.versions.filter(({ domain }) => this.rules.serves(domain));
    if (versions.length === 0) return;
    const domains = versions.map(({ domain }) => domain);
    this.supersede(domains, request.cause);
    const plan = request.plan ?? this.#planOf(request.cause);
    this.push(newRollout({ ...request, versions, plan, id: this.nextId() }));
  }

  /** Sends the first of these that the stage still has whole on its way. */
  restore(domain: string, hashes: readonly string[], cause: Cause): void {
    this.supersede([domain], cause);
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

  /** What is on its way for these domains is abandoned; versions of other domains cannot take over without it. */
  supersede(domains: readonly string[], cause: Cause | 'retire'): void {
    for (const older of rolloutsOf(this.state)) {
      // Going back from what did harm is short, and what comes next begins from there; what served before a restart must
      // serve again until what was dropped since then does.
      const goesOn = older.cause === 'quarantine' || (older.cause === 'boot' && cause === 'drop');
      if (goesOn || older.stage === 'flipped') continue;
      if (!domainsOf(older).some((domain) => domains.includes(domain))) continue;
      const words = `Something newer was asked of ${domains.join(', ')}, and they were to take over together.`;
      const findings = [makeFinding('BEDS_ADMISSION_SUPERSEDED', words)];
      for (const member of older.members) {
        if (!domains.includes(member.domain)) this.noteMember(older, member, 'rejected', { findings });
      }
      this.abandon(older);
    }
  }

  /** Serves the newest version that served before and is not quarantined; where there is none, callers are told to come back. */
  goBack(domain: string, cause: Cause, tried: readonly string[] = []): void {
    const isAllowed = (hash: string): boolean => !isQuarantined(this.state, domain, hash);
    const hashes = this.domain(domain).served.map(({ hash }) => hash);
    const sound = hashes.filter((hash) => isAllowed(hash) && !tried.includes(hash));
    if (sound.length === 0) {
      // Refused is not harmful: such a domain is unknown, as it was before.
      const isHarmful = isHarmed(this.state, domain) || !hashes.some(isAllowed);
      if (isHarmful) this.patch(domain, { isToBeWithheld: true });
      return;
    }
    const pending = cause === 'boot' ? undefined : pendingOf(this.state, domain);
    const isNew = pending?.cause === 'drop' || pending?.cause === 'deploy';
    const resumed = pending !== undefined && isNew && pending.stage !== 'flipped' ? pending : undefined;
    // What was on its way when the version before it did harm begins anew after that.
    if (resumed !== undefined) this.abandon(resumed);
    this.supersede([domain], cause);
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

  #anew({ cause, plan, completeAt, members, alternatives, tried }: Rollout): Rollout {
    return newRollout({
      id: this.nextId(),
      cause,
      plan,
      completeAt,
      versions: members,
      alternatives,
      tried,
    });
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
    for (const { domain, ...old } of oldest) this.patchVersion(domain, old, { quarantine: undefined });
  }
}

/** Why these bytes are refused; undefined: they are not. */
export function banOf({ domain, hash }: Pick<Member, 'domain' | 'hash'>, state: State): Finding | undefined {
  const quarantine = domainOf(state, domain).versions[hash]?.quarantine;
  if (quarantine === undefined) return undefined;
  const { since, code, message } = quarantine;
  const words = `These bytes are in quarantine since ${since} (${code}): ${message}`;
  return makeFinding('BEDS_ROLLOUT_QUARANTINED', words);
}

function isNothingKnown(domain: Domain): boolean {
  const { served, versions, paused, live, trial, withheld, isToBeWithheld, found, burst, shown } = domain;
  const lists = [served, Object.keys(versions), found, shown.left];
  const values = [live, trial, withheld, burst, shown.live, shown.candidate, shown.superseded];
  const isIdle = !paused && !isToBeWithheld && values.every((value) => value === undefined);
  return isIdle && lists.every(({ length }) => length === 0);
}
