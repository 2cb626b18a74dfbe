import type { Finding } from '../../template/contract.js';
import type { DropHandlers, RefusedDrop, WatchOptions } from '../admit/contract.js';
import { takeFingerprint, type Fingerprint, readDrop, type Reading } from './read-drop.js';

/** How long a drop that looks wrong for good must rest before that is believed: copying tools make odd states in between. */
const SETTLE_MS = 200;
/** How long a name may be gone before that is a removal: replacing a folder takes the old one away first. */
const REMOVAL_MS = 250;
/** Removals follow each other for as long as somebody empties a directory; they are judged together, after this at the latest. */
const LONGEST_REMOVAL_MS = 2_000;
/** File systems stamp changes with the tick of a clock: a change this young may be followed by one with an equal stamp. */
const STAMP_TICK_MS = 50;

/** What is known of one name in the plugin directory. */
class Entry {
  mark = '';
  /** Monotonic, milliseconds: when the mark was last seen to differ. */
  restsSince = performance.now();
  /** Wall clock, milliseconds: when it was first seen, or began to change. */
  seenAt = 0;
  /** The stamp is too young to rely on: read once more. */
  isYoung = false;
  goneSince: number | undefined;
  /** Since when its folder has been there without a bundle. */
  hollowSince: number | undefined;
  /** The directory in which it was seen last. */
  directory = '';
  /** Why it is not taken for removed though it is not there. */
  missed: Missed['why'] | undefined;
  pending: Exclude<Reading, { state: 'complete' }> | undefined;
  /** Monotonic, milliseconds: since when it has been malformed without a rest. */
  malformedSince: number | undefined;
  refusal: { readonly text: string; readonly drop: RefusedDrop } | undefined;
  served: { readonly hash: string; readonly domain: string; readonly order: number } | undefined;

  /** It is in the directory. */
  isThere(): void {
    this.goneSince = undefined;
    this.hollowSince = undefined;
    this.missed = undefined;
  }
}

/** What the plugin directory is and holds at one moment. */
export interface DirectoryView {
  /** Another directory under the same path has another one. */
  readonly identity: string;
  readonly names: readonly string[];
}

/** A bundle that is not there, and whose domain goes on all the same. */
export interface Missed {
  readonly entry: string;
  readonly domain: string;
  /** Another directory took the place of its own; all bundles went at once; its folder is there, without a bundle. */
  readonly why: 'replaced' | 'emptied' | 'hollow';
}

/** What a look found beside drops and removals. */
export interface LookResult {
  /** Why what is there could not be looked at, by its name. */
  readonly unreadable: ReadonlyMap<string, unknown>;
  readonly missed: readonly Missed[];
}

/** What is known of every entry of the plugin directory, and what follows from looking at it again. */
export class PluginScanner {
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
      (entry) =>
        entry.pending !== undefined || entry.isYoung || (entry.goneSince !== undefined && entry.missed === undefined),
    );
  }

  /**
   * Looks at everything once, oldest change first, so that of two versions the one dropped later is reported later.
   * `isStillThere`: whether the path leads to the same directory after that; what was not found in another one is not gone.
   */
  async look({ names, identity }: DirectoryView, isStillThere: () => Promise<boolean>): Promise<LookResult> {
    const present = new Set(names);
    const all = [...new Set([...names, ...this.#entries.keys()])];
    const seen = await Promise.all(all.map((name) => this.#see(name)));
    const canMiss = await isStillThere();
    const unreadable = new Map<string, unknown>();
    for (const { name, print, error } of seen.sort(byAge)) {
      if (error !== undefined) this.#noteUnreadable(name, { error, unreadable });
      else if (print !== undefined) {
        await this.#lookAt(name, print, identity).catch((reason: unknown) => {
          this.#noteUnreadable(name, { error: reason, unreadable });
        });
      } else if (canMiss) this.#lookAtAbsent(name, present.has(name));
    }
    if (canMiss) this.#judgeGone(identity);
    return { unreadable, missed: this.#missed() };
  }

  async #see(name: string): Promise<Seen> {
    return takeFingerprint(this.#options.directory, name).then(
      (print) => ({ name, print }),
      (error: unknown) => ({ name, print: undefined, error }),
    );
  }

  /** It is as it was, as far as anybody knows; it is read again when it can be. */
  #noteUnreadable(name: string, more: { readonly error: unknown; readonly unreadable: Map<string, unknown> }): void {
    more.unreadable.set(name, more.error);
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    entry.isThere();
    entry.mark = '';
    entry.pending = undefined;
    entry.isYoung = false;
  }

  async #lookAt(name: string, print: Fingerprint, directory: string): Promise<void> {
    const now = performance.now();
    const entry = this.#entries.get(name) ?? new Entry();
    this.#entries.set(name, entry);
    entry.isThere();
    entry.directory = directory;
    const isChanged = entry.mark !== print.mark;
    if (isChanged) {
      if (entry.pending === undefined) entry.seenAt = Date.now();
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
    this.#handlers.complete({ ...drop, bornAt: seen.bornAt, changedAt: seen.changedAt, seenAt: entry.seenAt });
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

  /** What was refused ends at once. What serves ends when its name has been gone for a moment. */
  #lookAtAbsent(name: string, isPresent: boolean): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    entry.pending = undefined;
    entry.isYoung = false;
    if (entry.served === undefined) {
      this.#entries.delete(name);
      if (entry.refusal !== undefined) this.#handlers.withdrawn(entry.refusal.drop);
    } else if (isPresent) {
      const now = performance.now();
      entry.hollowSince ??= now;
      // Whoever replaces a folder empties it first.
      if (now - entry.hollowSince >= this.#options.incompleteMs) entry.missed = 'hollow';
    } else {
      entry.goneSince ??= performance.now();
      entry.hollowSince = undefined;
      if (entry.missed === 'hollow') entry.missed = undefined;
    }
  }

  /** Of what has been gone for long enough: what is a removal, and what is an accident of the whole directory. */
  #judgeGone(identity: string): void {
    const gone = this.#dueRemovals();
    const left = this.#complete().filter(([, entry]) => !gone.includes(entry) && entry.missed === undefined);
    const isEmptied = left.length === 0 && gone.filter(({ missed }) => missed === undefined).length > 1;
    for (const [name, entry] of this.#complete().filter((each) => gone.includes(each[1]))) {
      const isReplaced = left.some(([, { served }]) => served?.domain === entry.served?.domain);
      if (isReplaced) this.#remove(name, entry, gone);
      else if (entry.missed !== undefined) continue;
      else if (entry.directory !== identity) entry.missed = 'replaced';
      else if (isEmptied) entry.missed = 'emptied';
      else this.#remove(name, entry, gone);
    }
  }

  /** Names that went together are judged together: with a wait after the last of them. */
  #dueRemovals(): readonly Entry[] {
    const now = performance.now();
    const gone = this.#complete().flatMap(([, entry]) => (entry.goneSince === undefined ? [] : [entry]));
    const last = Math.max(...gone.map(({ goneSince = 0 }) => goneSince));
    return gone.filter(({ goneSince = now }) => {
      const forMs = now - goneSince;
      return forMs >= LONGEST_REMOVAL_MS || (forMs >= REMOVAL_MS && now - last >= REMOVAL_MS);
    });
  }

  #remove(name: string, { refusal, served }: Entry, gone: readonly Entry[]): void {
    this.#entries.delete(name);
    if (refusal !== undefined) this.#handlers.withdrawn(refusal.drop);
    if (served === undefined) return;
    const { hash, domain } = served;
    const others = this.#complete().filter(([, entry]) => entry.served?.domain === domain && !gone.includes(entry));
    const inOrder = others.sort(([, a], [, b]) => (a.served?.order ?? 0) - (b.served?.order ?? 0));
    this.#handlers.removed({ entry: name, hash, domain, others: inOrder.map(([other]) => other) });
  }

  #complete(): (readonly [string, Entry])[] {
    return [...this.#entries].filter(([, { served }]) => served !== undefined);
  }

  #missed(): readonly Missed[] {
    return this.#complete().flatMap(([entry, { served, missed }]) =>
      served === undefined || missed === undefined ? [] : [{ entry, domain: served.domain, why: missed }],
    );
  }
}

/** What makes a finding another one. What grows is too large by another size at each look. */
function sameAs({ code, message }: Finding): string {
  return code === 'BEDS_ADMISSION_TOO_LARGE' ? code : `${code} ${message}`;
}

interface Seen {
  readonly name: string;
  readonly print: Fingerprint | undefined;
  /** Why nothing is known of it. */
  readonly error?: unknown;
}

function byAge(a: Seen, b: Seen): number {
  const age = (a.print?.changedAt ?? 0) - (b.print?.changedAt ?? 0);
  return age === 0 ? a.name.localeCompare(b.name, 'en', { numeric: true }) : age;
}
