/** Fewer digits of a hash could be taken for a version. */
const MIN_HASH_DIGITS = 6;

/** Whether a person means these bytes: by the version, or by the hash or its beginning, at least six digits. */
export function isNamed(bytes: { readonly version: string; readonly hash: string }, name: string): boolean {
  return bytes.version === name || (name.length >= MIN_HASH_DIGITS && bytes.hash.startsWith(name));
}
