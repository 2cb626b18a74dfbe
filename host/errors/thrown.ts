/** What code throws may be anything: nothing, a proxy, or an object whose members throw when they are read. */

/**
 * Letters of what was thrown that anybody looks at. It may have half a billion, which whoever searches it or sends it to another thread
 * copies once more: that is more than the heap of a thread has, and V8 ends the whole process for it.
 */
const MOST_LETTERS = 4_194_304;

/** `instanceof Error`, for what may be a proxy. */
export function isError(thrown: unknown): thrown is Error {
  try {
    return thrown instanceof Error;
  } catch {
    return false;
  }
}

type Member = 'name' | 'message' | 'stack' | 'code';

/** A member of what was thrown, where it is text of a length that can be handled, and can be read. */
export function textOf(thrown: unknown, member: Member): string | undefined {
  const text = memberOf(thrown, member);
  return text === undefined || text.length > MOST_LETTERS ? undefined : text;
}

function memberOf(thrown: unknown, member: Member): string | undefined {
  if (typeof thrown !== 'object' || thrown === null) return undefined;
  try {
    const text = (thrown as Readonly<Record<string, unknown>>)[member];
    return typeof text === 'string' ? text : undefined;
  } catch {
    return undefined;
  }
}

/** What was thrown, for a person. */
export function wordsFor(thrown: unknown): string {
  try {
    return readable(memberOf(thrown, 'message') ?? asText(thrown));
  } catch {
    return 'a value that cannot be shown';
  }
}

/** A text of code, or how long it is. n.b. nothing of it is looked at: one that was put together is copied for that. */
export function readable(text: string): string {
  return text.length > MOST_LETTERS ? `a text of ${text.length.toLocaleString('en')} letters` : text;
}

/** n.b. a list of millions would become one text. */
function asText(thrown: unknown): string {
  if (Array.isArray(thrown)) return `an array of ${thrown.length.toLocaleString('en')}`;
  if (ArrayBuffer.isView(thrown)) return `${thrown.byteLength.toLocaleString('en')} bytes`;
  return String(thrown);
}

/** What an error was made from, where that can be read. */
export function causeOf(thrown: Error): unknown {
  try {
    return thrown.cause;
  } catch {
    return undefined;
  }
}
