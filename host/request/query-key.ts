/** A text that is the same for values that say the same, whatever the order of their names; undefined for what is not plain data. */
export function queryKey(value: unknown): string | undefined {
  const words: string[] = [];
  return write(value, words) ? words.join(' ') : undefined;
}

function write(value: unknown, words: string[]): boolean {
  if (typeof value === 'object' && value !== null) return writeMembers(value, words);
  if (typeof value === 'function' || typeof value === 'symbol' || typeof value === 'bigint') return false;
  // n.b. JSON would make null of NaN, which the adapter refuses.
  words.push(typeof value === 'string' ? JSON.stringify(value) : String(value));
  return true;
}

function writeMembers(value: object, words: string[]): boolean {
  if (Array.isArray(value)) {
    words.push('[');
    const isPlain = value.every((item) => write(item, words));
    words.push(']');
    return isPlain;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  words.push('{');
  for (const name of Object.keys(value).sort()) {
    words.push(JSON.stringify(name));
    if (!write((value as Readonly<Record<string, unknown>>)[name], words)) return false;
  }
  words.push('}');
  return true;
}
