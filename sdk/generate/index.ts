import type { CheckedRecord, CheckedSpecification } from '../spec/index.js';
import { actionRoutine } from './mysql-actions.js';
import { MysqlFormulas } from './mysql-formulas.js';
import { functionTexts } from './mysql-functions.js';
import {
  counterText,
  isReadByProcedures,
  historyName,
  historyText,
  lockText,
  refuseRecord,
  rowsText,
  tableOf,
  triggerTexts,
  viewName,
  viewText,
  withoutUnkeptTotals,
} from './mysql-records.js';
import { explainName, explainText } from './mysql-refusals.js';
import { queryRoutine, recordColumns, standardRoutines, sweepRoutine } from './mysql-routines.js';
import { readmeText } from './readme-text.js';
import { folded } from './mysql-words.js';
import { type Generated, packageText, type Refusal, Refusals } from './refusals.js';
import { templateText } from './template-text.js';
import { testText } from './test-text.js';

export {
  changeMysql,
  type ChangeOptions,
  type Fill,
  type MysqlChange,
  type TableChange,
  type WindowTrigger,
} from './mysql-change.js';
export type { ImportedDomain, ImportNote } from './imported-domain.js';
export {
  type ImportedCollections,
  type MongodbCollection,
  type MongodbCollections,
  type MongodbIndex,
  type SeenKind,
  type SeenValue,
  specificationOfCollections,
} from './mongodb-import.js';
export { type MysqlColumn, type MysqlTable, type MysqlTables, specificationOfTables } from './mysql-import.js';
export { besideStage, changeMongodb, type DocumentHurdle, type MongodbChange } from './mongodb-change.js';
export { generateMongodb } from './mongodb-domain.js';
export type { Refusal };

export type { Generated };

/** A domain for MySQL and MariaDB. The same specification gives the same bytes. */
export function generateMysql(checked: CheckedSpecification): Generated {
  const specification = { ...checked, records: withoutUnkeptTotals(checked.records) };
  const refusals = new Refusals();
  const formulas = new MysqlFormulas(specification, refusals);
  const { records, queries, actions } = specification;
  for (const record of records) refuseRecord(record, formulas);
  const ordered = inOrder(specification, formulas);
  const tables = ordered.map((record, index) => {
    const later = ordered.slice(index + 1).map(({ name }) => name);
    return { record, ...tableOf(record, { later }, formulas) };
  });
  const plain = [
    ...records.flatMap((record) => standardRoutines(record, formulas)),
    ...records.flatMap((record) => sweepRoutine(record, formulas) ?? []),
    ...queries.map((query) => queryRoutine(query, formulas)),
  ];
  const made = actions.map((action) => actionRoutine(action, formulas));
  const triggers = records.flatMap((record) => Object.entries(triggerTexts(record, formulas)));
  const views = viewsOf(ordered, formulas);
  const served = {
    columnsOf: (record: CheckedRecord) => recordColumns(record, formulas),
    viewOf: (record: CheckedRecord) => (isReadByProcedures(record, formulas) ? undefined : viewName(record, formulas)),
    refuse: (path: string, construct: string) => formulas.refuse({ path }, construct),
    revision: formulas.revision,
    prefix: 'p_',
  };
  const template = templateText(specification, served, { plain, actions: made });
  const counters = counterText(formulas);
  const files: Record<string, string> = {};
  const add = (kind: string, entries: readonly (readonly [string, string])[], first: number): void => {
    for (const [index, [name, text]] of entries.entries())
      files[`db/${first + index}-${kind}-${name}.sql`] = ['table', 'rows'].includes(kind) ? text : folded(text);
  };
  add(
    'table',
    [
      [formulas.name('lock'), lockText(formulas)],
      ...(counters === undefined ? [] : [[formulas.name('counter'), counters] as const]),
    ],
    100,
  );
  add(
    'table',
    tables.map(({ record, text }) => [formulas.name(record.name), text]),
    110,
  );
  add(
    'table',
    records.flatMap((record) => {
      const text = historyText(record, formulas);
      return text === undefined ? [] : [[historyName(record, formulas), text] as const];
    }),
    180,
  );
  add('function', Object.entries(functionTexts(formulas)), 200);
  add(
    'procedure',
    [
      [
        explainName(formulas),
        explainText(
          tables.flatMap(({ refused }) => refused),
          formulas,
        ),
      ],
    ],
    210,
  );
  add('trigger', triggers, 300);
  add(
    'rows',
    ordered.flatMap((record) => {
      const text = rowsText(record, formulas);
      return text === undefined ? [] : [[formulas.name(record.name), text] as const];
    }),
    600,
  );
  add('view', views, 700);
  add(
    'procedure',
    [...plain, ...made.map(({ routine }) => routine)].map(({ name, text }) => [name, text]),
    800,
  );
  refuseSameNames(files, formulas);
  files['template.ts'] = template;
  files[`${specification.domain}.test.ts`] = testText(specification, { plain, actions: made });
  files['README.md'] = readmeText(specification, { plain, actions: made }, { dba: forTheDba(specification.domain) });
  files['package.json'] = packageText(specification);
  return refusals.found.length > 0 ? { refused: refusals.found } : { files };
}

function viewsOf(records: readonly CheckedRecord[], formulas: MysqlFormulas): readonly (readonly [string, string])[] {
  return records.flatMap((record) => {
    const text = viewText(record, formulas);
    return text === undefined ? [] : [[viewName(record, formulas), text] as const];
  });
}

/** Records that are named by others come first, as far as they do not name each other. */
function inOrder({ records }: CheckedSpecification, formulas: MysqlFormulas): readonly CheckedRecord[] {
  const sorted: CheckedRecord[] = [];
  const visit = (record: CheckedRecord, trail: readonly string[]): void => {
    if (sorted.includes(record) || trail.includes(record.name)) return;
    for (const { type } of record.fields)
      if (type.kind === 'reference') visit(formulas.record(type.record), [...trail, record.name]);
    if (!sorted.includes(record)) sorted.push(record);
  };
  for (const record of records) visit(record, []);
  return sorted;
}

/** A record called `lock`, or `place_rows` beside one called `place`: two objects of one name. */
function refuseSameNames(files: Readonly<Record<string, string>>, formulas: MysqlFormulas): void {
  const taken = new Set<string>();
  for (const file of Object.keys(files)) {
    const [, kind = '', name = ''] = /^db\/\d+-(table|view|procedure|function|trigger)-(.*)\.sql$/.exec(file) ?? [];
    // n.b. tables and views share their names; and a host cannot tell a view from a procedure of its name.
    const spaces = { table: ['table'], view: ['table', 'callable'], procedure: ['callable'] }[kind] ?? [kind];
    for (const space of spaces) {
      if (taken.has(`${space} ${name}`))
        formulas.refuse({ path: 'records' }, `two objects that are both called ${name}`);
      taken.add(`${space} ${name}`);
    }
  }
}

function forTheDba(domain: string): string {
  return `The files of \`db/\` go in by their names, with \`beds db apply ${domain}\`: tables, functions, triggers, views, procedures. The runtime account gets EXECUTE on the
procedures and SELECT on the views, but for those whose names begin with \`_\`, and nothing else. Each file is right to run again. Constraints keep the rules whoever
writes; \`_…_explain\` is the one place where they get their words.`;
}
