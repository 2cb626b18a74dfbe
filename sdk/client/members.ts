/** `,"name":value` for every member that is there. The names are ours: they need no escapes. */
export function members(values: object): string {
  let text = '';
  for (const name in values) {
    const value: unknown = values[name as keyof typeof values];
    if (value !== undefined) text += `,"${name}":${JSON.stringify(value)}`;
  }
  return text;
}
