/** The collection that the DBA describes the named objects of a database in. */
export const CATALOGUE = 'beds_objects';

/** What `beds db apply` has put into a database. */
export const APPLIED = 'beds_applied';

// https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
const COLLECTION = /^(?!system\.|\.)[^$\0]{1,120}$/;

/** Why this names no collection that objects may use; undefined where it does. */
export function collectionProblem(name: unknown): string | undefined {
  if (typeof name !== 'string' || !COLLECTION.test(name)) return 'must be the name of a collection';
  return name === CATALOGUE || name === APPLIED ? `must not be ${name}, which is of BEDS itself` : undefined;
}
