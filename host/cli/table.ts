import { printable, type Style } from '#sdk/cli';
import CliTable from 'cli-table3';

export interface TableData {
  readonly head: readonly string[];
  readonly rows: readonly (readonly (string | number | boolean | undefined)[])[];
  /** Columns, by index, whose values are numbers: they are aligned to the right. */
  readonly numeric?: readonly number[];
}

export interface TableLayout {
  readonly width: number;
  readonly paint: (style: Style, text: string) => string;
}

/** Below this, columns would be cut to pieces. */
const NARROW = 60;
/** A word that is no longer is not broken: it is a name, an instant or a code. */
const LONGEST_WHOLE_WORD = 32;
const GAP = '  ';

/** Columns with a gap between them, text wrapped where it does not fit; where words would be broken a block of `name  value` lines for each row. */
export function formatTable(table: TableData, layout: TableLayout): string {
  const rows = table.rows.map((row) => row.map(printable));
  const texts = [table.head, ...rows];
  const natural = lengths(texts, ({ length }) => length);
  const gaps = GAP.length * natural.length;
  const isWide = natural.reduce((sum, size) => sum + size, gaps) > layout.width;
  const least = lengths(texts, (text) => Math.min(longestWord(text), LONGEST_WHOLE_WORD));
  const isBroken = least.reduce((sum, size) => sum + size, gaps) > layout.width;
  if (isWide && (layout.width < NARROW || isBroken)) return blocks(table.head, rows, layout);
  return columns({ ...table, rows }, layout.paint, isWide ? fitted(natural, least, layout.width - gaps) : undefined);
}

/** Of each column the most of what its texts measure. */
function lengths(rows: readonly (readonly string[])[], measure: (text: string) => number): readonly number[] {
  const columnCount = Math.max(...rows.map((row) => row.length));
  return Array.from({ length: columnCount }, (_, column) => Math.max(...rows.map((row) => measure(row[column] ?? ''))));
}

function longestWord(text: string): number {
  return Math.max(...text.split(' ').map((word) => word.length));
}

/** The widest columns give way until all fit, as far as their words let them. */
function fitted(natural: readonly number[], least: readonly number[], width: number): readonly number[] {
  const at = (most: number): readonly number[] =>
    natural.map((size, column) => Math.min(size, Math.max(most, least[column] ?? 0)));
  let most = Math.min(width, Math.max(...natural));
  while (at(most).reduce((sum, size) => sum + size, 0) > width) most -= 1;
  return at(most);
}

/** n.b. without sizes each column is as wide as its texts are shown, which of some signs is more than their number. */
function columns(table: TableData, paint: TableLayout['paint'], sizes: readonly number[] | undefined): string {
  const cell = (text: string, column: number): { content: string; wrapOnWordBoundary: boolean } => ({
    content: text,
    wrapOnWordBoundary: longestWord(text) <= (sizes?.[column] ?? Infinity),
  });
  const grid = new CliTable({
    chars: NO_LINES,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    wordWrap: true,
    colWidths: sizes === undefined ? [] : [...sizes],
    colAligns: table.head.map((_, column) => (table.numeric?.includes(column) === true ? 'right' : 'left')),
  });
  grid.push(
    table.head.map((text) => paint('bold', text)),
    ...table.rows.map((row) => row.map((value, column) => cell(String(value), column))),
  );
  return grid
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: GAP,
} as const;

function blocks(head: readonly string[], rows: readonly (readonly string[])[], { paint }: TableLayout): string {
  const label = Math.max(...head.map((text) => text.length));
  return rows
    .map((row) =>
      head.map((text, column) => `${paint('bold', text.padEnd(label))}${GAP}${row[column] ?? ''}`).join('\n'),
    )
    .join('\n\n');
}
