import { createHash } from 'node:crypto';

/** How names and texts are written in SQL that MySQL and MariaDB both read. */

const MOST_CHARACTERS = 64;

/** A name of at most 64 characters, as MySQL takes them; what is cut is told apart by a hash. */
export function fit(name: string): string {
  if (name.length <= MOST_CHARACTERS) return name;
  return `${name.slice(0, MOST_CHARACTERS - 7)}_${createHash('sha256').update(name).digest('hex').slice(0, 6)}`;
}

/**
 * Of columns and aliases: a field may be called `order` or `rank`, and what is no reserved word today may be one tomorrow. Names
 * that begin with the domain, or as variables do, need no quotes.
 */
export function quote(name: string): string {
  return `\`${name}\``;
}

/** n.b. `SET sql_mode` at the head of each file leaves backslash escapes on. Texts have no control characters: the checker refuses them. */
export function literal(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

/** SQL with its texts blanked, sign by sign: what is looked for in it is never a part of a text. */
export function blanked(sql: string): string {
  return sql.replaceAll(/'(?:''|\\[^]|[^'\\])*'/g, (text) => `'${' '.repeat(text.length - 2)}'`);
}

/** What an object is for, as the server shows it. */
export function comment(words: string, most = 255): string {
  const plain = words.replaceAll(/\s+/gu, ' ').trim();
  return literal(plain.length > most ? `${plain.slice(0, most - 1).replace(/\p{Cs}$/u, '')}…` : plain);
}

/** n.b. a line of its own: MySQL takes `--` for a comment only with a space behind it. */
export function remark(words: string): string {
  return `-- ${words.replaceAll(/\s+/gu, ' ').trim()}`;
}

export function indent(lines: readonly string[], by = 2): readonly string[] {
  return lines.flatMap((line) => line.split('\n')).map((line) => (line === '' ? '' : `${' '.repeat(by)}${line}`));
}

const LINE_CHARACTERS = 110;

/** A list behind a word, `SELECT a, b`: in as few lines as fit. */
export function listed(head: string, items: readonly string[], tail = ''): string {
  const lines: string[] = [];
  let line = head;
  for (const [index, item] of items.entries()) {
    const text = index === items.length - 1 ? `${item}${tail}` : `${item},`;
    if (line.length + text.length + 1 > LINE_CHARACTERS && line !== head && line.trim() !== '') {
      lines.push(line);
      line = '   ';
    }
    line = `${line} ${text}`;
  }
  return [...lines, line].join('\n');
}

/** What begins a part of a statement, or of a condition. */
const PART = /^ (?:AND|OR|FROM|SET|WHERE|LEFT JOIN|JOIN|COLUMNS|ORDER BY|GROUP BY|HAVING) /;
const LONGEST_PART = ' LEFT JOIN '.length;
const CONDITION = /^ (?:AND|OR) /;

/** SQL whose long lines are broken before their parts, as far outside of brackets as there is one. */
export function folded(sql: string): string {
  const lines = sql.split('\n');
  // n.b. a text that goes on in the next line is left as it is, with all around it.
  const isWhole = lines.every((line) => line.startsWith('--') || (blanked(line).split("'").length - 1) % 2 === 0);
  return isWhole ? lines.flatMap(foldedLine).join('\n') : sql;
}

function foldedLine(line: string): readonly string[] {
  if (line.length <= LINE_CHARACTERS || line.trimStart().startsWith('--')) return [line];
  const { parts, commas } = placesIn(line);
  const candidates = parts.length === 0 ? commas : parts;
  const depth = Math.min(...candidates.map((each) => each.depth));
  const breaks = candidates.filter((each) => each.depth === depth);
  const [first] = breaks;
  if (first === undefined) return [line];
  const isInside = !/^(?:FROM|WHERE) /.test(line.trimStart());
  const margin = ' '.repeat(line.length - line.trimStart().length);
  const isStatement = breaks.some(({ at }) => PART.test(line.slice(at)) && !CONDITION.test(line.slice(at)));
  const pieces = breaks.map(({ at }, index) => {
    const text = line.slice(at, breaks[index + 1]?.at);
    const deeper = isInside || text.startsWith(' COLUMNS ') ? '    ' : '';
    return `${margin}${deeper}${(isStatement || !isInside) && CONDITION.test(text) ? '  ' : ''}${text.trimStart()}`;
  });
  return [line.slice(0, first.at), ...pieces].flatMap(foldedLine);
}

interface BreakPlace {
  readonly at: number;
  /** Inside of how many brackets. */
  readonly depth: number;
}

/** Where a line may be broken. */
function placesIn(line: string): { readonly parts: readonly BreakPlace[]; readonly commas: readonly BreakPlace[] } {
  const plain = blanked(line);
  const [parts, commas]: [BreakPlace[], BreakPlace[]] = [[], []];
  // What stands before each bracket that is open.
  const open: ('function' | 'window' | 'columns' | 'other')[] = [];
  const between = new Set<number>();
  for (let at = plain.length - plain.trimStart().length; at < plain.length; at += 1) {
    const depth = open.length;
    if (plain[at] === '(') open.push(beforeBracket(plain.slice(0, at)));
    else if (plain[at] === ')') open.pop();
    else if (plain.startsWith(' BETWEEN ', at)) between.add(depth);
    // n.b. the AND of a BETWEEN stays where it is, and so do conditions in the brackets of a function.
    else if (plain.startsWith(' AND ', at) && between.delete(depth)) continue;
    else if (plain[at - 1] === ',' && plain[at] === ' ' && open.at(-1) === 'columns') commas.push({ at, depth });
    else if (isPart(plain, at) && !isWithin(open.at(-1), plain.slice(at))) parts.push({ at, depth });
  }
  return { parts, commas };
}

function beforeBracket(before: string): 'function' | 'window' | 'columns' | 'other' {
  if (before.endsWith('OVER ')) return 'window';
  if (before.endsWith('COLUMNS ')) return 'columns';
  return /\w$/.test(before) ? 'function' : 'other';
}

function isWithin(bracket: string | undefined, part: string): boolean {
  return bracket === 'window' || (bracket === 'function' && CONDITION.test(part));
}

function isPart(plain: string, at: number): boolean {
  if (plain[at] !== ' ' || !PART.test(plain.slice(at, at + LONGEST_PART))) return false;
  // n.b. LEFT JOIN begins with its first word, CHARACTER SET is a type, and a SIGNAL is short.
  return !/(?:LEFT|CHARACTER|SIGNAL SQLSTATE '[^']*')$/.test(plain.slice(0, at));
}

export function when(condition: string, then: readonly string[]): readonly string[] {
  return then.length === 0 ? [] : [`IF ${condition} THEN`, ...indent(then), 'END IF;'];
}

/** `d` is a digit, `A` a capital letter, everything else itself. */
export function maskPattern(mask: string): string {
  const parts = Array.from(mask, (letter) => {
    if (letter === 'd') return '[0-9]';
    if (letter === 'A') return '[A-Z]';
    if ('^\\[]'.includes(letter)) return `\\${letter}`;
    return /[A-Za-z0-9 _-]/.test(letter) ? letter : `[${letter}]`;
  });
  return `^${parts.join('')}$`;
}

/** A view reads as what is stored; a routine and a trigger keep the mode and the collation that they were made with. */
export const HEAD = `SET NAMES utf8mb4 COLLATE utf8mb4_bin;
SET sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION';
`;
