/** What code throws may be anything: nothing, a proxy, or an object whose members throw when they are read. */

/** `instanceof Error`, for what may be a proxy. */
export function isError(thrown: unknown): thrown is Error {
  try {
    return thrown instanceof Error;
  } catch {
    return false;
  }
}

/** A member of what was thrown, where it is text and can be read. */
export function textOf(thrown: unknown, member: 'name' | 'message' | 'stack' | 'code'): string | undefined {
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
  const message = textOf(thrown, 'message');
  if (message !== undefined) return message;
  try {
    return String(thrown);
  } catch {
    return 'a value that cannot be shown';
  }
}

/** What an error was made from, where that can be read. */
export function causeOf(thrown: Error): unknown {
  try {
    return thrown.cause;
  } catch {
    return undefined;
  }
}
