import type { CheckedArgument, CheckedColumn, FieldOrigin, Type } from './checked.js';
import type { ArgumentSpec, ColumnSpec, FieldSpec, RecordSpec } from './language.js';
import { type FieldShape, type RecordShape, type Scope, unitOf } from './type-formula.js';

/** The fields of a record: those that are written down, and those that its properties bring. */
export interface ShapedField extends FieldShape {
  readonly origin: FieldOrigin;
  readonly description: string;
  readonly spec?: FieldSpec;
}

export interface ShapedRecord extends RecordShape {
  readonly spec: RecordSpec;
  readonly fields: ReadonlyMap<string, ShapedField>;
  readonly keys: readonly string[];
}

export type Shapes = ReadonlyMap<string, ShapedRecord>;

const TEXT: Type = { kind: 'text' };

/** Type of a field, an argument or a column. */
function typeOf(spec: FieldSpec | ArgumentSpec | ColumnSpec): Type {
  const one = scalarOf(spec);
  return 'max_items' in spec && spec.type !== 'list' ? { kind: 'list', of: one } : one;
}

function scalarOf(spec: FieldSpec | ArgumentSpec | ColumnSpec): Type {
  switch (spec.type) {
    case 'decimal':
      return { kind: 'decimal', scale: spec.scale };
    case 'enum':
      return { kind: 'enum', values: spec.values };
    case 'reference':
      return { kind: 'reference', record: spec.references };
    case 'list':
      return { kind: 'objects', columns: spec.columns.map(columnOf) };
    default:
      return { kind: spec.type };
  }
}

function columnOf(spec: ColumnSpec): CheckedColumn {
  return { spec, name: spec.name, type: typeOf(spec), optional: spec.optional === true };
}

export function argumentsOf(specs: readonly ArgumentSpec[] | undefined): readonly CheckedArgument[] {
  return (specs ?? []).map((spec) => ({
    spec,
    name: spec.name,
    type: typeOf(spec),
    optional: spec.optional === true || spec.default !== undefined,
  }));
}

function shapeRecord(spec: RecordSpec): ShapedRecord {
  const fields: ShapedField[] = [];
  const add = (
    name: string,
    origin: FieldOrigin,
    rest: { readonly description: string; readonly type: Type; readonly nullable?: boolean },
  ): void => {
    fields.push({ name, origin, nullable: false, ...rest });
  };
  const { key, part_of: parent } = spec;
  if (key === 'auto') add('id', 'key', { description: 'Number that the database gives', type: { kind: 'integer' } });
  if (key === 'uuid') add('id', 'key', { description: 'Random id that the database gives', type: TEXT });
  if (parent !== undefined)
    add(parent, 'parent', {
      description: `The ${parent} that it is part of`,
      type: { kind: 'reference', record: parent },
    });
  if (spec.per_tenant === true)
    add('tenant', 'tenant', { description: 'The organisation that it belongs to', type: TEXT });
  for (const field of spec.fields) {
    const { name, description } = field;
    // n.b. what is computed can be null even where the field must not be: the formula says whether it is.
    fields.push({
      name,
      description,
      type: typeOf(field),
      nullable: field.optional === true,
      origin: 'declared',
      spec: field,
      ...unitOf(field),
    });
  }
  if (spec.version === true)
    add('version', 'version', { description: 'Number of its version, from 1', type: { kind: 'integer' } });
  if (spec.timestamps === true) {
    add('created_at', 'timestamps', { description: 'When it was created', type: { kind: 'timestamp' } });
    add('created_by', 'timestamps', { description: 'Who created it', type: TEXT, nullable: true });
    add('changed_at', 'timestamps', { description: 'When it was changed last', type: { kind: 'timestamp' } });
    add('changed_by', 'timestamps', { description: 'Who changed it last', type: TEXT, nullable: true });
  }
  if (spec.soft_delete === true)
    add('deleted_at', 'deleted', { description: 'When it was deleted', type: { kind: 'timestamp' }, nullable: true });
  const own = typeof key === 'string' ? ['id'] : [...(parent === undefined ? [] : [parent]), ...key];
  const map = new Map(fields.map((field) => [field.name, field] as const));
  return { name: spec.name, spec, fields: map, keys: own, key: own.length === 1 ? own[0] : undefined };
}

export function shapesOf(records: readonly RecordSpec[]): Shapes {
  return new Map(records.map((record) => [record.name, shapeRecord(record)] as const));
}

/** Names that a record's own properties bring: no declared field has one. */
export function implicitNames(spec: RecordSpec): readonly string[] {
  return [...shapeRecord({ ...spec, fields: [] }).fields.keys()];
}

/** A scope that knows the records and nothing else. */
export function emptyScope(records: Shapes, place: string): Scope {
  return {
    records,
    place,
    rows: new Map(),
    args: new Map(),
    variables: new Map(),
    loops: new Set(),
    sets: false,
    totals: false,
    windows: false,
  };
}

/** The scope of a formula that stands in a record: its fields by their names, or as this.name. */
export function recordScope(records: Shapes, record: string, sets: boolean): Scope {
  const rows = new Map([['this', { record, nullable: false }]]);
  return { ...emptyScope(records, `a formula of ${record}`), rows, own: 'this', sets };
}

/** The outermost record that this one lives inside: its document, where the store keeps documents. */
export function rootOf(shapes: Shapes, name: string): string {
  const seen = new Set<string>();
  let root = name;
  for (
    let parent = shapes.get(root)?.spec.part_of;
    parent !== undefined && !seen.has(parent);
    parent = shapes.get(root)?.spec.part_of
  ) {
    seen.add(parent);
    root = parent;
  }
  return root;
}
