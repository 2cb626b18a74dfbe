import { join } from 'node:path';
import { z } from 'zod';
import type { HistoryEntry } from './history.js';
import { BY_OPERATOR, reconcile, REPEATED } from './reconcile.js';
import {
  type Command,
  type DeployEvent,
  type Domain,
  EMPTY_STATE,
  type KnownVersion,
  NO_STRIKES,
  type Remark,
  type Rules,
  type State,
  type Transition,
  UNKNOWN,
} from './state.js';
import { StateFile } from './state-file.js';

export interface DomainsOptions {
  /** `state.directory`, absolute. */
  readonly directory: string;
  readonly rules: Rules;
  /** Stands in where the file is damaged. */
  readonly history: () => readonly HistoryEntry[];
  /** What one event changed, in this order; not called for nothing. */
  readonly onTransitions: (transitions: readonly Transition[]) => void;
  readonly onRemark: (remark: Remark) => void;
}

const FILE = 'domains.json';

/** The state of all domains, in memory and on disk, and the only place where it changes. */
export class Domains {
  readonly #options: DomainsOptions;
  readonly #file: StateFile<ReturnType<typeof toDisk>>;
  /** Changed by `dispatch` only. */
  state: State;
  /** What is to be done now, as the state says. */
  commands: readonly Command[] = [];
  /** Called after each change, when it was told. */
  onChange: () => void = () => undefined;

  private constructor(options: DomainsOptions, file: StateFile<ReturnType<typeof toDisk>>) {
    this.#options = options;
    this.#file = file;
    this.state = fromDisk(file.value);
  }

  /** Reads what a run before has left. */
  static async open(options: DomainsOptions): Promise<Domains> {
    const { directory, rules, history } = options;
    const atFirst = fromHistory(history(), rules.keepVersions);
    return new Domains(options, await StateFile.open(join(directory, FILE), parseStateOnDisk, atFirst));
  }

  get rules(): Rules {
    return this.#options.rules;
  }

  /** Takes in what happened: the state that follows, its lines in the history, and what is to be done then. */
  dispatch(event: DeployEvent): void {
    const before = this.state;
    const { rules, onTransitions, onRemark } = this.#options;
    const { state, commands, transitions, remarks } = reconcile(before, event, { rules, at: Date.now() });
    this.state = state;
    this.commands = commands;
    if (!isSameOnDisk(before, state)) this.#file.set(toDisk(state));
    if (transitions.length > 0) onTransitions(transitions);
    for (const remark of remarks) onRemark(remark);
    if (state !== before) this.onChange();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

// What of it outlives a run of the host.

const versionSchema = z.object({
  version: z.string(),
  strikes: z.array(z.object({ atMs: z.number(), reason: z.string() })),
  quarantine: z.object({ since: z.string(), code: z.string(), message: z.string() }).optional(),
});
const domainSchema = z.object({
  served: z.array(z.object({ hash: z.string(), version: z.string(), at: z.string() })),
  isServed: z.boolean(),
  origin: z.enum(['directory', 'deploy']),
  paused: z.boolean(),
  versions: z.record(z.string(), versionSchema),
});
const fileSchema = z.object({
  v: z.literal(1),
  domains: z.record(z.string(), domainSchema),
  settled: z.record(z.string(), z.string()),
  settledBytes: z.array(z.string()).default([]),
});

/** The state as the disk has it: without what is true of one run of the host only. */
export type StateOnDisk = z.output<typeof fileSchema>;

export function parseStateOnDisk(value: unknown): StateOnDisk | undefined {
  return fileSchema.safeParse(value).data;
}

/** n.b. what was dropped is found again in the plugin directory; an operator follows what he ordered. */
export function toDisk(state: State): StateOnDisk {
  const retiring = new Set(state.queue.flatMap((item) => (item.kind === 'retirement' ? [item.domain] : [])));
  const domains = Object.entries(state.domains).filter(([, domain]) => isWorthKeeping(domain));
  return {
    v: 1,
    domains: Object.fromEntries(
      domains.map(([name, { served, isServed, origin, paused, versions }]) => {
        const kept = Object.entries(versions).filter(([, known]) => isKnownForHarm(known));
        return [
          name,
          {
            served: served.map(({ hash, version, at }) => ({ hash, version, at })),
            isServed: isServed && !retiring.has(name),
            origin,
            paused,
            versions: Object.fromEntries(
              kept.map(([hash, { version, strikes, quarantine }]) => [
                hash,
                { version, strikes: [...strikes], quarantine },
              ]),
            ),
          },
        ];
      }),
    ),
    settled: state.settled,
    settledBytes: [...state.settledBytes],
  };
}

/** Whether the disk would have the same of both; cheap, because what did not change is the same object. */
export function isSameOnDisk(a: State, b: State): boolean {
  if (a.settled !== b.settled || a.settledBytes !== b.settledBytes) return false;
  const retiring = (state: State): string =>
    state.queue.flatMap((item) => (item.kind === 'retirement' ? [item.domain] : [])).join();
  if (a.queue !== b.queue && retiring(a) !== retiring(b)) return false;
  if (a.domains === b.domains) return true;
  const names = new Set([...Object.keys(a.domains), ...Object.keys(b.domains)]);
  return [...names].every((name) => {
    const [before, after] = [a, b].map(({ domains }) => (Object.hasOwn(domains, name) ? domains[name] : undefined));
    return before === after || hasSameOnDisk(before ?? UNKNOWN, after ?? UNKNOWN);
  });
}

function hasSameOnDisk(before: Domain, after: Domain): boolean {
  return (
    before.served === after.served &&
    before.isServed === after.isServed &&
    before.origin === after.origin &&
    before.paused === after.paused &&
    hasSameHarm(before, after)
  );
}

function hasSameHarm({ versions: a }: Domain, { versions: b }: Domain): boolean {
  if (a === b) return true;
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((hash) => {
    const [before, after] = [a[hash], b[hash]];
    return (
      (before?.strikes ?? NO_STRIKES) === (after?.strikes ?? NO_STRIKES) && before?.quarantine === after?.quarantine
    );
  });
}

function isKnownForHarm({ strikes, quarantine }: KnownVersion): boolean {
  return strikes.length > 0 || quarantine !== undefined;
}

function isWorthKeeping({ served, paused, versions }: Domain): boolean {
  return served.length > 0 || paused || Object.values(versions).some(isKnownForHarm);
}

/** Where a host begins that left this behind. */
export function fromDisk({ domains, settled, settledBytes }: StateOnDisk): State {
  return {
    ...EMPTY_STATE,
    settled,
    settledBytes,
    domains: Object.fromEntries(
      Object.entries(domains).map(([name, { served, isServed, origin, paused, versions }]) => [
        name,
        {
          ...UNKNOWN,
          served,
          isServed,
          origin,
          paused,
          versions: Object.fromEntries(
            Object.entries(versions).map(([hash, { version, strikes, quarantine }]) => [
              hash,
              { version, strikes, quarantine, isRefused: false, wasSeen: false },
            ]),
          ),
        },
      ]),
    ),
  };
}

/** They are on their way: a start begins with what lies in the plugin directory of them. */
const UNDECIDED: ReadonlySet<Transition['state']> = new Set([
  ...(['received', 'verified', 'probed', 'waiting', 'prepared', 'canary'] as const),
]);

/** What the history says of the state, for a host whose file is damaged: who served, was retired, did harm, was decided. */
export function fromHistory(entries: readonly HistoryEntry[], keepVersions: number): StateOnDisk {
  // n.b. a domain may be named like what every object has.
  const domains = new Map<string, StateOnDisk['domains'][string]>();
  for (const { domain: name, hash, version, state, at, findings = [] } of entries) {
    const domain = domains.get(name) ?? newOnDisk();
    domains.set(name, domain);
    if (state === 'active') {
      const others = domain.served.filter((served) => served.hash !== hash);
      domain.served = [{ hash, version, at }, ...others].slice(0, keepVersions);
      domain.isServed = true;
      // It was lifted before it served again.
      domain.versions = Object.fromEntries(Object.entries(domain.versions).filter(([known]) => known !== hash));
    } else if (state === 'quarantined') {
      const [{ code, message } = { code: '', message: '' }] = findings;
      domain.versions[hash] = { version, strikes: [], quarantine: { since: at, code, message } };
    } else if (isRetirement(state, findings) && domain.served[0]?.hash === hash) domain.isServed = false;
  }
  const worth = [...domains].filter(
    ([, { served, versions }]) => served.length > 0 || Object.keys(versions).length > 0,
  );
  const settledBytes = [...domains.keys()].flatMap((name) =>
    decidedOf(entries.filter(({ domain }) => domain === name)),
  );
  return { v: 1, domains: Object.fromEntries(worth), settled: {}, settledBytes };
}

function newOnDisk(): StateOnDisk['domains'][string] {
  return { served: [], isServed: false, origin: 'deploy', paused: false, versions: {} };
}

/** Bytes of one domain that need not be decided again where they still lie in the plugin directory. */
function decidedOf(entries: readonly HistoryEntry[]): readonly string[] {
  const last = new Map<string, HistoryEntry['state']>();
  const begun = new Map<string, number>();
  const decided = new Set<string>();
  for (const [index, entry] of entries.entries()) {
    const { hash, state, cause, findings = [] } = entry;
    last.set(hash, state);
    if (state === 'received') begun.set(hash, index);
    // It was put there once more.
    if (state === 'received' && cause === 'drop') decided.delete(hash);
    for (const known of decidedByOrder(entry, last)) decided.add(known);
    const isTakeOver = state === 'active' && (cause === undefined || !REPEATED.has(cause));
    if (!isTakeOver && !isRetirement(state, findings)) continue;
    for (const [known, is] of last) {
      // What was begun before what took over was superseded by it.
      const isOlder = isTakeOver && (begun.get(known) ?? 0) <= (begun.get(hash) ?? 0);
      if (isOlder || !UNDECIDED.has(is)) decided.add(known);
    }
  }
  return [...decided];
}

/** An operator who asks for another version, or rolls one back, decides about what lay there before. */
function decidedByOrder(
  { hash, state, cause, findings = [] }: HistoryEntry,
  last: ReadonlyMap<string, HistoryEntry['state']>,
): readonly string[] {
  if (findings.some(({ code }) => code === 'BEDS_ROLLOUT_ROLLED_BACK')) return [...last.keys()];
  if (state !== 'received' || cause === undefined || !BY_OPERATOR.has(cause)) return [];
  return [...last].flatMap(([known, is]) => (known !== hash && UNDECIDED.has(is) ? [known] : []));
}

/** A version gives way to another one without a reason being said. */
function isRetirement(state: HistoryEntry['state'], findings: NonNullable<HistoryEntry['findings']>): boolean {
  return state === 'retired' && findings.length > 0;
}
