import type { NamedObject } from '../contract.js';

const quoted = new WeakMap<{ readonly name: string }, string>();

/** An identifier of the catalogue, for a statement. */
export function quote(named: { readonly name: string }): string {
  const known = quoted.get(named);
  if (known !== undefined) return known;
  const text = `\`${named.name.replaceAll('`', '``')}\``;
  quoted.set(named, text);
  return text;
}

/** The object with its database, whatever database the session is in. */
export function qualified(object: NamedObject): string {
  const { database } = object.native;
  return typeof database === 'string' ? `${quote({ name: database })}.${quote(object)}` : quote(object);
}
