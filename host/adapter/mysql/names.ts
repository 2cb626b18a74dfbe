import type { NamedObject } from '../contract.js';

/** An identifier of the catalogue, for a statement. */
export function quote({ name }: { readonly name: string }): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** The object with its database, whatever database the session is in. */
export function qualified(object: NamedObject): string {
  const { database } = object.native;
  return typeof database === 'string' ? `${quote({ name: database })}.${quote(object)}` : quote(object);
}
