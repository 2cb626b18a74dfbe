/** FNV-1a over UTF-16 code units, as a signed 32 bit number; `from` goes on from the digest of what came before. */
export function fnv1a(text: string, from = 0x811c9dc5): number {
  let digest = from;
  for (let index = 0; index < text.length; index += 1) {
    digest = Math.imul(digest ^ text.charCodeAt(index), 0x01000193);
  }
  return digest;
}
