import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

interface Cost {
  /** The logarithm of N. */
  readonly logN: number;
  readonly r: number;
  readonly p: number;
}

/** 32 MB: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt */
const COST: Cost = { logN: 15, r: 8, p: 3 };
const KEY_BYTES = 32;
const SALT_BYTES = 16;

interface Salted extends Cost {
  readonly salt: Buffer;
}

let turn: Promise<unknown> = Promise.resolve();

interface Terms {
  readonly signal?: AbortSignal | undefined;
  /** What is done when its turn has come; where it throws, that was all. */
  readonly before?: () => Promise<void>;
}

/** One at a time in each thread, so that sign-ins leave processors to others; what nobody waits for any more is not begun. */
function derive(password: string, salted: Salted, { signal, before }: Terms): Promise<Buffer> {
  const work = async (): Promise<Buffer> => {
    signal?.throwIfAborted();
    await before?.();
    return derived(password, salted);
  };
  const mine = turn.then(work);
  turn = mine.catch(() => undefined);
  return mine;
}

function derived(password: string, { salt, logN, r, p }: Salted): Promise<Buffer> {
  const N = 2 ** logN;
  const options = { N, r, p, maxmem: 256 * N * r };
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFKC'), salt, KEY_BYTES, options, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

/** What is kept of a password: `scrypt$15$8$3$<salt>$<key>`. */
export async function hashPassword(password: string, signal?: AbortSignal): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const key = await derive(password, { ...COST, salt }, { signal });
  const { logN, r, p } = COST;
  return `scrypt$${logN}$${r}$${p}$${salt.toString('base64url')}$${key.toString('base64url')}`;
}

interface Stored extends Salted {
  readonly key: Buffer;
}

function parse(text: string): Stored | undefined {
  const [kind, logN, r, p, salt = '', key = ''] = text.split('$');
  if (kind !== 'scrypt' || key === '') return undefined;
  const bytes = { salt: Buffer.from(salt, 'base64url'), key: Buffer.from(key, 'base64url') };
  return { logN: Number(logN), r: Number(r), p: Number(p), ...bytes };
}

/** What a name is compared with that nobody has: it takes as long. */
const NOBODY: Stored = { ...COST, salt: randomBytes(SALT_BYTES), key: randomBytes(KEY_BYTES) };

export interface Comparison {
  readonly isRight: boolean;
  /** It was hashed at a cost that is no longer the present one. */
  readonly isOutdated: boolean;
}

/** Takes the same time whether there is something to compare with or not. */
export async function comparePassword(
  password: string,
  kept: string | undefined,
  terms: Terms = {},
): Promise<Comparison> {
  const stored = parse(kept ?? '');
  const { key, ...cost } = stored ?? NOBODY;
  const isSame = timingSafeEqual(await derive(password, cost, terms), key);
  const isOutdated = cost.logN !== COST.logN || cost.r !== COST.r || cost.p !== COST.p;
  return { isRight: isSame && stored !== undefined, isOutdated };
}
