import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  hash,
  type KeyObject,
  randomBytes,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/schema.js';
import { adminErrors } from '../errors/admin.js';
import { publishFault } from '../observe/channels.js';
import { hasOrderDesk } from '../roles.js';

/** The AMQP header with the key and the signature of an order. */
export const ORDER_HEADER = 'beds-order';
/** For so long nodes take an order. Their clocks may differ from that of the admin node by less. */
export const ORDER_MS = 60_000;

/** What a signature of an order is for. */
const ORDER = 'beds-order-v1';
const SECRET_FILE = 'order-secret';
const SECRET = /^[A-Za-z0-9_-]{43}$/;
/** What stands before 32 bytes to make them a key: https://www.rfc-editor.org/rfc/rfc8410#section-7 */
const PRIVATE = Buffer.from('302e020100300506032b657004220420', 'hex');
const PUBLIC = Buffer.from('302a300506032b6570032100', 'hex');

/** How the token that stands for the owner begins. It is no session: domains know users only. */
const OWNER_TOKEN = 'bo_';

/** What an admin node signs orders with. */
export class OrderKey {
  /** What other nodes are configured with. */
  readonly publicKey: string;
  /** What stands for whoever can read the secret: he could sign orders himself. */
  readonly ownerToken: string;
  readonly #private: KeyObject;

  /** 32 bytes in base64url. */
  constructor(secret: string) {
    const seed = Buffer.from(secret, 'base64url');
    this.#private = createPrivateKey({ key: Buffer.concat([PRIVATE, seed]), format: 'der', type: 'pkcs8' });
    const spki = createPublicKey(this.#private).export({ format: 'der', type: 'spki' });
    this.publicKey = spki.subarray(PUBLIC.length).toString('base64url');
    this.ownerToken = `${OWNER_TOKEN}${createHmac('sha256', seed).update('beds-owner-v1').digest('base64url')}`;
  }

  /** The value of the header. */
  sign(prefix: string, body: Buffer, purpose = ORDER): string {
    return `${this.publicKey}.${sign(null, signedText({ prefix, body, purpose }), this.#private).toString('base64url')}`;
  }

  isOwner(token: string): boolean {
    return isSameText(token, this.ownerToken);
  }
}

/** n.b. the prefix: what was signed for one installation is no order in another one. */
function signedText({ prefix, body, purpose }: Signed): Buffer {
  return Buffer.concat([Buffer.from(`${purpose}\0${prefix}\0`), body]);
}

interface Signed {
  readonly prefix: string;
  readonly body: Buffer;
  readonly purpose: string;
}

function isSameText(one: string, other: string): boolean {
  const digest = (text: string): Buffer => hash('sha256', text, 'buffer');
  return timingSafeEqual(digest(one), digest(other));
}

/** The key of this admin node: the configured one, or one that is made at the first start and that only its owner reads. */
export function openOrderKey({ security }: Pick<Config, 'security'>, directory: string): OrderKey {
  if (security.orderSecret !== '') return new OrderKey(security.orderSecret);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(join(directory, SECRET_FILE), randomBytes(32).toString('base64url'), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const kept = readSecret(directory);
  if (kept !== undefined) return new OrderKey(kept);
  const message = `${join(directory, SECRET_FILE)} holds no key.`;
  throw adminErrors.make('BEDS_ADMIN_KEY_INVALID', message);
}

/** The token of whoever can read the secret of the admin node of this checkout; undefined: he cannot. */
export function readOwnerToken({ security }: Pick<Config, 'security'>, directory: string): string | undefined {
  const secret = security.orderSecret === '' ? readSecret(directory) : security.orderSecret;
  return secret === undefined ? undefined : new OrderKey(secret).ownerToken;
}

function readSecret(directory: string): string | undefined {
  try {
    const text = readFileSync(join(directory, SECRET_FILE), 'utf8').trim();
    return SECRET.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/** What comes with an order. */
export interface GivenOrder {
  readonly content: Buffer;
  /** The value of the header, whatever it is. */
  readonly header: unknown;
  readonly message: Readonly<Record<string, unknown>>;
}

export interface OrderGateOptions {
  readonly config: Config;
  /** Of this node, where it is an admin node. */
  readonly ownKey?: OrderKey | undefined;
  /** Where it is written down which orders were taken. */
  readonly directory: string;
}

/** Which orders a node takes: those of an admin node, each once and in time; without an admin node those of everybody. */
export class OrderGate {
  readonly takesDirect: boolean;
  readonly #prefix: string;
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #taken: TakenOrders;
  /** The last order for each domain, until one from before it would be late. */
  readonly #newest = new Map<string, { readonly revision: number; readonly untilMs: number }>();

  constructor({ config, ownKey, directory }: OrderGateOptions) {
    const { directOrders, orderKeys } = config.security;
    const keys = [...orderKeys, ...(ownKey === undefined ? [] : [ownKey.publicKey])];
    this.takesDirect = directOrders && keys.length === 0 && !hasOrderDesk(config);
    this.#prefix = config.amqp.prefix;
    this.#keys = new Map(keys.map((key) => [key, publicKeyOf(key)]));
    this.#taken = new TakenOrders(directory);
  }

  /** Whether an order is one of an admin node; throws what is wrong with one that is not taken. */
  admit({ content, header, message }: GivenOrder): boolean {
    if (this.takesDirect) return false;
    if (typeof header !== 'string') {
      const none = 'Nor does it know the key of one: security.orderKeys is empty.';
      throw adminErrors.make('BEDS_ADMIN_NOT_SIGNED', undefined, this.#keys.size === 0 ? { hint: none } : {});
    }
    if (!this.isSigned(content, { header, purpose: ORDER })) throw adminErrors.make('BEDS_ADMIN_FORGED');
    const { id, until, revision } = (message['order'] ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof id !== 'string' || typeof until !== 'number' || typeof revision !== 'number')
      throw adminErrors.make('BEDS_ADMIN_FORGED');
    if (Date.now() > until) throw adminErrors.make('BEDS_ADMIN_LATE');
    if (!this.#taken.take(id, until)) throw adminErrors.make('BEDS_ADMIN_REPLAYED');
    this.#requireNewest(message['domain'], revision);
    return true;
  }

  /** Whether this node knows an admin node that has signed that, for this purpose. */
  isSigned(body: Buffer, { header, purpose }: { readonly header: string; readonly purpose: string }): boolean {
    const [name = '', signature = ''] = header.split('.');
    const key = this.#keys.get(name);
    const text = signedText({ prefix: this.#prefix, body, purpose });
    return key !== undefined && verify(null, text, key, Buffer.from(signature, 'base64url'));
  }

  /** Two admin nodes may give orders for one domain at once: all nodes go by the one that is later in the audit. */
  #requireNewest(domain: unknown, revision: number): void {
    if (typeof domain !== 'string') return;
    const nowMs = performance.now();
    // n.b. what is older is late by now; and an audit may have been begun anew.
    for (const [name, { untilMs }] of this.#newest) if (untilMs < nowMs) this.#newest.delete(name);
    if (revision < (this.#newest.get(domain)?.revision ?? 0)) throw adminErrors.make('BEDS_ADMIN_STALE');
    this.#newest.set(domain, { revision, untilMs: nowMs + ORDER_MS });
  }
}

function publicKeyOf(text: string): KeyObject {
  const raw = Buffer.from(text, 'base64url');
  return createPublicKey({ key: Buffer.concat([PUBLIC, raw]), format: 'der', type: 'spki' });
}

const TAKEN_FILE = 'orders-taken';
/** Lines of which most may be of orders that are late by now. */
const MOST_LINES = 1_000;

/** The orders that were taken and are not late yet, also by the process that was here before. */
class TakenOrders {
  readonly #path: string;
  readonly #untilOf = new Map<string, number>();
  #lines = 0;

  constructor(directory: string) {
    this.#path = join(directory, TAKEN_FILE);
    for (const line of linesOf(this.#path)) {
      const [until, id = ''] = line.split(' ');
      this.#untilOf.set(id, Number(until));
      this.#lines += 1;
    }
  }

  /** False: it was taken before. n.b. it is written down before anything is done. */
  take(id: string, until: number): boolean {
    if (this.#untilOf.has(id)) return false;
    this.#untilOf.set(id, until);
    try {
      if (this.#lines >= MOST_LINES) this.#rewrite();
      else appendFileSync(this.#path, `${until} ${id}\n`, { mode: 0o600 });
      this.#lines += 1;
    } catch (error) {
      // A full disk must not keep an operator from a rollback; until this process ends it is known all the same.
      publishFault({ where: this.#path, error });
    }
    return true;
  }

  #rewrite(): void {
    const nowMs = Date.now();
    for (const [id, until] of this.#untilOf) if (until < nowMs) this.#untilOf.delete(id);
    const draft = `${this.#path}.draft`;
    writeFileSync(draft, [...this.#untilOf].map(([id, until]) => `${until} ${id}\n`).join(''), { mode: 0o600 });
    renameSync(draft, this.#path);
    this.#lines = this.#untilOf.size;
  }
}

function linesOf(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch {
    return [];
  }
}
