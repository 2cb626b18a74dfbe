import type { Json, JsonObject } from './json.js';
import type { Where } from './query.js';
import { readValue } from './read-value.js';
import type { ValueDescription, ValueType } from './values.js';

/** Who is signed in, as code sees it. */
export interface User {
  readonly id: string;
  readonly name?: string | undefined;
  readonly roles: readonly string[];
  /** The public name of the session; nobody can sign in with it. */
  readonly session: string;
}

/**
 * Who may call an operation, as a manifest says it. `signed-in`: every user; a list: users who have one of these roles; `code`: a
 * function of the template decides, for users; `host`: hosts of BEDS only.
 */
export type Access = 'anyone' | 'signed-in' | 'host' | 'code' | readonly string[];

/** Decides by who asks, and what for: `input` has been checked. Anything but true refuses. */
export type AccessCheck = (user: User, input: JsonObject) => boolean;

/** Who may call an operation, as an author writes it. */
export type AccessRule = Exclude<Access, 'code'> | AccessCheck;

/** What of the user a row or an argument can be bound to. */
export const USER_VALUES = ['user.id', 'user.roles'] as const;
export type UserValue = (typeof USER_VALUES)[number];

/** By column of a view: what of the user it must have. All must hold. */
export type RowRule = Readonly<Record<string, UserValue>>;

/** An argument that no caller gives: the host fills it in. */
export interface BoundArgument {
  readonly from: UserValue;
  readonly value: ValueDescription;
}

/** Whether the rule lets this user pass; of one that is code or for hosts, that is for whoever knows more to say. */
export function allows(access: Access, user: User | undefined): boolean {
  if (access === 'anyone') return true;
  if (user === undefined || access === 'host') return false;
  if (typeof access === 'string') return true;
  for (const role of access) if (user.roles.includes(role)) return true;
  return false;
}

/** The value for a bound argument; undefined where what the user has is none of that type. */
export function boundValue(user: User, { from, value }: BoundArgument): Json | undefined {
  const given = from === 'user.roles' ? user.roles : (numberOf(user.id, value.type) ?? user.id);
  const read = readValue(given, value);
  return 'value' in read ? read.value : undefined;
}

/** Ids are texts here, whatever they are in the database. */
function numberOf(id: string, type: ValueType): number | undefined {
  const isWhole = (type === 'integer' || type === 'number') && /^-?(?:0|[1-9]\d{0,14})$/.test(id);
  return isWhole ? Number(id) : undefined;
}

/** What the rows of a bound view must have beside what the query asks. */
export function rowsOf(user: User, rule: RowRule): Where {
  const entries = Object.entries(rule).map(([column, from]) => [
    column,
    from === 'user.id' ? user.id : { in: user.roles },
  ]);
  return Object.fromEntries(entries) as Where;
}
