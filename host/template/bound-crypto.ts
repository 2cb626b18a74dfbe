import crypto from 'node:crypto';

type Work = (...args: readonly unknown[]) => unknown;
type Names = Readonly<Record<string, unknown>>;

/** Each takes some seconds at most: what is in use takes a hundredth of it. */
const MOST = { rounds: 10_000_000, scrypt: 2 ** 24, bits: 4_096, safeBits: 2_048, checks: 1_000 } as const;
/** Node has four threads for what it computes beside the JavaScript of all threads of the process. */
const AT_ONCE = 2;

/**
 * Bounds what code of this thread asks of native code. Nobody can interrupt it, and what Node computes beside JavaScript takes one of
 * the few threads in which the host reads files and looks up names: with rounds without end no version could be swapped in
 * any more, and the process could not end. So each call is bounded, and few of one thread are under way at once.
 * n.b. before what is shared is frozen. Drivers call it as well, for a thousandth of that.
 */
export function boundCrypto(): void {
  const module = crypto as unknown as Record<string, Work>;
  const turns = new Turns();
  for (const [name, limit] of Object.entries(LIMITS)) {
    const own = module[name];
    if (own !== undefined) module[name] = bounded(name, { own, limit, turns });
  }
  const methods = Object.getPrototypeOf(crypto.subtle) as Record<string, Work>;
  for (const name of OF_WEB) {
    const own = methods[name];
    if (own !== undefined) methods[name] = boundedOfWeb(name, own, turns);
  }
}

interface Bounds {
  readonly own: Work;
  readonly limit: Limit;
  readonly turns: Turns;
}

function bounded(name: string, { own, limit, turns }: Bounds): Work {
  const call: Work = (...args) => {
    refuse(name, limit(args));
    const done = args.at(-1);
    if (typeof done !== 'function') return own(...args);
    turns.take(
      (ended) => {
        own(...args.slice(0, -1), (...results: readonly unknown[]) => {
          ended();
          Reflect.apply(done, undefined, results);
        });
      },
      (error) => process.nextTick(done, error),
    );
    return undefined;
  };
  // n.b. with what says how `promisify` names several results.
  return Object.defineProperties(call, Object.getOwnPropertyDescriptors(own));
}

function boundedOfWeb(name: string, own: Work, turns: Turns): Work {
  const call = async function (this: unknown, ...args: readonly unknown[]): Promise<unknown> {
    refuse(name, limitOfWeb(args));
    return turns.promise(() => Reflect.apply(own, this, args) as Promise<unknown>);
  };
  return Object.defineProperty(call, 'name', { value: name });
}

/** Lets so many be under way, and the others wait. */
class Turns {
  #atWork = 0;
  readonly #waiting: (() => void)[] = [];

  promise(work: () => Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.take((ended) => {
        work().finally(ended).then(resolve, reject);
      }, reject);
    });
  }

  /** Where its arguments are wrong `work` throws: at once where it is its turn, or else to `onError`. */
  take(work: (ended: () => void) => void, onError: (error: unknown) => void): void {
    if (this.#atWork < AT_ONCE) {
      this.#begin(work);
      return;
    }
    this.#waiting.push(() => {
      try {
        this.#begin(work);
      } catch (error) {
        onError(error);
      }
    });
  }

  #begin(work: (ended: () => void) => void): void {
    const ended = (): void => {
      this.#atWork -= 1;
      this.#waiting.shift()?.();
    };
    this.#atWork += 1;
    try {
      work(ended);
    } catch (error) {
      ended();
      throw error;
    }
  }
}

/** What is too much of a call; undefined: nothing. */
type Limit = (args: readonly unknown[]) => string | undefined;

const ofPbkdf2: Limit = ([, , iterations, bytes]) => ofRounds(numberOr(iterations, 0), numberOr(bytes, 0));
const ofScrypt: Limit = ([, , , options]) => {
  const { N, cost, r, blockSize, p, parallelization } = namesOf(options);
  const product = numberOr(N ?? cost, 16_384) * numberOr(r ?? blockSize, 8) * numberOr(p ?? parallelization, 1);
  return tooMuch('of cost * blockSize * parallelization', product, MOST.scrypt);
};
const ofPrime: Limit = ([size, options]) =>
  tooMuch('bits', size, namesOf(options)['safe'] === true ? MOST.safeBits : MOST.bits);
const ofKeys: Limit = ([, options]) => {
  const { modulusLength, primeLength } = namesOf(options);
  return tooMuch('bits', modulusLength, MOST.bits) ?? tooMuch('bits of the prime', primeLength, MOST.safeBits);
};
const ofCheck: Limit = ([candidate, options]) => {
  const bits = typeof candidate === 'bigint' ? candidate.toString(16).length * 4 : bytesOf(candidate) * 8;
  return tooMuch('bits', bits, 2 * MOST.bits) ?? tooMuch('checks', namesOf(options)['checks'], MOST.checks);
};

const LIMITS: Readonly<Record<string, Limit>> = {
  ...{ pbkdf2: ofPbkdf2, pbkdf2Sync: ofPbkdf2, scrypt: ofScrypt, scryptSync: ofScrypt },
  ...{ generatePrime: ofPrime, generatePrimeSync: ofPrime, checkPrime: ofCheck, checkPrimeSync: ofCheck },
  ...{ generateKeyPair: ofKeys, generateKeyPairSync: ofKeys },
  createDiffieHellman: ([prime]) =>
    tooMuch('bits of the prime', prime, MOST.safeBits) ?? tooMuch('bits', bytesOf(prime) * 8, 2 * MOST.bits),
};
/** The usual ones; a shorter one takes some times as many. */
const HASH_BYTES = 64;
/** What computes for long there. */
const OF_WEB = ['deriveBits', 'deriveKey', 'generateKey'];

/** n.b. it makes numbers of texts. */
const limitOfWeb: Limit = ([algorithm, , bits]) => {
  const { iterations, modulusLength } = namesOf(algorithm);
  return (
    ofRounds(Number(iterations), typeof bits === 'number' ? bits / 8 : 0) ??
    tooMuch('bits', Number(modulusLength), MOST.bits)
  );
};

/** A key of more bytes than a hash has takes all rounds once more for each. */
function ofRounds(rounds: number, bytes: number): string | undefined {
  return tooMuch('rounds', rounds * Math.max(1, Math.ceil(bytes / HASH_BYTES)), MOST.rounds);
}

function refuse(name: string, why: string | undefined): void {
  if (why !== undefined) throw new RangeError(`crypto.${name}: templates may ask for at most ${why}.`);
}

function tooMuch(what: string, value: unknown, most: number): string | undefined {
  return typeof value === 'number' && value > most ? `${most.toLocaleString('en')} ${what}` : undefined;
}

function namesOf(value: unknown): Names {
  return typeof value === 'object' && value !== null ? (value as Names) : {};
}

function numberOr(value: unknown, usual: number): number {
  return typeof value === 'number' ? value : usual;
}

function bytesOf(value: unknown): number {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value) ? value.byteLength : 0;
}
