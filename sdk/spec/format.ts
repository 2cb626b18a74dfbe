import { z } from 'zod';
import { withoutNulls } from './check-form.js';
import { type Specification, specificationSchema } from './language.js';

/** The one way in which a specification is written: properties in the order of the language, formulas with even spaces. */

const WIDTH = 110;

/** The text of domain.json. The same document always gives the same bytes. */
export function formatSpecification(specification: Specification): string {
  // n.b. the check of the form gives properties in the order of the language.
  const ordered = z.parse(specificationSchema, withoutNulls(specification));
  return formatJson(evenFormulas(ordered));
}

/** The text of a file for a person and for version control. */
export function formatJson(value: unknown): string {
  return `${written(value, 0, 0)}\n`;
}

/** Properties that hold formulas, or lists of them. */
const FORMULAS = new Set([
  ...[
    'default',
    'min',
    'max',
    'multiple_of',
    'computed',
    'value',
    'when',
    'per',
    'rule',
    'at',
    'set',
    'read',
    'write',
    'immutable_when',
    'max_at_once',
  ],
  ...[
    'allowed',
    'on',
    'where',
    'group_by',
    'columns',
    'having',
    'count',
    'order_by',
    'limit',
    'values',
    'update',
    'list',
    'condition',
    'returns',
    'arguments',
    'fields',
  ],
]);

function evenFormulas(value: unknown, key = '', holder?: unknown): unknown {
  if (typeof value === 'string') return FORMULAS.has(key) && !isNotFormula(key, holder) ? evenSpaces(value) : value;
  if (Array.isArray(value)) return value.map((item) => evenFormulas(item, key, holder));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, evenFormulas(inner, name, value)]));
}

/** Values of an enum, of a call and of a row are texts, whatever they look like. */
function isNotFormula(key: string, holder: unknown): boolean {
  if (typeof holder !== 'object' || holder === null) return true;
  if (key === 'values') return !('op' in holder);
  return key === 'value' && 'name' in holder;
}

/** One space between parts, single quotation marks, and !=. Texts in a formula stay as they are. */
function evenSpaces(formula: string): string {
  // Nothing is no formula, and what is wrong stays as wrong as it was.
  if (formula.trim() === '') return formula;
  const parts = formula.trim().split(/('(?:[^']|'')*'|"(?:[^"]|"")*")/);
  return parts
    .map((part, index) => {
      if (index % 2 === 0) return part.replaceAll(/\s+/g, ' ').replaceAll('<>', '!=').replaceAll(/\s+,/g, ',');
      return part.startsWith('"') ? `'${part.slice(1, -1).replaceAll('""', '"').replaceAll("'", "''")}'` : part;
    })
    .join('');
}

/** JSON that a person reads: what fits on a line stands on one. */
function written(value: unknown, depth: number, before: number): string {
  const line = onOneLine(value);
  if (depth > 0 && line.length + depth * 2 + before <= WIDTH) return line;
  const inside = '  '.repeat(depth + 1);
  const end = '  '.repeat(depth);
  if (Array.isArray(value) && value.length > 0) {
    return `[\n${value.map((item) => inside + written(item, depth + 1, 1)).join(',\n')}\n${end}]`;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const entries = Object.entries(value).map(
      ([key, item]) => `${inside}${JSON.stringify(key)}: ${written(item, depth + 1, key.length + 5)}`,
    );
    return `{\n${entries.join(',\n')}\n${end}}`;
  }
  return line;
}

function onOneLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(onOneLine).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${onOneLine(item)}`);
  return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
}
