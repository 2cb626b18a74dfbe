import type { CheckedAction, CheckedField, CheckedQuery, CheckedRecord, CheckedSpecification } from './checked.js';
import type { FieldSpec, Step } from './language.js';
import { typeName } from './type-formula.js';

/** A specification in plain words, for whoever has to agree with it. Markdown, so that it reads well beside the SQL. */
export function explain(specification: CheckedSpecification): string {
  const { source, records, queries, actions, withoutTransactions } = specification;
  const lines = [
    `# ${source.domain}`,
    '',
    sentence(source.description),
    '',
    `Store ${source.store}; days are those of ${source.zone}.`,
    ...records.flatMap((record) => explainRecord(record, specification)),
    ...(queries.length === 0 ? [] : ['', '## Reads', ...queries.flatMap(explainQuery)]),
    ...(actions.length === 0 ? [] : ['', '## Writes', ...actions.flatMap(explainAction)]),
    ...explainWithout(actions, withoutTransactions),
    ...list('## Assumptions', source.assumptions),
    ...list('## Questions', source.questions),
  ];
  return `${lines.map(inert).join('\n')}\n`;
}

/** n.b. a text that begins as a heading, a list or a quotation would pass for a part of this page. */
function sentence(text: string): string {
  return text.replace(/^(?=[#>|~`+*=-]|\d+[.)])/, '\\');
}

/** Formulas stay as they are; nothing becomes HTML, a picture or a link under another name. */
function inert(line: string): string {
  return line.replaceAll(/<(?=[A-Za-z/!?])/g, '\\<').replaceAll('](', ']\\(');
}

function list(title: string, items: readonly string[]): readonly string[] {
  return items.length === 0 ? [] : ['', title, '', ...items.map((item) => `- ${sentence(item)}`)];
}

function explainRecord(record: CheckedRecord, specification: CheckedSpecification): readonly string[] {
  const { spec, fields, key, keyKind, operations } = record;
  const named = keyKind === 'fields' ? `Named by ${key.join(' and ')}.` : `Named by an id that the database gives.`;
  const parent = record.parent === undefined ? '' : ` Part of ${record.parent}: deleted with it.`;
  const writes = operations.filter(({ kind }) => kind !== 'fetch' && kind !== 'list');
  const names = (kinds: typeof operations): string => kinds.map(({ name }) => name).join(', ');
  return [
    '',
    `## ${spec.name}: ${spec.description}`,
    '',
    `${named}${parent} Callers read it by ${names(operations.filter(({ kind }) => kind === 'fetch' || kind === 'list'))}${writes.length === 0 ? ' and write it by the actions below only' : `, and write it by ${names(writes)}`}.`,
    '',
    '| field | what | kind and bounds |',
    '| ----- | ---- | --------------- |',
    ...fields.map((field) => `| ${field.name} | ${cell(field.description)} | ${cell(explainField(field))} |`),
    ...rules(record, lookersPast(record, specification)),
  ];
}

function cell(text: string): string {
  return text.replaceAll('|', String.raw`\|`);
}

function explainField(field: CheckedField): string {
  const { spec, optional, type } = field;
  if (spec === undefined) return `${typeName(type)}, given by BEDS`;
  const parts = [kindOf(spec)];
  if (optional) parts.push('may be absent');
  if ('min' in spec && spec.min !== undefined) parts.push(`at least ${spec.min}`);
  if ('max' in spec && spec.max !== undefined) parts.push(`at most ${spec.max}`);
  if ('multiple_of' in spec && spec.multiple_of !== undefined) parts.push(`a multiple of ${spec.multiple_of}`);
  if (spec.default !== undefined) parts.push(`${spec.default} where nothing is given`);
  if (spec.computed !== undefined) parts.push(`computed: ${spec.computed}`);
  if (field.rollup !== undefined && 'rollup' in spec)
    parts.push(
      `kept: ${field.rollup.function} of ${spec.rollup?.value ?? field.rollup.child} over its ${field.rollup.child}${spec.rollup?.when === undefined ? '' : ` where ${spec.rollup.when}`}`,
    );
  if (field.numbering !== undefined && 'numbering' in spec) {
    const per = spec.numbering?.per ?? [];
    parts.push(
      `numbered from 1${per.length === 0 ? '' : ` for each ${per.join(', ')}`}${field.numbering.gapless ? ', without gaps' : ''}`,
    );
  }
  if (field.onDelete === 'cascade') parts.push('deleted with it');
  if (field.onDelete === 'set_null') parts.push('cleared when that is deleted');
  if (spec.write_once === true) parts.push('never changed');
  if (spec.managed === true) parts.push('changed by actions only');
  return parts.join('; ');
}

function kindOf(spec: FieldSpec): string {
  const many = 'max_items' in spec && spec.max_items !== undefined ? `up to ${String(spec.max_items)} times ` : '';
  const unit = 'unit' in spec && spec.unit !== undefined ? ` ${spec.unit}` : '';
  switch (spec.type) {
    case 'text':
      return `${many}text of ${spec.mask === undefined ? `at most ${String(spec.max_length ?? 200)} characters` : `the form ${spec.mask}`}${spec.letter_case === undefined ? '' : `, in ${spec.letter_case} case`}`;
    case 'decimal':
      return `${many}decimal with ${String(spec.scale)} of ${String(spec.precision)} digits after the point${unit}`;
    case 'enum':
      return `${many}one of ${spec.values.join(', ')}`;
    case 'reference':
      return `${many}a ${spec.references}`;
    case 'list':
      return `up to ${String(spec.max_items)} objects with ${spec.columns.map(({ name }) => name).join(', ')}`;
    default:
      return `${many}${spec.type}${unit}`;
  }
}

/** What looks at all records of a type, whoever may see them. */
function lookersPast({ name, rowAccess }: CheckedRecord, specification: CheckedSpecification): readonly string[] {
  const { records, queries, actions } = specification;
  if (rowAccess === undefined) return [];
  const looks = (value: unknown): boolean => {
    if (typeof value !== 'object' || value === null) return false;
    const { node, all, record } = value as { readonly node?: string; readonly all?: boolean; readonly record?: string };
    return (node === 'set' && all === true && record === name) || Object.values(value).some(looks);
  };
  return [
    ...records.flatMap(({ name: owner, fields }) =>
      fields.flatMap(({ name: field, computed }) => (looks(computed) ? [`${owner}.${field}`] : [])),
    ),
    ...[...queries, ...actions].flatMap((operation) => (looks(operation) ? [operation.name] : [])),
  ];
}

function rules({ spec }: CheckedRecord, past: readonly string[]): readonly string[] {
  const said: string[] = [];
  for (const { rule, message } of spec.rules ?? []) said.push(`Always: ${rule}. Else: "${message}"`);
  for (const { fields, when } of spec.unique ?? [])
    said.push(`No two share ${fields.join(' and ')}${when === undefined ? '' : `, among those where ${when}`}.`);
  for (const overlap of spec.no_overlap ?? []) {
    const among = overlap.when === undefined ? '' : `, among those where ${overlap.when}`;
    said.push(
      `For one ${overlap.per.join(' and ')}, ${overlap.max_at_once === undefined ? 'no two' : `at most ${overlap.max_at_once}`} overlap from ${overlap.start} to ${overlap.end}${among}.`,
    );
  }
  if (spec.states !== undefined) {
    const { field, start, moves } = spec.states;
    const froms = moves.map(({ from }) => from);
    const finals = [...new Set(moves.flatMap(({ to }) => to))].filter((state) => !froms.includes(state));
    said.push(
      `${field} begins as ${start}; ${moves.map(({ from, to }) => `${from} → ${to.join(' or ')}`).join('; ')}.${finals.length === 0 ? '' : ` Nothing leaves ${finals.join(', ')}.`}`,
    );
  }
  if (spec.expires !== undefined)
    said.push(
      `Where ${spec.expires.when}, from ${spec.expires.at} on it counts as ${spec.expires.delete === true ? 'deleted' : (spec.expires.set ?? []).join(', ')}, for every reader, without a job.`,
    );
  if (spec.row_access !== undefined)
    said.push(`Seen where ${spec.row_access.read}; written where ${spec.row_access.write}. Others do not find it.`);
  if (past.length > 0) said.push(`${past.join(', ')}: looks at all of them, whoever asks.`);
  if (spec.per_tenant === true) said.push('Each organisation sees and writes its own only.');
  if (spec.immutable_when !== undefined)
    said.push(
      spec.immutable_when === 'true'
        ? 'Never changed or deleted.'
        : `Never changed or deleted while ${spec.immutable_when}.`,
    );
  if (spec.soft_delete === true) said.push('What is deleted stays stored and hidden.');
  if (spec.version === true) said.push('Of two who change it at once, the second is told.');
  if (spec.history === true) said.push('Every change is kept with who and when.');
  if (spec.rows !== undefined) said.push(`${String(spec.rows.length)} are there from the start.`);
  return said.length === 0 ? [] : ['', ...said.map((line) => `- ${line}`)];
}

function args(operation: CheckedQuery | CheckedAction): string {
  return operation.args.map(({ name, optional }) => (optional ? `${name}?` : name)).join(', ');
}

function explainQuery(query: CheckedQuery): readonly string[] {
  const { spec } = query;
  const parts = [`from ${spec.from}`];
  for (const join of spec.joins ?? []) parts.push(`with ${join.record} where ${join.on}`);
  if (spec.where !== undefined) parts.push(`where ${spec.where.join(', and ')}`);
  if (spec.group_by !== undefined) parts.push(`for each ${spec.group_by.join(', ')}`);
  if (spec.having !== undefined) parts.push(`of these, where ${spec.having}`);
  if (spec.top !== undefined)
    parts.push(`the first ${spec.top.count} of each ${spec.top.per.join(', ')} by ${spec.top.order_by.join(', ')}`);
  if (spec.order_by !== undefined) parts.push(`by ${spec.order_by.join(', ')}`);
  const may = spec.allowed === undefined ? '' : ` Only where ${spec.allowed}.`;
  return [
    '',
    `### ${spec.name}(${args(query)})`,
    '',
    `${sentence(spec.description)}. ${query.single ? 'One row' : 'Rows'} of ${spec.columns.join(', ')}; ${parts.join('; ')}.${may}`,
  ];
}

function explainAction(action: CheckedAction): readonly string[] {
  const { spec, locks } = action;
  const may = spec.allowed === undefined ? '' : ` Only where ${spec.allowed}.`;
  return [
    '',
    `### ${spec.name}(${args(action)})`,
    '',
    `${sentence(spec.description)}. All or nothing.${may}`,
    '',
    ...stepLines(spec.steps, 1, ''),
    ...(spec.returns === undefined ? [] : [`- answers ${spec.returns.join(', ')}`]),
    ...(locks.length === 0 ? [] : ['', `Locks ${locks.join(', then ')}, to its end.`]),
  ];
}

function stepLines(steps: readonly Step[], first: number, indent: string): readonly string[] {
  return steps.flatMap((step, index) => {
    const number = `${indent}${String(first + index)}. `;
    const inside = ' '.repeat(number.length);
    switch (step.op) {
      case 'check':
        return [`${number}unless ${step.rule}: ${step.error ?? 'invalid'}, "${step.message}"`];
      case 'read':
      case 'read_for_update':
        return [
          `${number}${step.op === 'read' ? 'read' : 'read and lock'} the ${step.record} where ${step.where}, as ${step.as}${step.message === undefined ? ', if there is one' : `; else "${step.message}"`}`,
        ];
      case 'let':
        return [`${number}let ${step.values.join('; ')}`];
      case 'insert':
        return [
          `${number}add a ${step.record}: ${step.set.join('; ')}${step.on_duplicate === undefined ? '' : `; where it exists, ${step.on_duplicate === 'skip' ? 'leave it' : `change ${(step.update ?? []).join('; ')}`}`}`,
        ];
      case 'update':
        return [`${number}change ${step.row}: ${step.set.join('; ')}`];
      case 'update_where':
        return [`${number}change every ${step.record} where ${step.where}: ${step.set.join('; ')}`];
      case 'delete':
        return [`${number}delete ${step.row}`];
      case 'delete_where':
        return [`${number}delete every ${step.record} where ${step.where}`];
      case 'lock':
        return [`${number}let no other action decide over ${step.record} meanwhile`];
      case 'call':
        return [`${number}do ${step.action}: ${(step.arguments ?? []).join('; ')}`];
      case 'for_each_item':
        return [
          `${number}for each ${step.as} of ${step.list}, at most ${String(step.max)}:`,
          ...stepLines(step.steps, 1, inside),
        ];
      case 'for_each_row':
        return [
          `${number}for each ${step.record} where ${step.where ?? 'true'}, as ${step.as}, at most ${String(step.max)}:`,
          ...stepLines(step.steps, 1, inside),
        ];
      case 'if':
        return [
          `${number}where ${step.condition}:`,
          ...stepLines(step.then, 1, inside),
          ...(step.else === undefined ? [] : [`${inside}else:`, ...stepLines(step.else, 1, inside)]),
        ];
    }
  });
}

function explainWithout(
  actions: readonly CheckedAction[],
  refused: CheckedSpecification['withoutTransactions'],
): readonly string[] {
  const whys = [
    ...refused.map(({ why }) => why),
    ...actions.flatMap(({ withoutTransactions }) => (withoutTransactions.kept ? [] : [withoutTransactions.why])),
  ];
  if (whys.length === 0) return ['', 'MongoDB without transactions keeps all of this.'];
  return ['', '## MongoDB without transactions refuses this', '', ...whys.map((why) => `- ${why}`)];
}
