import { createHash, randomUUID } from 'node:crypto';
import { refused } from '@beds/sdk';
import { told } from './outbox.js';
import { hashPassword } from './password.js';

/** Characters of a key; a letter may become eighteen by its normal form. */
const LONGEST_KEY = 200;

/** n.b. what nobody sees makes no other name: soft hyphens, spaces without width. */
const UNSEEN = /\p{Default_Ignorable_Code_Point}/gu;

/** The form in which two names are the same. */
export function keyOf(name: string): string {
  const key = name.toWellFormed().normalize('NFKC').replace(UNSEEN, '').trim().toLowerCase();
  return key.length <= LONGEST_KEY ? key : createHash('sha256').update(key).digest('hex');
}

/** A name as it is kept. */
export function nameOf(given: string): string {
  if (keyOf(given) === '') throw refused('A name has at least one character.');
  if (/\p{Cc}/u.test(given)) throw refused('A name has no control characters.');
  return given.trim();
}

export function strong(password: string): string {
  if (password.length < 8) throw refused('A password has at least 8 characters.');
  return password;
}

export interface Wanted {
  readonly name: string;
  readonly password: string;
  readonly roles: readonly string[];
}

/** The arguments of `user_insert`. */
export interface NewUser extends Wanted {
  readonly id: string;
  readonly name_key: string;
  readonly created_at: number;
  readonly event: string;
}

export async function newUser({ name: given, password, roles }: Wanted, signal?: AbortSignal): Promise<NewUser> {
  const name = nameOf(given);
  const kept = await hashPassword(strong(password), signal);
  const [id, at] = [randomUUID(), Date.now()];
  const event = told(at, ['user.created', { user: id, name }]);
  return { id, name, name_key: keyOf(name), roles, password: kept, created_at: at, event };
}
