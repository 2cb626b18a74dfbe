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
const GAP = '  ';

/** Columns with a gap between them; on a narrow terminal a block of `name  value` lines for each row. */
export function formatTable(table: TableData, layout: TableLayout): string {
  const rows = table.rows.map((row) => row.map(printable));
  const wanted = widths([table.head, ...rows]).reduce((sum, width) => sum + width + GAP.length, 0);
  if (layout.width < NARROW && wanted > layout.width) return blocks(table.head, rows, layout);
  return columns({ ...table, rows }, layout, wanted);
}

function widths(rows: readonly (readonly string[])[]): readonly number[] {
  const columnCount = Math.max(...rows.map((row) => row.length));
  return Array.from({ length: columnCount }, (_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
}

function columns(table: TableData, { width, paint }: TableLayout, wanted: number): string {
  const natural = widths([table.head, ...table.rows.map((row) => row.map(String))]);
  const excess = Math.max(0, wanted - width);
  const widest = Math.max(...natural);
  const grid = new CliTable({
    chars: NO_LINES,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    // The widest column gives way; the others are what a reader looks for.
    colWidths: natural.map((size) => (size === widest && excess > 0 ? Math.max(8, size - excess) : null)),
    colAligns: natural.map((_, column) => (table.numeric?.includes(column) === true ? 'right' : 'left')),
  });
  grid.push(
    table.head.map((text) => paint('bold', text)),
    ...table.rows.map((row) => row.map(String)),
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
