/** `an order`, `a user`. */
export function withArticle(words: string): string {
  return `${/^(?:[aeio]|u(?!ni|s)|hour|honou?r)/.test(words) ? 'an' : 'a'} ${words}`;
}

/** `An order`, where a sentence begins. */
export function withCapital(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}
