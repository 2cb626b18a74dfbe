import type { GenerationSource } from '../../generation/contract.js';
import { preflight, type StoreLookup } from '../admission/preflight.js';

export interface SurroundingsOptions {
  /** The versions, and those of other domains that they call. */
  readonly sources: readonly GenerationSource[];
  readonly stores: StoreLookup;
  readonly isRabbitUp: () => boolean;
}

/** A database that takes longer to say what it has is slow for everybody. */
const ANSWER_MS = 1_500;

/** What versions need and do not answer for themselves: their stores with the objects in them, and RabbitMQ. */
export class Surroundings {
  readonly #options: SurroundingsOptions;
  /** One question at a time: a database that is frozen answers none. */
  #asking: Promise<string | undefined> | undefined;

  constructor(options: SurroundingsOptions) {
    this.#options = options;
  }

  /** What is known to be wrong, without asking anybody; undefined: nothing. */
  glance(): string | undefined {
    const { sources, stores, isRabbitUp } = this.#options;
    if (!isRabbitUp()) return 'RabbitMQ does not answer.';
    for (const { manifest } of sources) {
      if (stores.find(manifest.store)?.status().up === false) return `Store ${manifest.store} does not answer.`;
    }
    return undefined;
  }

  /** Asks the databases whether they answer, and have what the versions were admitted with. Never rejects. */
  async ask(): Promise<string | undefined> {
    const known = this.glance();
    if (known !== undefined) return known;
    this.#asking ??= this.#askAll().finally(() => {
      this.#asking = undefined;
    });
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<string>((resolve) => {
      timer = setTimeout(resolve, ANSWER_MS, `A store does not answer within ${String(ANSWER_MS)} ms.`);
    });
    try {
      return await Promise.race([this.#asking, silence]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #askAll(): Promise<string | undefined> {
    const { sources, stores } = this.#options;
    const found = await Promise.all(
      sources.map(async ({ manifest }) => {
        const { findings } = await preflight(manifest, stores).catch(() => ({ findings: [] }));
        return findings[0]?.message;
      }),
    );
    return found.find((message) => message !== undefined);
  }
}
