/**
 * Which of two semantic versions is higher: negative where `a` is lower, 0 where they are of the same precedence, which
 * build metadata do not change. https://semver.org/#spec-item-11
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parse(a), parse(b)];
  for (const [index, number] of left.numbers.entries()) {
    const difference = compareNumbers(number, right.numbers[index] ?? '0');
    if (difference !== 0) return difference;
  }
  return comparePreReleases(left.preRelease, right.preRelease);
}

interface Version {
  readonly numbers: readonly string[];
  readonly preRelease: readonly string[];
}

function parse(version: string): Version {
  const [precedent = ''] = version.split('+');
  const dash = precedent.indexOf('-');
  const core = dash === -1 ? precedent : precedent.slice(0, dash);
  return { numbers: core.split('.'), preRelease: dash === -1 ? [] : precedent.slice(dash + 1).split('.') };
}

/** What is released is higher than what leads to it; of two of those, the first identifier that differs decides. */
function comparePreReleases(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return b.length - a.length;
  for (const [index, identifier] of a.entries()) {
    const other = b[index];
    const difference = other === undefined ? 1 : compareIdentifiers(identifier, other);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function compareIdentifiers(a: string, b: string): number {
  const [isNumber, isOtherNumber] = [isNumeric(a), isNumeric(b)];
  if (isNumber && isOtherNumber) return compareNumbers(a, b);
  if (isNumber !== isOtherNumber) return isNumber ? -1 : 1;
  return compareText(a, b);
}

function isNumeric(identifier: string): boolean {
  return /^\d+$/.test(identifier);
}

/** n.b. without leading zeros, as the rules have it; they may be longer than a number can be exact. */
function compareNumbers(a: string, b: string): number {
  return a.length === b.length ? compareText(a, b) : a.length - b.length;
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
