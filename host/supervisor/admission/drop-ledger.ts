import type { Finding } from '../../generation/contract.js';
import type { DropHandlers, RefusedDrop, WatchOptions } from './contract.js';
import { takeFingerprint, type Fingerprint } from './fingerprint.js';
import { readDrop, type Reading } from './read-drop.js';

/** How long a drop that looks wrong for good must rest before that is believed: copying tools make odd states in between. */
const SETTLE_MS = 200;
/** How long a name may be gone before that is a removal: replacing a folder takes the old one away first. */
const REMOVAL_MS = 250;
/** File systems stamp changes with the tick of a clock: a change this young may be followed by one with an equal stamp. */
const STAMP_TICK_MS = 50;

interface Entry {
  mark: string;
  /** Monotonic, milliseconds: when the mark was last seen to differ. */
  restsSince: number;
  /** The stamp is too young to rely on: read once more. */
  isYoung: boolean;
  goneSince: number | undefined;
  pending: Exclude<Reading, { state: 'complete' }> | undefined;
  /** Monotonic, milliseconds: since when it has been malformed without a rest. */
  malformedSince: number | undefined;
  refusal: { readonly text: string; readonly drop: RefusedDrop } | undefined;
  served: { readonly hash: string; readonly domain: string; readonly order: number } | undefined;
}

/** What is known of every entry of the plugin directory, and what follows from looking at it again. */
export class DropLedger {
  readonly #options: WatchOptions;
  readonly #handlers: DropHandlers;
  readonly #entries = new Map<string, Entry>();
  #order = 0;

  constructor(options: WatchOptions, handlers: DropHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  /** Whether time alone can change what is known, so that looking again soon is worth it. */
  get isUnsettled(): boolean {
    return [...this.#entries.values()].some(
      (entry) => entry.pending !== undefined || entry.isYoung || entry.goneSince !== undefined,
    );
  }

  /** Looks at everything once, oldest change first, so that of two versions the one dropped later is reported later. */
  async look(names: readonly string[]): Promise<void> {
    const present = new Set(names);
    const all = [...new Set([...names, ...this.#entries.keys()])];
    const seen = await Promise.all(
      all.map(async (name) => ({ name, print: await takeFingerprint(this.#options.directory, name) })),
    );
    for (const { name, print } of seen.sort(byAge)) {
      if (print === undefined) this.#lookAtAbsent(name, present.has(name));
      else await this.#lookAt(name, print);
    }
  }

  async #lookAt(name: string, print: Fingerprint): Promise<void> {
    const now = performance.now();
    const entry = this.#entries.get(name) ?? newEntry(now);
    this.#entries.set(name, entry);
    entry.goneSince = undefined;
    const isChanged = entry.mark !== print.mark;
    if (isChanged) {
      entry.mark = print.mark;
      entry.restsSince = now;
    }
    if (isChanged || entry.isYoung) await this.#read(name, entry, print);
    const { pending } = entry;
    if (pending === undefined) return;
    if (this.#isOver(entry, pending, now)) this.#refuse(entry, pending);
  }

  /** Whether to believe what a reading says: it rests, or it has been wrong all the time and may never rest. */
  #isOver(entry: Entry, { state }: NonNullable<Entry['pending']>, now: number): boolean {
    const { incompleteMs } = this.#options;
    const isMalformed = state === 'malformed';
    entry.malformedSince = isMalformed ? (entry.malformedSince ?? now) : undefined;
    if (now - (entry.malformedSince ?? now) >= incompleteMs) return true;
    return now - entry.restsSince >= (isMalformed ? Math.min(SETTLE_MS, incompleteMs) : incompleteMs);
  }

  async #read(name: string, entry: Entry, seen: Fingerprint): Promise<void> {
    entry.isYoung = Math.abs(Date.now() - seen.changedAt) < STAMP_TICK_MS;
    const reading = await readDrop({ directory: this.#options.directory, entry: name, seen }, this.#options);
    if (reading.state !== 'complete') {
      entry.pending = reading;
      return;
    }
    const { drop } = reading;
    entry.pending = undefined;
    entry.malformedSince = undefined;
    this.#withdraw(entry, drop.manifest.domain);
    if (entry.served?.hash === drop.hash) return;
    entry.served = { hash: drop.hash, domain: drop.manifest.domain, order: ++this.#order };
    this.#handlers.complete(drop);
  }

  #refuse(entry: Entry, { drop, findings }: NonNullable<Entry['pending']>): void {
    entry.pending = undefined;
    const text = JSON.stringify([drop.hash, findings.map(sameAs)]);
    if (text === entry.refusal?.text) return;
    this.#withdraw(entry, drop.domain ?? drop.entry);
    entry.refusal = { text, drop };
    this.#handlers.refused(drop, findings);
  }

  /** What the entry was refused as, under another name than it has now, is nowhere any more. */
  #withdraw(entry: Entry, domain: string): void {
    const refused = entry.refusal?.drop;
    entry.refusal = undefined;
    if (refused !== undefined && (refused.domain ?? refused.entry) !== domain) this.#handlers.withdrawn(refused);
  }

  /** A folder that is still there, but empty, may be about to be filled again: that gets the longer patience. */
  #lookAtAbsent(name: string, isPresent: boolean): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    const { served } = entry;
    const now = performance.now();
    entry.pending = undefined;
    entry.isYoung = false;
    entry.goneSince ??= now;
    if (served !== undefined && now - entry.goneSince < (isPresent ? this.#options.incompleteMs : REMOVAL_MS)) return;
    this.#entries.delete(name);
    if (entry.refusal !== undefined) this.#handlers.withdrawn(entry.refusal.drop);
    if (served !== undefined) {
      const { hash, domain } = served;
      this.#handlers.removed({ entry: name, hash, domain, others: this.#servedBy(domain) });
    }
  }

  #servedBy(domain: string): string[] {
    return [...this.#entries]
      .flatMap(([name, { served }]) => (served?.domain === domain ? [{ name, order: served.order }] : []))
      .sort((a, b) => a.order - b.order)
      .map(({ name }) => name);
  }
}

function newEntry(now: number): Entry {
  return {
    mark: '',
    restsSince: now,
    isYoung: false,
    goneSince: undefined,
    pending: undefined,
    malformedSince: undefined,
    refusal: undefined,
    served: undefined,
  };
}

/** What makes a finding another one. What grows is too large by another size at each look. */
function sameAs({ code, message }: Finding): string {
  return code === 'BEDS_ADMISSION_TOO_LARGE' ? code : `${code} ${message}`;
}

interface Seen {
  readonly name: string;
  readonly print: Fingerprint | undefined;
}

function byAge(a: Seen, b: Seen): number {
  const age = (a.print?.changedAt ?? 0) - (b.print?.changedAt ?? 0);
  return age === 0 ? a.name.localeCompare(b.name, 'en', { numeric: true }) : age;
}
