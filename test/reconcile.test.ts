import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { configSchema } from '../host/config/schema.js';
import type { HistoryEntry } from '../host/deploy/history.js';
import {
  fromDisk,
  fromHistory,
  isSameOnDisk,
  parseStateOnDisk,
  type StateOnDisk,
  toDisk,
} from '../host/deploy/domains.js';
import { isBlockedBy } from '../host/deploy/effects.js';
import {
  commandsOf,
  domainOf,
  generationOf,
  isServedFromQuarantine,
  liveOf,
  makePlan,
  pendingOf,
  reconcile,
  rolloutsOf,
} from '../host/deploy/reconcile.js';
import {
  type Command,
  type DeployEvent,
  type DirectoryChange,
  EMPTY_STATE,
  type Rollout,
  type State,
  type Transition,
} from '../host/deploy/state.js';

const RUNS = 1_000;
/** The same sequences in every run: `BEDS_TEST_SEED=7 npm test -- reconcile` tries others. */
const SEED = Number(process.env['BEDS_TEST_SEED'] ?? 20_261_130);
const DOMAINS = ['notes', 'users', 'orders'] as const;
const THREADS = ['default-1', 'default-2'];
/** More than any command has steps. */
const REST_TURNS = 12;
/** Versions are dropped or ordered this far apart, so that none belongs to another one's copy. */
const TICK_MS = 10_000;

const rules = {
  settings: { ...configSchema.parse({}).rollout, maxStrikes: 1 },
  keepVersions: 3,
  serves: (): boolean => true,
};

/** What is wrong with a version, as only its admission or its preparation shows. */
type Kind = 'good' | 'refused' | 'waits' | 'unprepared';

type Action =
  | {
      readonly does: 'drop';
      readonly domain: number;
      readonly kind: Kind;
      readonly isLooked: boolean;
      readonly again: number;
    }
  | {
      readonly does: 'deploy';
      readonly domains: readonly number[];
      readonly kind: Kind;
      readonly again: number;
      readonly canaryPercent: number;
      readonly hold: boolean;
    }
  | {
      readonly does: 'rollback' | 'promote' | 'pause' | 'retire' | 'lift' | 'remove' | 'refit';
      readonly domain: number;
    }
  | { readonly does: 'crash'; readonly generation: number }
  | { readonly does: 'stray'; readonly domain: number }
  | { readonly does: 'work'; readonly which: number; readonly isHarmful: boolean }
  | { readonly does: 'drain'; readonly which: number }
  /** What can be done soon is done. */
  | { readonly does: 'rest' }
  | {
      readonly does:
        'restart' | 'restart-damaged' | 'deliver' | 'undeliver' | 'store-away' | 'rabbit-away' | 'away-back';
    };

interface Bytes {
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
}

interface Running {
  readonly command: Command;
  step: number;
  isAborted: boolean;
}

/** A host whose every part is played by the test: bytes, threads, databases and RabbitMQ; nothing takes any time. */
class World {
  state: State = EMPTY_STATE;
  /** What is to be done now. */
  commands: readonly Command[] = [];
  at = 1_000_000;
  readonly running = new Map<string, Running>();
  readonly kinds = new Map<string, Kind>();
  readonly staged = new Set<string>();
  /** Domains that bytes call. */
  readonly peers = new Map<string, readonly string[]>();
  /** Bytes that the host has in its memory only. */
  readonly kept = new Set<string>();
  /** Generations that answered anybody, and did not end yet. */
  readonly routed = new Set<number>();
  /** What must serve in the end, where that is certain. */
  readonly wanted = new Map<string, string>();
  isDelivered = true;
  isStoreAway = false;
  isRabbitAway = false;
  readonly #made: Bytes[] = [];
  readonly #history: HistoryEntry[] = [];
  /** What the next look at the plugin directory will find. */
  readonly #changes: DirectoryChange[] = [];
  #count = 0;

  /** Of the version that took over last. */
  get lastCause(): string | undefined {
    return this.#history.findLast(({ state }) => state === 'active')?.cause;
  }

  dispatch(event: DeployEvent): void {
    const before = this.state;
    this.at += 1;
    const { state, commands, transitions } = reconcile(before, event, { rules, at: this.at });
    this.state = state;
    this.commands = commands;
    this.#history.push(...transitions.map((each) => ({ ...each, at: new Date(this.at).toISOString() })));
    this.#check(before, event, transitions);
    this.#sync();
  }

  act(action: Action): void {
    if ('domain' in action) this.#actOn(nameOf(action.domain), action);
    else if (action.does === 'deploy') this.#deploy(action);
    else if (action.does === 'crash') this.#crash(action.generation);
    else if (action.does === 'drain') this.#drain(action.which);
    else if (action.does === 'restart') this.#restart(toDisk(this.state));
    else if (action.does === 'rest') this.#rest();
    else if (action.does === 'restart-damaged') this.#restart(fromHistory(this.#history, rules.keepVersions));
    else if (action.does === 'work') {
      const all = [...this.running.values()];
      const chosen = all[action.which % Math.max(1, all.length)];
      if (chosen !== undefined) this.#work(chosen, action.isHarmful);
    } else if (action.does === 'deliver' || action.does === 'undeliver') this.isDelivered = action.does === 'deliver';
    else {
      this.isRabbitAway = action.does === 'rabbit-away';
      this.isStoreAway = action.does === 'store-away';
    }
  }

  #actOn(name: string, action: Extract<Action, { readonly domain: number }>): void {
    const live = liveOf(this.state, name);
    switch (action.does) {
      case 'drop':
        return this.#drop(name, action);
      case 'rollback':
        return this.#rollback(name);
      case 'promote':
      case 'pause':
        return this.dispatch({ kind: action.does, domain: name });
      case 'retire':
        this.#forget(name);
        return this.dispatch({ kind: 'retire', domain: name });
      case 'lift':
        this.#forget(name);
        return this.dispatch({ kind: 'lift', name });
      case 'remove':
        return this.#remove(name);
      case 'refit':
        if (live !== undefined) this.dispatch({ kind: 'schema', domain: name, hash: live.hash, change: 'refit' });
        return;
      case 'stray':
        this.#forget(name);
        if (live !== undefined) this.dispatch({ kind: 'strayed', generation: live.id, strays: 500, requests: 500 });
    }
  }

  #rest(): void {
    for (let turns = 0; turns < REST_TURNS; turns += 1) {
      for (const running of [...this.running.values()]) if (!this.#isHeld(running)) this.#work(running, false);
    }
  }

  #crash(which: number): void {
    const ids = Object.keys(this.state.generations).map(Number);
    const generation = ids[which % Math.max(1, ids.length)] ?? 0;
    this.#forget(generationOf(this.state, generation)?.domain ?? '');
    this.dispatch({ kind: 'thread-lost', thread: 'default-1', reason: 'exit code 1', generation });
  }

  #rollback(name: string): void {
    const pending = pendingOf(this.state, name);
    const live = liveOf(this.state, name)?.hash;
    const target = domainOf(this.state, name).served.find(({ hash }) => hash !== live)?.hash;
    const finding = { code: 'BEDS_ROLLOUT_ROLLED_BACK', message: '' };
    this.#forget(name);
    if (pending !== undefined) this.dispatch({ kind: 'end', rollout: pending.id, finding, orderedFor: name });
    else if (target !== undefined) {
      this.dispatch({ kind: 'restore', domain: name, hash: target });
      if (domainOf(this.state, name).versions[target]?.quarantine === undefined) this.wanted.set(name, target);
    }
  }

  /** Everything that can end, ends well. */
  settle(): void {
    this.isDelivered = true;
    this.isStoreAway = false;
    this.isRabbitAway = false;
    this.#look();
    for (
      let turns = 0;
      this.running.size > 0 && [...this.running.values()].some((each) => !this.#isHeld(each));
      turns += 1
    ) {
      assert.ok(turns < 2_000, `it does not come to rest: ${[...this.running.keys()].join(', ')}`);
      for (const running of [...this.running.values()]) if (!this.#isHeld(running)) this.#work(running, false);
    }
    while (this.#drain(0));
  }

  /** What must be true when nothing moves any more. */
  checkRest(): void {
    const rollouts = rolloutsOf(this.state);
    for (const { id, stage, members, isHeld } of rollouts) {
      const isPaused = members.some(({ domain }) => domainOf(this.state, domain).paused);
      const isQueued = stage === 'queued' || (stage === 'trial' && isHeld);
      assert.ok(isPaused || isQueued, `rollout ${String(id)} stands still at ${stage}`);
    }
    for (const { id, state, rollout } of Object.values(this.state.generations)) {
      const isOwned = rollouts.some((each) => each.id === rollout);
      assert.ok(state === 'live' || isOwned, `generation ${String(id)} is ${state} and nobody's`);
    }
    for (const name of DOMAINS) {
      const { held, live } = domainOf(this.state, name);
      assert.ok(
        live === undefined || held !== live || isServedFromQuarantine(this.state, name),
        `${name} is held for nothing`,
      );
    }
    this.#checkServed();
  }

  #checkServed(): void {
    const rollouts = rolloutsOf(this.state);
    for (const id of this.routed) {
      const generation = generationOf(this.state, id);
      assert.ok(
        generation?.state === 'live' || generation?.state === 'candidate',
        `generation ${String(id)} never ended`,
      );
    }
    for (const [domain, hash] of this.wanted) {
      const { paused } = domainOf(this.state, domain);
      const isHeld = rollouts.some(({ members }) => members.some((member) => member.domain === domain));
      if (!paused && !isHeld)
        assert.equal(liveOf(this.state, domain)?.hash, hash, `what was asked of ${domain} last serves`);
    }
    for (const [name, { served }] of Object.entries(this.state.domains)) {
      const live = liveOf(this.state, name);
      if (live !== undefined)
        assert.ok(
          served.some(({ hash }) => hash === live.hash),
          `${name} is remembered`,
        );
    }
    for (const [name, { isServed, live, withheld, served, versions }] of Object.entries(this.state.domains)) {
      if (!isServed || pendingOf(this.state, name) !== undefined) continue;
      const isSound = served.some(({ hash }) => versions[hash]?.quarantine === undefined && this.staged.has(hash));
      if (isSound) assert.ok(live !== undefined, `${name} is not served though a version did no harm`);
      else if (served.length > 0) assert.ok(live !== undefined || withheld !== undefined, `${name} is unserved`);
    }
  }

  #check(before: State, event: DeployEvent, transitions: readonly Transition[]): void {
    const { state } = this;
    if (isSameOnDisk(before, state)) {
      assert.deepEqual(toDisk(state), toDisk(before), `${event.kind} is not written to the disk`);
    }
    for (const [name, domain] of Object.entries(before.domains)) {
      const isEnded = domain.live !== undefined && domainOf(state, name).live === undefined;
      if (isEnded)
        assert.ok(event.kind === 'withhold' || event.kind === 'out-of-service', `${name} ended by ${event.kind}`);
    }
    for (const [name, { live }] of Object.entries(state.domains)) {
      const hash = generationOf(state, live)?.hash ?? '';
      if (live === undefined || live === domainOf(before, name).live) continue;
      this.routed.add(live);
      assert.notEqual(this.kinds.get(hash), 'refused', 'a refused version takes over');
      assert.notEqual(this.kinds.get(hash), 'unprepared', 'a version that no thread could prepare takes over');
      assert.equal(domainOf(before, name).versions[hash]?.quarantine, undefined, 'a version in quarantine takes over');
    }
    this.#checkGenerations(transitions);
  }

  #checkGenerations(transitions: readonly Transition[]): void {
    const { state } = this;
    for (const { id, domain, state: is } of Object.values(state.generations)) {
      const { live, trial } = domainOf(state, domain);
      assert.equal(is === 'live', live === id, `whether generation ${String(id)} answers`);
      assert.equal(is === 'candidate', trial === id, `whether generation ${String(id)} is observed`);
      if (is === 'candidate') this.routed.add(id);
    }
    for (const { state: is, generation = 0 } of transitions) if (is === 'retired') this.routed.delete(generation);
    const owners = new Map<string, number | undefined>();
    for (const { kind, owner, places } of this.commands) {
      if (kind === 'withdraw' || kind === 'discard') continue;
      for (const place of places) {
        assert.ok(!owners.has(place) || owners.get(place) === owner, `two rollouts act in ${place}`);
        owners.set(place, owner);
      }
    }
  }

  #sync(): void {
    const wanted = new Set(this.commands.map(({ key }) => key));
    for (const [key, running] of this.running) if (!wanted.has(key)) running.isAborted = true;
    for (const command of this.commands) {
      if (this.running.has(command.key)) continue;
      if ([...this.running.values()].some((other) => isBlockedBy(command, other.command))) continue;
      this.running.set(command.key, { command, step: 0, isAborted: false });
    }
  }

  #isHeld({ command, step, isAborted }: Running): boolean {
    if (command.kind !== 'trial' || isAborted || step < 2) return false;
    return rolloutsOf(this.state).some(({ id, isHeld }) => id === command.rollout.id && isHeld);
  }

  /** One command comes one step further. What it says it may say twice, and once more after it was aborted. */
  #work(running: Running, isHarmful: boolean): void {
    const { command, isAborted } = running;
    const events = this.#next(running, isHarmful);
    running.step += 1;
    for (const event of events) {
      this.dispatch(event);
      if (REPEATABLE.has(event.kind)) {
        const once = JSON.stringify(this.state);
        this.at -= 1;
        this.dispatch(event);
        assert.equal(JSON.stringify(this.state), once, `${event.kind} twice is not as once`);
      }
    }
    const isPastFlip = command.kind === 'activate' && running.step === 1 && events.length > 0;
    if ((isAborted && !isPastFlip) || isOver(running)) {
      this.running.delete(command.key);
      this.#sync();
    }
  }

  #next(running: Running, isHarmful: boolean): readonly DeployEvent[] {
    const { command, step } = running;
    const threads = Object.fromEntries(Object.keys(this.state.generations).map((id) => [id, THREADS]));
    switch (command.kind) {
      case 'admit':
        return this.#admit(command, step);
      case 'prepare':
        return this.#prepare(running, command);
      case 'trial':
        return this.#try(command, step, isHarmful);
      case 'activate': {
        const rollout = command.rollout.id;
        if (step === 0) return [{ kind: 'flip', rollout, threads }];
        return [{ kind: 'flipped', rollout, flipMs: 1, findings: {} }];
      }
      case 'withdraw': {
        const generations = command.generations.map(({ id }) => id);
        return [
          { kind: 'candidates-out', generations, threads },
          { kind: 'candidates-gone', rollout: command.owner ?? 0 },
        ];
      }
      case 'discard':
        return [{ kind: 'discarded', generation: command.generation.id }];
      case 'hold':
        return [{ kind: 'held', domain: command.generation.domain, generation: command.generation.id }];
      case 'release':
        return [{ kind: 'held', domain: command.generation.domain, generation: undefined }];
      case 'withhold': {
        const { domain } = command;
        const hash = domainOf(this.state, domain).served[0]?.hash;
        return [{ kind: 'withhold', domain, threads, ...(hash === undefined ? {} : { hash }) }];
      }
      case 'retire': {
        const { id, domain, why } = command.retirement;
        return [
          { kind: 'out-of-service', domain, why, threads },
          { kind: 'retirement-done', retirement: id },
        ];
      }
      case 'stage':
        this.staged.add(command.hash);
        return [{ kind: 'staged', hash: command.hash }];
    }
  }

  #try(
    { rollout: { id: rollout, members } }: Extract<Command, { readonly rollout: Rollout }>,
    ...[step, isHarmful]: [number, boolean]
  ): readonly DeployEvent[] {
    if (step === 0) return [{ kind: 'trial-routed', rollout, percent: 10 }];
    if (step === 1) return [{ kind: 'trial-begun', rollout }];
    const finding = { code: 'BEDS_ROLLOUT_GUARD_ERRORS', message: '' };
    if (isHarmful) for (const member of members) this.#forget(member.domain);
    return [{ kind: 'verdict', rollout, objections: isHarmful ? [{ finding }] : [] }];
  }

  #prepare(
    running: Running,
    { rollout: { id: rollout, members } }: Extract<Command, { readonly rollout: Rollout }>,
  ): readonly DeployEvent[] {
    const finding = { code: 'BEDS_AMQP_UNAVAILABLE', message: '' };
    if (this.isRabbitAway) {
      running.step = -1;
      return [{ kind: 'rabbit-away', rollout, finding }];
    }
    const isBad = members.some(({ hash }) => this.kinds.get(hash) === 'unprepared');
    return [isBad ? { kind: 'failed', rollout, finding } : { kind: 'prepared', rollout }];
  }

  #admit(
    { rollout: { id: rollout }, member: { hash } }: Command & { kind: 'admit' },
    step: number,
  ): readonly DeployEvent[] {
    if (!this.staged.has(hash) && !this.kept.has(hash)) return [{ kind: 'missing', rollout, hash }];
    const state = (['verified', 'probed'] as const)[step];
    if (state === 'verified') this.staged.add(hash);
    if (state !== undefined) return [{ kind: 'progress', rollout, hash, passed: [state] }];
    const kind = this.kinds.get(hash);
    const findings = [{ code: 'BEDS_PREFLIGHT_OBJECT_MISSING', message: '' }];
    if (kind === 'refused') return [{ kind: 'refused', rollout, hash, findings, passed: [] }];
    if (this.isStoreAway || (kind === 'waits' && !this.isDelivered))
      return [{ kind: 'waits', rollout, hash, findings, passed: [] }];
    return [{ kind: 'admitted', rollout, hash, findings: [], peers: this.peers.get(hash) ?? [], passed: [] }];
  }

  /** New bytes of a domain, or some that were there before. */
  #make(domain: string, { kind, again }: { readonly kind: Kind; readonly again: number }): Bytes {
    this.at += TICK_MS;
    const known = this.#made.filter((bytes) => bytes.domain === domain);
    const former = again === 0 ? undefined : known[again % Math.max(1, known.length)];
    if (former !== undefined) {
      this.kept.add(former.hash);
      return former;
    }
    this.#count += 1;
    const hash = `hash-${String(this.#count)}`;
    this.kinds.set(hash, kind);
    // Every choice of the others comes in turn.
    this.peers.set(
      hash,
      DOMAINS.filter((other, index) => other !== domain && ((this.#count >> index) & 1) === 1),
    );
    this.kept.add(hash);
    const bytes = { domain, version: `1.${String(this.#count)}.0`, hash };
    this.#made.push(bytes);
    return bytes;
  }

  #drop(domain: string, action: Action & { does: 'drop' }): void {
    const bytes = this.#make(domain, action);
    const when = { completeAt: this.at, begunAt: this.at, bornAt: this.at, changedAt: this.at };
    this.#changes.push({ kind: 'dropped', entry: `${domain}-${bytes.hash}.mjs`, ...bytes, ...when });
    if (!action.isLooked) return;
    this.#look();
    // What lay there already, or was there before, may count for nothing new.
    if (action.again === 0 && this.#maySettle(bytes)) this.wanted.set(domain, bytes.hash);
  }

  /** What was dropped before is decided now only. */
  #look(): void {
    const changes = this.#changes.splice(0);
    for (const { domain: name } of changes) this.#forget(name);
    this.dispatch({ kind: 'looked', changes, isWhole: true });
  }

  #deploy(action: Action & { does: 'deploy' }): void {
    const names = [...new Set(action.domains.map(nameOf))];
    const versions = names.map((name) => this.#make(name, action));
    for (const name of names) this.#forget(name);
    this.dispatch({
      kind: 'deploy',
      versions,
      plan: makePlan(rules.settings, { canaryPercent: action.canaryPercent, hold: action.hold }),
    });
    if (!versions.every((bytes) => this.#maySettle(bytes))) return;
    for (const { domain, hash } of versions) this.wanted.set(domain, hash);
  }

  #maySettle({ domain, hash }: Bytes): boolean {
    const isSound = this.kinds.get(hash) === 'good' || this.kinds.get(hash) === 'waits';
    return isSound && domainOf(this.state, domain).versions[hash]?.quarantine === undefined;
  }

  #remove(domain: string): void {
    const mine = Object.entries(this.state.entries).filter(([, entry]) => entry.domain === domain);
    const [gone, ...others] = mine.toReversed();
    if (gone === undefined) return;
    this.#forget(domain);
    const [entry, { hash }] = gone;
    this.#changes.push({ kind: 'removed', entry, domain, hash, others: others.map(([name]) => name) });
    this.#look();
  }

  #drain(which: number): boolean {
    const draining = Object.values(this.state.generations).filter(({ state }) => state === 'draining');
    const generation = draining[which % Math.max(1, draining.length)];
    const [thread] = generation?.threads ?? [];
    if (generation === undefined || thread === undefined) return false;
    const left = { timers: 0, intervals: 0, immediates: 0 };
    this.dispatch({ kind: 'drained', generation: generation.id, thread, left });
    return true;
  }

  /** The host is killed: what it did is lost, what it wrote is read, what lies in the directory is found again. */
  #restart(left: StateOnDisk): void {
    const { entries } = this.state;
    const decided = this.#decided();
    const unseen = this.#changes.splice(0);
    const dropped = new Set(unseen.map(({ domain }) => domain));
    const text = JSON.stringify(left);
    this.state = fromDisk(parseStateOnDisk(JSON.parse(text)) ?? assert.fail('it cannot be read back'));
    // n.b. that something was lifted out of quarantine is no line of the history.
    const isSound = (name: string, hash: string): boolean =>
      domainOf(this.state, name).versions[hash]?.quarantine === undefined;
    const served = Object.entries(this.state.domains).flatMap(
      ([
        name,
        {
          isServed,
          served: [newest],
        },
      ]) => (isServed && newest !== undefined && isSound(name, newest.hash) ? [newest.hash] : []),
    );
    this.running.clear();
    this.routed.clear();
    this.kept.clear();
    this.wanted.clear();
    this.dispatch({ kind: 'boot' });
    for (const hash of served) {
      const isBack = rolloutsOf(this.state).some(({ members, cause }) => cause === 'boot' && members[0]?.hash === hash);
      assert.ok(isBack, `${hash} served and is on its way back`);
    }
    for (const [entry, { domain, version, hash }] of Object.entries(entries)) {
      this.kept.add(hash);
      const when = { completeAt: this.at, begunAt: 0, bornAt: 0, changedAt: 0 };
      this.#changes.push({ kind: 'dropped', entry, domain, version, hash, ...when });
    }
    for (const change of unseen) if (change.kind === 'dropped') this.kept.add(change.hash);
    this.dispatch({ kind: 'looked', changes: [...unseen, ...this.#changes.splice(0)], isWhole: true });
    for (const [name, hash] of decided) {
      if (isSound(name, hash) && !dropped.has(name)) this.wanted.set(name, hash);
    }
  }

  /** What serves where nothing is open, by domain: a restart must not decide that anew. */
  #decided(): ReadonlyMap<string, string> {
    const idle = Object.entries(this.state.domains).filter(
      ([name, { isServed }]) => isServed && pendingOf(this.state, name) === undefined,
    );
    const live = idle.flatMap(([name]) => liveOf(this.state, name) ?? []);
    const sound = live.filter(
      ({ domain, hash }) => domainOf(this.state, domain).versions[hash]?.quarantine === undefined,
    );
    return new Map(sound.map(({ domain, hash }) => [domain, hash]));
  }

  /** A version of several domains together is wanted in all of them or in none. */
  #forget(domain: string): void {
    const hash = this.wanted.get(domain);
    this.wanted.delete(domain);
    for (const { members } of rolloutsOf(this.state)) {
      if (!members.some((member) => member.hash === hash)) continue;
      for (const member of members) this.wanted.delete(member.domain);
    }
  }
}

/** Saying these twice must change nothing: their commands may be carried out twice. */
const REPEATABLE: ReadonlySet<DeployEvent['kind']> = new Set([
  ...(['prepared', 'admitted', 'refused', 'failed', 'trial-routed', 'verdict', 'candidates-out'] as const),
  ...(['candidates-gone', 'discarded', 'flip', 'flipped', 'held', 'withhold', 'out-of-service'] as const),
  ...(['retirement-done', 'staged', 'missing'] as const),
]);

function isOver({ command, step }: Running): boolean {
  const steps = { admit: Infinity, prepare: Infinity, trial: 3, activate: 2, withdraw: 1, discard: 1 };
  return step >= { ...steps, hold: 1, release: 1, withhold: 1, retire: 1, stage: 1 }[command.kind];
}

function nameOf(index: number): string {
  return DOMAINS[index % DOMAINS.length] ?? '';
}

const domain = fc.nat({ max: DOMAINS.length - 1 });
const kind = fc.constantFrom<Kind>('good', 'good', 'good', 'refused', 'waits', 'unprepared');
/** Mostly new bytes. */
const again = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 9 }) });
const work = fc.record({ does: fc.constant('work' as const), which: fc.nat({ max: 9 }), isHarmful: fc.boolean() });
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 25, arbitrary: work },
  { weight: 6, arbitrary: fc.constant({ does: 'rest' as const }) },
  {
    weight: 6,
    arbitrary: fc.record({ does: fc.constant('drop' as const), domain, kind, isLooked: fc.boolean(), again }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      does: fc.constant('deploy' as const),
      domains: fc.array(domain, { minLength: 1, maxLength: 2 }),
      kind,
      again,
      canaryPercent: fc.constantFrom(0, 10),
      hold: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      does: fc.constantFrom('rollback', 'promote', 'pause', 'retire', 'lift', 'remove', 'refit'),
      domain,
    }),
  },
  { weight: 5, arbitrary: fc.record({ does: fc.constant('crash' as const), generation: fc.nat({ max: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('stray' as const), domain }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('drain' as const), which: fc.nat({ max: 9 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constantFrom(
        ...(['restart', 'restart-damaged', 'deliver', 'undeliver', 'store-away', 'rabbit-away', 'away-back'] as const),
      ),
    }),
  },
);

/** Domains that are dropped together, none of which serves yet; each calls its peers. */
class Served {
  #state = EMPTY_STATE;
  #at = 1_000_000;
  readonly #peers: ReadonlyMap<string, readonly string[]>;

  constructor(domains: readonly (readonly [domain: string, peers: readonly string[]])[]) {
    this.#peers = new Map(domains);
    const when = { completeAt: this.#at, begunAt: this.#at, bornAt: this.#at, changedAt: this.#at };
    const changes = domains.map(
      ([domain]) =>
        ({ kind: 'dropped', entry: `${domain}.mjs`, domain, version: '1.0.0', hash: domain, ...when }) as const,
    );
    this.#dispatch({ kind: 'looked', changes, isWhole: true });
  }

  /** Domains that begin to serve as soon as the threads say so. */
  get activating(): readonly string[] {
    return commandsOf(this.#state).flatMap((command) =>
      command.kind === 'activate' ? command.rollout.members.map(({ domain }) => domain) : [],
    );
  }

  prepare(...domains: readonly string[]): void {
    for (const domain of domains) {
      const about = { rollout: this.#idOf(domain), hash: domain };
      this.#dispatch({ kind: 'admitted', ...about, findings: [], peers: this.#peers.get(domain) ?? [], passed: [] });
      this.#dispatch({ kind: 'prepared', rollout: about.rollout });
    }
  }

  flip(domain: string): void {
    const rollout = this.#idOf(domain);
    this.#dispatch({ kind: 'flip', rollout, threads: {} });
    this.#dispatch({ kind: 'flipped', rollout, flipMs: 1, findings: {} });
  }

  wait(domain: string): void {
    this.#admission(domain, 'waits');
  }

  refuse(domain: string): void {
    this.#admission(domain, 'refused');
  }

  #admission(domain: string, kind: 'waits' | 'refused'): void {
    const findings = [{ code: 'BEDS_PREFLIGHT_OBJECT_MISSING', message: '' }];
    this.#dispatch({ kind, rollout: this.#idOf(domain), hash: domain, findings, passed: [] });
  }

  #idOf(domain: string): number {
    const found = rolloutsOf(this.#state).find(({ members }) => members.some((member) => member.domain === domain));
    assert.ok(found, `${domain} is on its way`);
    return found.id;
  }

  #dispatch(event: DeployEvent): void {
    this.#at += 1;
    this.#state = reconcile(this.#state, event, { rules, at: this.#at }).state;
  }
}

describe('the state of the domains', () => {
  it('keeps its promises whatever happens, in whatever order', () => {
    fc.assert(
      fc.property(fc.array(action, { minLength: 10, maxLength: 60, size: 'max' }), (actions) => {
        const world = new World();
        world.dispatch({ kind: 'boot' });
        for (const each of actions) world.act(each);
        world.settle();
        world.checkRest();
      }),
      { numRuns: RUNS, seed: SEED, includeErrorInReport: true },
    );
  });

  for (const away of ['store-away', 'rabbit-away'] as const) {
    it(`serves what did no harm after it was gone back to in vain: ${away}`, () => {
      const world = new World();
      const deploy = { does: 'deploy', domains: [0], kind: 'good', again: 0, canaryPercent: 0, hold: false } as const;
      for (const version of ['1.1.0', '1.2.0']) {
        world.act(deploy);
        world.settle();
        assert.equal(liveOf(world.state, 'notes')?.version, version);
      }
      world.act({ does: away });
      world.act({ does: 'crash', generation: 0 });
      world.act({ does: 'rest' });
      assert.ok(domainOf(world.state, 'notes').withheld !== undefined, 'nothing can serve meanwhile');
      world.settle();
      world.checkRest();
      assert.equal(liveOf(world.state, 'notes')?.version, '1.1.0');
      assert.equal(world.lastCause, 'quarantine', 'what it came back for is said, however long that took');
      world.act({ does: 'lift', domain: 0 });
      world.act({ does: 'restart' });
      world.settle();
      assert.equal(
        liveOf(world.state, 'notes')?.version,
        '1.1.0',
        'what was gone back to is what the next start serves',
      );
    });

    it(`lets a newer version take over while what did no harm waits to be gone back to: ${away}`, () => {
      const world = new World();
      const deploy = { does: 'deploy', domains: [0], kind: 'good', again: 0, canaryPercent: 0, hold: false } as const;
      for (let version = 0; version < 2; version += 1) {
        world.act(deploy);
        world.settle();
      }
      world.act({ does: away });
      world.act({ does: 'crash', generation: 0 });
      world.act({ does: 'rest' });
      world.act(deploy);
      world.settle();
      world.checkRest();
      assert.equal(liveOf(world.state, 'notes')?.version, '1.3.0');
    });
  }

  it('does not take up again what was rolled back and still lies there, where its file is damaged', () => {
    const world = new World();
    for (let version = 0; version < 2; version += 1) {
      world.act({ does: 'drop', domain: 0, kind: 'good', isLooked: true, again: 0 });
      world.settle();
    }
    world.act({ does: 'rollback', domain: 0 });
    world.settle();
    assert.equal(liveOf(world.state, 'notes')?.version, '1.1.0');
    world.act({ does: 'restart-damaged' });
    world.settle();
    assert.equal(liveOf(world.state, 'notes')?.version, '1.1.0');
  });

  it('lets a domain begin to serve after those that it calls and that are on their way, and those that call each other together', () => {
    const rollouts = (...all: readonly (readonly [domain: string, peers: readonly string[]])[]): Served =>
      new Served(all);
    const inTurn = rollouts(['sessions', ['users']], ['users', []], ['notes', []]);
    inTurn.prepare('sessions', 'notes');
    assert.deepEqual(inTurn.activating, ['notes']);
    inTurn.prepare('users');
    assert.deepEqual(inTurn.activating, ['users', 'notes']);
    inTurn.flip('users');
    assert.deepEqual(inTurn.activating, ['sessions', 'notes']);
    const around = rollouts(['a', ['b']], ['b', ['c']], ['c', ['a', 'd']], ['d', []]);
    around.prepare('a', 'b', 'c');
    assert.deepEqual(around.activating, []);
    around.prepare('d');
    assert.deepEqual(around.activating, ['d']);
    around.flip('d');
    assert.deepEqual(around.activating, ['a', 'b', 'c']);
    const inVain = rollouts(['sessions', ['users']], ['users', []]);
    inVain.prepare('sessions');
    inVain.wait('users');
    assert.deepEqual(inVain.activating, ['sessions'], 'whom it calls waits for somebody outside');
    const refused = rollouts(['sessions', ['users']], ['users', []]);
    refused.prepare('sessions');
    refused.refuse('users');
    assert.deepEqual(refused.activating, ['sessions']);
  });

  it('serves what did no harm where going back to it was ended, and what did harm was dropped once more', () => {
    const world = new World();
    for (let version = 0; version < 2; version += 1) {
      world.act({ does: 'deploy', domains: [0], kind: 'good', again: 0, canaryPercent: 0, hold: false });
      world.settle();
    }
    world.act({ does: 'crash', generation: 0 });
    world.act({ does: 'rollback', domain: 0 });
    world.act({ does: 'deploy', domains: [0], kind: 'good', again: 0, canaryPercent: 0, hold: false });
    world.act({ does: 'drop', domain: 0, kind: 'good', isLooked: true, again: 1 });
    world.settle();
    world.checkRest();
    assert.equal(liveOf(world.state, 'notes')?.version, '1.1.0');
  });

  it('withholds once what did harm, also where the same bytes were observed beside it', () => {
    const world = new World();
    const work = (which: number, isHarmful = false): void => world.act({ does: 'work', which, isHarmful });
    world.act({ does: 'drop', domain: 1, kind: 'good', isLooked: true, again: 0 });
    world.act({ does: 'rest' });
    world.act({ does: 'deploy', domains: [1], kind: 'good', again: 1, canaryPercent: 10, hold: true });
    world.act({ does: 'rest' });
    work(0, true);
    world.act({ does: 'crash', generation: 0 });
    world.act({ does: 'rabbit-away' });
    for (const which of [3, 0, 0]) work(which);
    world.act({ does: 'drain', which: 0 });
    for (const which of [0, 0]) work(which);
    world.act({ does: 'rest' });
    world.act({ does: 'drain', which: 0 });
    world.settle();
    world.checkRest();
    assert.ok(domainOf(world.state, 'users').withheld !== undefined);
  });

  it('does not let a domain that comes back wait for one that an operator holds beside another', () => {
    const world = new World();
    world.act({ does: 'drop', domain: 2, kind: 'good', isLooked: true, again: 0 });
    world.act({ does: 'drop', domain: 1, kind: 'good', isLooked: true, again: 0 });
    world.settle();
    world.act({ does: 'restart' });
    world.peers.set('hash-1', ['notes']);
    world.act({ does: 'deploy', domains: [0, 1], kind: 'good', again: 0, canaryPercent: 10, hold: true });
    world.settle();
    world.checkRest();
    assert.equal(liveOf(world.state, 'orders')?.version, '1.1.0');
  });

  for (const restart of ['restart', 'restart-damaged'] as const) {
    for (const [what, ...orders] of [
      ['is refused', { kind: 'refused', domains: [2] }],
      ['gives way in another of its domains', { kind: 'good', domains: [2, 0] }, { kind: 'good', domains: [0] }],
    ] as const) {
      it(`does not begin at the next start what gave way to an order that ${what}: ${restart}`, () => {
        const world = new World();
        const how = { again: 0, canaryPercent: 0, hold: false };
        world.act({ does: 'deploy', domains: [2], kind: 'good', ...how });
        world.settle();
        world.act({ does: 'drop', domain: 2, kind: 'good', isLooked: true, again: 0 });
        for (const order of orders) world.act({ does: 'deploy', ...order, ...how });
        world.settle();
        assert.equal(liveOf(world.state, 'orders')?.version, '1.1.0');
        world.act({ does: restart });
        world.settle();
        assert.equal(liveOf(world.state, 'orders')?.version, '1.1.0');
      });
    }

    it(`does not begin at the next start what was dropped together with what was rolled back: ${restart}`, () => {
      const world = new World();
      world.act({ does: 'deploy', domains: [0], kind: 'good', again: 0, canaryPercent: 0, hold: false });
      world.settle();
      for (const isLooked of [false, true]) world.act({ does: 'drop', domain: 0, kind: 'good', isLooked, again: 0 });
      world.act({ does: 'rollback', domain: 0 });
      world.act({ does: restart });
      world.settle();
      assert.equal(liveOf(world.state, 'notes')?.version, '1.1.0');
    });
  }

  it('begins at the next start what was dropped, and ordered too', () => {
    const world = new World();
    world.act({ does: 'drop', domain: 2, kind: 'good', isLooked: true, again: 0 });
    world.act({ does: 'deploy', domains: [2], kind: 'good', again: 1, canaryPercent: 0, hold: false });
    world.act({ does: 'restart' });
    world.settle();
    assert.equal(liveOf(world.state, 'orders')?.version, '1.1.0');
  });

  it('is made again from the history where its file is damaged', () => {
    const line = (version: string, state: Transition['state'], findings: Transition['findings'] = []): HistoryEntry => {
      return { at: '2026-01-01T00:00:00.000Z', domain: 'notes', version, hash: `hash-${version}`, state, findings };
    };
    const harm = [{ code: 'BEDS_ROLLOUT_STRIKES', message: 'It did harm 3 times.' }];
    const lines = [line('1.0.0', 'active'), line('1.1.0', 'active'), line('1.1.0', 'quarantined', harm)];
    const { domains } = fromDisk(fromHistory([...lines, line('1.0.0', 'active')], 3));
    const notes = domains['notes'] ?? assert.fail('notes is unknown');
    assert.deepEqual([notes.isServed, notes.served.map(({ version }) => version)], [true, ['1.0.0', '1.1.0']]);
    assert.equal(notes.versions['hash-1.1.0']?.quarantine?.code, 'BEDS_ROLLOUT_STRIKES');
    const removed = [{ code: 'BEDS_ROLLOUT_REMOVED', message: '' }];
    const retired = fromDisk(fromHistory([line('1.0.0', 'active'), line('1.0.0', 'retired', removed)], 3));
    assert.equal(retired.domains['notes']?.isServed, false);
    for (const domain of ['constructor', 'tostring', 'valueof']) {
      const odd = fromDisk(fromHistory([{ ...line('1.0.0', 'active'), domain }], 3));
      assert.equal(odd.domains[domain]?.isServed, true, domain);
    }
  });
});
