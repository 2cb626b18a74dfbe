import type { Access, Manifest, ObjectManifest, RowRule } from '@beds/sdk';
import { breaking, type Difference, loosened, namesOfBoth, own } from './compare-values.js';

/** What a rule asks for, in words. */
function wordsFor(access: Access): string {
  switch (access) {
    case 'anyone':
      return 'anyone';
    case 'signed-in':
      return 'every user';
    case 'host':
      return 'hosts only';
    case 'code':
      return 'whom its code lets';
    default:
      return `the roles ${[...access].sort().join(', ')}`;
  }
}

/** Compares who may call an operation, or read a view: whoever may no longer is broken, whoever may now is called out. */
export function compareAccess(live: Access, next: Access): readonly Difference[] {
  const change = `access changed from ${wordsFor(live)} to ${wordsFor(next)}`;
  const gained = gains(live, next);
  const lost = gains(next, live);
  return [
    ...(lost === 'nobody' ? [] : [breaking(`${change}: ${lost} may no longer`)]),
    ...(gained === 'nobody' ? [] : [loosened(`${change}: ${gained} may now`)]),
  ];
}

/** Who passes `next` that did not pass `live`, in words. */
function gains(live: Access, next: Access): string {
  if (isSame(live, next) || live === 'anyone' || next === 'host') return 'nobody';
  if (next === 'anyone') return 'whoever is not signed in';
  if (live === 'signed-in') return 'nobody';
  if (live === 'host') return 'users';
  if (next === 'signed-in') return 'every user';
  if (next === 'code' || live === 'code') return 'others';
  const added = next.filter((role) => !live.includes(role)).sort();
  return added.length === 0 ? 'nobody' : added.join(', ');
}

function isSame(live: Access, next: Access): boolean {
  if (typeof live === 'string' || typeof next === 'string') return live === next;
  return live.length === next.length && live.every((role) => next.includes(role));
}

/** Compares which rows of a view there are for a user. */
export function compareRows(live: RowRule = {}, next: RowRule = {}): readonly Difference[] {
  return namesOfBoth(live, next).flatMap((column) => {
    const [before, after] = [own(live, column), own(next, column)];
    if (before === after) return [];
    const rule = (value: string | undefined): string => `${column} = ${String(value)}`;
    const lost = after === undefined ? [] : [breaking(`rows are bound by ${rule(after)} now`)];
    return before === undefined ? lost : [...lost, loosened(`rows are no longer bound by ${rule(before)}`)];
  });
}

/** Compares which arguments of a routine are filled in from the user. n.b. that callers give others is said of the arguments. */
export function compareBound(
  live: ObjectManifest | undefined,
  next: ObjectManifest | undefined,
): readonly Difference[] {
  const [before, after] = [bindOf(live), bindOf(next)];
  return namesOfBoth(before, after).flatMap((name) => {
    const [from, to] = [own(before, name)?.from, own(after, name)?.from];
    if (from === to) return [];
    const lost = to === undefined ? [] : [breaking(`argument ${name} is ${to} now`)];
    return from === undefined ? lost : [...lost, loosened(`argument ${name} is no longer ${from}`)];
  });
}

function bindOf(
  object: ObjectManifest | undefined,
): NonNullable<Extract<ObjectManifest, { kind: 'procedure' }>['bind']> {
  return object === undefined || object.kind === 'view' ? {} : (object.bind ?? {});
}

/** Compares which domains are called in the name of this one. */
export function compareAuthority(live: Manifest, next: Manifest): readonly Difference[] {
  const [before, after] = [live.asDomain ?? [], next.asDomain ?? []];
  const raised = after.filter((domain) => !before.includes(domain));
  return raised.map((domain) => loosened(`calls ${domain} in its own name now, whoever is signed in`));
}
