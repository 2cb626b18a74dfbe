/**
 * What an address is counted as. Whoever has an IPv6 address has all of its /64, so they count as one. An IPv4 address is the
 * same where a socket of both kinds writes it as IPv6 (`::ffff:192.0.2.1`, RFC 4291, 2.5.5.2).
 */
export function networkOf(address: string): string {
  const url = `http://[${address.replace(/%.*$/, '')}]`;
  if (!address.includes(':') || !URL.canParse(url)) return address;
  // n.b. a URL has the shortest form, in lower case.
  const shortest = new URL(url).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(shortest) ?? [];
  if (high !== undefined && low !== undefined) return [high, low].flatMap(bytesOf).join('.');
  const [before = '', after = ''] = shortest.split('::');
  const groups = [before, after].map((part) => (part === '' ? [] : part.split(':')));
  const [first = [], last = []] = groups;
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => '0');
  return `${[...first, ...zeros, ...last].slice(0, 4).join(':')}::/64`;
}

function bytesOf(group: string): readonly number[] {
  const value = parseInt(group, 16);
  return [value >> 8, value & 255];
}
