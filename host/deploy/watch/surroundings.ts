import { settlesWithin } from '#sdk/time';
import type { GenerationSource } from '../../template/contract.js';
import { preflight, type Catalogues } from '../admit/preflight.js';

export interface SurroundingsOptions {
  /** The versions, and those of other domains that they call. */
  readonly sources: readonly GenerationSource[];
  readonly stores: Catalogues;
  readonly isRabbitUp: () => boolean;
}

/** A database that takes longer to say what it has is slow for everybody. */
const ANSWER_MS = 1_500;

/** What versions need and do not answer for themselves: their stores with the objects in them, and RabbitMQ. */
export class Surroundings {
  readonly #options: SurroundingsOptions;
  /** One question of each at a time: a database that is frozen answers none. */
  readonly #asking = new Map<GenerationSource, Promise<string | undefined>>();

  constructor(options: SurroundingsOptions) {
    this.#options = options;
  }

  /** Whether something seems to be away, without asking anybody: worth a question, and no proof. */
  get seemAway(): boolean {
    const { sources, stores, isRabbitUp } = this.#options;
    return !isRabbitUp() || sources.some(({ manifest }) => stores.get(manifest.store)?.status().up === false);
  }

  /**
   * Asks the databases whether they answer, and have what the versions were admitted with. Resolves with what is wrong,
   * undefined: nothing. Never rejects.
   */
  async ask(): Promise<string | undefined> {
    if (!this.#options.isRabbitUp()) return 'RabbitMQ does not answer.';
    const found = await Promise.all(this.#options.sources.map((source) => this.#within(source)));
    return found.find((reason) => reason !== undefined);
  }

  async #within(source: GenerationSource): Promise<string | undefined> {
    let asking = this.#asking.get(source);
    if (asking === undefined) {
      asking = this.#askFor(source).finally(() => this.#asking.delete(source));
      this.#asking.set(source, asking);
    }
    return (await settlesWithin(asking, ANSWER_MS)) ? asking : isSilent(source);
  }

  async #askFor(source: GenerationSource): Promise<string | undefined> {
    const { findings } = await preflight(source.manifest, this.#options.stores).catch(() => ({ findings: [] }));
    const [first] = findings;
    return first?.code === 'BEDS_ADMISSION_STORE_UNAVAILABLE' ? isSilent(source) : first?.message;
  }
}

function isSilent({ manifest }: GenerationSource): string {
  return `Store ${manifest.store} does not answer.`;
}
