import { compareVersions } from '../compare-versions.js';

/** A bundle of the plugin directory, without its bytes. */
export interface DroppedVersion {
  readonly entry: string;
  readonly hash: string;
  readonly version: string;
  /** Wall clock, milliseconds since 1970: when somebody began to put it there, as far as that shows. */
  readonly begunAt: number;
  /** When the file or folder was made, here or where it was moved from. */
  readonly bornAt: number;
  /** Its last change. */
  readonly changedAt: number;
}

interface Burst {
  best: DroppedVersion;
  /** Wall clock, milliseconds: when the best one served, waited or was refused. */
  decidedAt: number | undefined;
  /** Of the one that came last. */
  changedAt: number;
  readonly members: Map<string, DroppedVersion>;
}

/** Between two files of one copy. */
const NEXT_FILE_MS = 25;
/** File systems stamp changes with the tick of a clock, which lags behind. */
const TICK_MS = 10;
/** A file that is older than its predecessor's arrival by more was moved here: its age says nothing. */
const MOVED_MS = 2_000;

/**
 * Which versions of a domain were dropped together. Copying tools put one file after the other into the directory: what
 * somebody began to put there before the version before it took over, or right after the last one, belongs to it.
 */
export class DropBursts {
  readonly #bursts = new Map<string, Burst>();
  readonly #isOnItsWay: (hash: string) => boolean;

  constructor(isOnItsWay: (hash: string) => boolean) {
    this.#isOnItsWay = isOnItsWay;
  }

  /** The best of what was dropped together with this one so far. */
  bestBeside(domain: string, dropped: DroppedVersion): DroppedVersion | undefined {
    const burst = this.#bursts.get(domain);
    return burst !== undefined && this.#belongs(burst, dropped) ? burst.best : undefined;
  }

  isDecided(domain: string): boolean {
    return this.#bursts.get(domain)?.decidedAt !== undefined;
  }

  /** Members come to `best`, which takes the place of the one before; `isNew`: nothing from before belongs to them. */
  add(domain: string, best: DroppedVersion, members: readonly DroppedVersion[]): void {
    const before = this.#bursts.get(domain);
    const isSame = before !== undefined && this.#belongs(before, best);
    const all = [...(isSame ? before.members.values() : []), ...members, best];
    this.#bursts.set(domain, {
      best,
      decidedAt: isSame && before.best.hash === best.hash ? before.decidedAt : undefined,
      changedAt: Math.max(...all.map(({ changedAt }) => changedAt)),
      members: new Map(all.map((member) => [member.hash, member])),
    });
  }

  /** The version serves, waits for somebody, or was refused. */
  decided(domain: string, hash: string): void {
    const burst = this.#bursts.get(domain);
    if (burst?.best.hash === hash) burst.decidedAt ??= Date.now();
  }

  /** What was dropped together with the best one, which `hash` names, highest first; nothing where it is not that. */
  runnersUp(domain: string, hash: string): readonly DroppedVersion[] {
    const burst = this.#bursts.get(domain);
    if (burst?.best.hash !== hash) return [];
    return [...burst.members.values()]
      .filter((member) => member.hash !== hash)
      .sort((a, b) => compareVersions(b.version, a.version));
  }

  #belongs({ best, decidedAt, changedAt }: Burst, { begunAt, bornAt }: DroppedVersion): boolean {
    if (decidedAt === undefined) return this.#isOnItsWay(best.hash);
    const from = bornAt >= changedAt - MOVED_MS ? Math.min(bornAt, begunAt) : begunAt;
    return from <= Math.max(decidedAt - TICK_MS, changedAt + NEXT_FILE_MS);
  }
}
