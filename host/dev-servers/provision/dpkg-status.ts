import { existsSync, readFileSync } from 'node:fs';

const STATUS_FILE = '/var/lib/dpkg/status';

interface InstalledPackage {
  readonly paragraph: string;
  /** Its own name and those it stands for. */
  readonly names: readonly string[];
  readonly needs: readonly string[];
}

/**
 * dpkg's list of installed packages as if those that match, and all that need them, were absent. (Without the second
 * part apt finds the rest of the system broken and refuses to resolve anything.)
 */
export function installedWithout(names: RegExp): string {
  if (!existsSync(STATUS_FILE)) return '';
  const paragraphs = readFileSync(STATUS_FILE, 'utf8').split('\n\n');
  let kept = paragraphs.map(parse);
  const gone = new Set<string>();
  for (;;) {
    const next = kept.filter((each) => !names.test(each.names[0] ?? '') && !each.needs.some((need) => gone.has(need)));
    if (next.length === kept.length) return kept.map((each) => each.paragraph).join('\n\n');
    const left = new Set(next);
    for (const name of kept.flatMap((each) => (left.has(each) ? [] : each.names))) gone.add(name);
    kept = next;
  }
}

function parse(paragraph: string): InstalledPackage {
  const field = (name: string): string => new RegExp(`^${name}: (.+)$`, 'm').exec(paragraph)?.[1] ?? '';
  // https://www.debian.org/doc/debian-policy/ch-relationships.html: "a (>= 1) | b, c:any"
  const list = (text: string): readonly string[] =>
    text.split(/[,|]/).map((each) => each.trim().replace(/[\s:(].*$/, ''));
  return {
    paragraph,
    names: [field('Package'), ...list(field('Provides'))].filter((name) => name !== ''),
    needs: [...list(field('Depends')), ...list(field('Pre-Depends'))].filter((name) => name !== ''),
  };
}
