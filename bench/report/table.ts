import type { TableData } from '../../host/cli/table.js';
import type { Row, Target } from '../contract.js';

/** The rows for people. */
export function toTable(rows: readonly Row[]): TableData {
  return {
    head: ['question', 'case', 'subject', 'against', 'unit', 'value', 'against', 'ratio', 'spread', 'target', ''],
    numeric: [5, 6, 7],
    rows: rows.map((row) => [
      row.question,
      row.case,
      row.subject,
      row.against,
      row.unit,
      figure(row.value),
      figure(row.againstValue),
      row.ratio.toFixed(2),
      row.spread.map((ratio) => ratio.toFixed(2)).join('–'),
      row.target === undefined ? '' : inWords(row.target),
      row.met === undefined ? '' : row.met ? 'met' : 'not met',
    ]),
  };
}

function figure(value: number): string {
  const digits = value >= 100 ? 0 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function inWords({ ratioAtLeast, ratioAtMost, valueAtLeast, valueAtMost }: Target): string {
  return [
    ...(ratioAtLeast === undefined ? [] : [`ratio ≥ ${ratioAtLeast}`]),
    ...(ratioAtMost === undefined ? [] : [`ratio ≤ ${ratioAtMost}`]),
    ...(valueAtLeast === undefined ? [] : [`value ≥ ${valueAtLeast.toLocaleString('en')}`]),
    ...(valueAtMost === undefined ? [] : [`value ≤ ${valueAtMost.toLocaleString('en')}`]),
  ].join(', ');
}
