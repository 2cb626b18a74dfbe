/** One line of a log is not the place for more. */
const MAX_CHARACTERS = 8_192;

/** What code gives to one line of the log: its lines are counted, and none of them may be of any length. */
export function shorten(text: string): string {
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
}
