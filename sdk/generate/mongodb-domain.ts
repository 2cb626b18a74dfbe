import {
  type CheckedArgument,
  type CheckedField,
  type CheckedRecord,
  type CheckedSpecification,
  type CheckedStep,
  documentLayout,
  type DocumentLayout,
  firstRows,
  formatJson,
  formatSpecification,
  isKeyWhole,
  keyFields,
  partsOf,
  type Row,
  type Stored,
  toWire,
  type Type,
  uniqueIndex,
  withArticle,
  withCapital,
} from '../spec/index.js';
import { validatorOf } from './mongodb-validators.js';
import type { AnsweredRow } from './mysql-actions.js';
import type { AnswerColumn, TemplateArgument } from './mysql-routines.js';
import { readmeText } from './readme-text.js';
import { type Generated, packageText, Refusals } from './refusals.js';
import { showsByCaller } from './shown-by-caller.js';
import { type ServedAction, type ServedRoutine, templateText } from './template-text.js';
import { testText } from './test-text.js';

/**
 * A domain for MongoDB. What a stored procedure decides elsewhere the host decides here, by the rules that the DBA puts into the
 * catalogue: one entry holds the specification, and one for each operation names it. Collections have the indexes and keep what
 * must be unique; views serve what callers fetch.
 */
export function generateMongodb(specification: CheckedSpecification): Generated {
  const refusals = new Refusals();
  const domain = new MongodbDomain(specification, refusals);
  const files = domain.files();
  return refusals.found.length > 0 ? { refused: refusals.found } : { files };
}

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
type JsonObject = Readonly<Record<string, Json>>;

class MongodbDomain {
  readonly #specification: CheckedSpecification;
  readonly #refusals: Refusals;
  readonly #layout: DocumentLayout;
  readonly #asksWho: boolean;

  constructor(specification: CheckedSpecification, refusals: Refusals) {
    this.#specification = specification;
    this.#refusals = refusals;
    this.#layout = documentLayout(specification);
    this.#asksWho = asksWho(specification);
  }

  /** n.b. what identifies a document does not change. */
  #refuseKeyChanges(steps: readonly CheckedStep[]): void {
    for (const step of steps) {
      if (step.op === 'if') this.#refuseKeyChanges([...step.then, ...step.else]);
      if (step.op === 'for_each_item' || step.op === 'for_each_row') this.#refuseKeyChanges(step.steps);
      const set =
        step.op === 'update' || step.op === 'update_where' ? step.set : step.op === 'insert' ? step.update : [];
      if (set.length === 0 || !('record' in step)) continue;
      const key = set.find(({ name }) => keyFields(this.#record(step.record)).includes(name));
      if (key !== undefined) this.#refusals.add(step.path, `a change of ${key.name}, by which the record is named`);
    }
  }

  files(): Readonly<Record<string, string>> {
    const { records, queries, actions, domain } = this.#specification;
    for (const record of records) this.#refuse(record);
    for (const action of actions) this.#refuseKeyChanges(action.steps);
    this.#refuseNames();
    const files: Record<string, string> = {};
    const add = (first: number, kind: string, entries: readonly (readonly [string, Json])[]): void => {
      for (const [index, [name, content]] of entries.entries())
        files[`db/${first + index}-${kind}-${name}.json`] = formatJson(content);
    };
    add(100, 'collection', this.#collections());
    add(200, 'rules', [[this.#rules, this.#rulesEntry()]]);
    add(
      700,
      'view',
      records.flatMap((record) => {
        const name = this.#viewOf(record);
        return name === undefined ? [] : [[name, this.#view(record, name)] as const];
      }),
    );
    const plain = [
      ...records.flatMap((record) => this.#standard(record)),
      ...records.flatMap((record) => this.#sweep(record)),
      ...queries.map((query) =>
        this.#routine({
          operation: query.name,
          about: query.spec.description,
          args: [...this.#args(query.args), ...(query.paged && !query.single ? PAGE : [])],
          answers: query.single ? 'row' : 'rows',
          columns: query.columns.map(({ name, value }) => this.#column(name, value, `queries.${query.name}`)),
          reads: true,
        }),
      ),
    ];
    const made = actions.map((action) => this.#action(action));
    add(
      800,
      'procedure',
      [...plain, ...made.map(({ routine }) => routine)].map((routine) => [routine.name, this.#entry(routine)]),
    );
    const served = {
      columnsOf: (record: CheckedRecord) => this.#columnsOf(record),
      viewOf: (record: CheckedRecord) => this.#viewOf(record),
      refuse: (path: string, construct: string) => {
        this.#refusals.add(path, construct);
      },
      revision: this.#specification.source.revision ?? 1,
    };
    files['template.ts'] = templateText(this.#specification, served, { plain, actions: made });
    files[`${domain}.test.ts`] = testText(this.#specification, { plain, actions: made });
    files['README.md'] = readmeText(
      this.#specification,
      { plain, actions: made },
      {
        views: records.flatMap((record) => (this.#viewOf(record) === undefined ? [] : [record.name])),
        dba: forTheDba(domain, this.#without()),
      },
    );
    files['package.json'] = packageText(this.#specification);
    return files;
  }

  get #rules(): string {
    return this.#callable(`_${this.#specification.domain}_rules`);
  }

  /** What callers and operations use: those of the version before stay beside it, for as long as it is used. */
  #callable(name: string): string {
    const { revision = 1 } = this.#specification.source;
    return revision === 1 ? name : `${name}_v${revision}`;
  }

  #record(name: string): CheckedRecord {
    return this.#layout.placeOf(name).record;
  }

  /* What cannot be kept */

  #refuse(record: CheckedRecord): void {
    const path = `records.${record.name}`;
    const { list, root } = this.#layout.placeOf(record.name);
    if (list !== undefined && root.fields.some(({ name }) => name === list))
      this.#refusals.add(
        path,
        `a part that is called as a field of ${root.name}, ${list}: both would be one field of the document`,
      );
    if (record.spec.soft_delete === true && record.keyKind === 'fields')
      this.#refusals.add(
        `${path}.soft_delete`,
        'soft_delete of a record that is named by its own fields: its name would stay taken',
      );
    if (record.name === 'lock' || record.name === 'counter')
      this.#refusals.add(path, `a record called ${record.name}: its collection would be that of locks and numbers`);
  }

  /** Names of what a template fills in beside the arguments. */
  #refuseNames(): void {
    const { records, queries, actions } = this.#specification;
    const refuse = (path: string, names: readonly string[], taken: readonly string[]): void => {
      for (const name of names)
        if (['caller_id', 'caller_roles', ...taken].includes(name))
          this.#refusals.add(path, `an argument called ${name}, which the template fills in`);
    };
    for (const { name, fields } of records)
      refuse(
        `records.${name}`,
        fields.map((field) => field.name),
        ['clears'],
      );
    for (const { name, args, paged, single } of queries)
      refuse(
        `queries.${name}`,
        args.map((arg) => arg.name),
        paged && !single ? ['skip', 'limit'] : [],
      );
    for (const { name, args } of actions)
      refuse(
        `actions.${name}`,
        args.map((arg) => arg.name),
        [],
      );
  }

  /** Why an operation needs a transaction, and so a replica set; undefined: one document holds all of it. */
  #together(operation: string): string | undefined {
    const action = this.#specification.actions.find(({ name }) => name === operation);
    if (action !== undefined) {
      if (!action.withoutTransactions.kept) return action.withoutTransactions.why;
      return this.#beside(action.writes, operation);
    }
    for (const record of this.#specification.records) {
      const standard = record.operations.find(({ name }) => name === operation);
      if (standard === undefined || standard.kind === 'fetch' || standard.kind === 'list') continue;
      const said = this.#specification.withoutTransactions.find(
        ({ path, why }) => path === `records.${record.name}.operations` && why.startsWith(standard.kind),
      );
      if (said !== undefined) return said.why;
      const { root } = this.#layout.placeOf(record.name);
      const anchor = record.anchors.find(
        (one) => one.via === undefined || this.#layout.placeOf(one.record).root !== root,
      );
      if (anchor !== undefined)
        return `${operation} writes ${root.name} while actions decide by ${anchor.record}: two documents`;
      if (standard.kind === 'delete') {
        const referring = this.#specification.records.find((other) =>
          other.fields.some(
            ({ type, onDelete }) =>
              type.kind === 'reference' &&
              type.record === record.name &&
              onDelete !== undefined &&
              onDelete !== 'restrict' &&
              this.#layout.placeOf(other.name).root !== root,
          ),
        );
        if (referring !== undefined) return `${operation} changes ${referring.name} together with it: two documents`;
        if (record.spec.history === true)
          return `${operation} keeps the history of ${record.name} after it is gone: two documents`;
      }
      return this.#beside([record.name], operation);
    }
    return undefined;
  }

  /** n.b. others that share the time are documents of their own, unless all of them are parts of one. */
  #beside(names: readonly string[], operation: string): string | undefined {
    const shared = names.find((name) =>
      this.#record(name).noOverlap.some(({ per }) => !per.includes(this.#record(name).parent ?? '')),
    );
    return shared === undefined
      ? undefined
      : `${operation} keeps spans of ${shared} apart, which are documents of their own`;
  }

  #without(): readonly string[] {
    const { records, actions } = this.#specification;
    const names = [...actions, ...records.flatMap(({ operations }) => operations)].map(({ name }) => name);
    return [...new Set(names.flatMap((name) => this.#together(name) ?? []))];
  }

  /* Collections */

  #collections(): readonly (readonly [string, Json])[] {
    const rows = firstRows(this.#specification);
    const counters = new Map<string, number>();
    const isFirst = (this.#specification.source.revision ?? 1) === 1;
    const roots = this.#layout.roots.map(({ record, parts }) => {
      const { collection } = this.#layout.placeOf(record.name);
      const documents = rows
        .filter((row) => row.record === record.name)
        .map(({ after = {}, uniqueAfter }): Json => {
          const key = after[record.key[0] ?? 'id'] ?? null;
          if (record.keyKind === 'auto')
            counters.set(record.name, Math.max(counters.get(record.name) ?? 0, Number(key)));
          const items = parts.flatMap((part) => {
            const own = rows.filter((row) => row.record === part.name && same(row.after?.[part.parent ?? ''], key));
            return own.length === 0
              ? []
              : [[part.name, own.map((row) => this.#document(part, row.after ?? {}))] as const];
          });
          const unique = record.unique.flatMap((rule) => {
            const field = uniqueIndex(this.#layout.placeOf(record.name), rule)?.keyField;
            const value = uniqueAfter[rule.name];
            return field === undefined || value === undefined ? [] : [[field, value] as const];
          });
          return {
            ...(this.#document(record, after) as JsonObject),
            ...Object.fromEntries(items),
            ...Object.fromEntries(unique),
            _n: 1,
          };
        });
      return [
        collection,
        {
          collection,
          options: validatorOf(record, parts, { layout: this.#layout, typed: (type) => this.#typed(type), isFirst }),
          indexes: this.#indexes(record, parts),
          ...(documents.length === 0 ? {} : { documents }),
        },
      ] as const;
    });
    const histories = this.#specification.records.flatMap((record) => {
      if (record.spec.history !== true) return [];
      const name = this.#layout.historyOf(record.name);
      return [[name, { collection: name, indexes: [{ name: 'by_time', key: { at: 1 } }] }] as const];
    });
    const numbers = [...counters].map(([_id, value]): Json => ({ _id, value }));
    const { locks, counters: counterName } = this.#layout;
    return [
      ...roots,
      ...histories,
      [locks, { collection: locks }],
      [counterName, { collection: counterName, ...(numbers.length === 0 ? {} : { documents: numbers }) }],
    ];
  }

  /** n.b. as Extended JSON, which keeps decimals, days and moments apart from texts. */
  #document(record: CheckedRecord, row: Row): Json {
    const keys = this.#layout.placeOf(record.name).list === undefined ? keyFields(record) : [];
    const isInside = (name: string): boolean =>
      name === record.parent && this.#layout.placeOf(record.name).root.name === record.parent;
    const entries = this.#layout.storedFields(record).flatMap(({ name, type }) => {
      const value = row[name] ?? null;
      if (value === null || isInside(name)) return [];
      return [[name, this.#extended(value, type)] as const];
    });
    const own = Object.fromEntries(entries.filter(([name]) => !keys.includes(name)));
    if (keys.length === 0) return own;
    const key = Object.fromEntries(keys.map((name) => [name, entries.find(([one]) => one === name)?.[1] ?? null]));
    return { _id: isKeyWhole(record) ? (key[keys[0] ?? 'id'] ?? null) : key, ...own };
  }

  #extended(value: Stored, given: Type): Json {
    const type = this.#typed(given);
    const plain = toWire(value, type);
    if (type.kind === 'list' && Array.isArray(value))
      return (value as readonly Stored[]).map((item) => this.#extended(item, type.of));
    if (type.kind === 'decimal') return { $numberDecimal: plain };
    // n.b. a driver writes greater ones as doubles.
    if (type.kind === 'integer' && Math.abs(Number(plain)) >= 2 ** 31) return { $numberLong: String(Number(plain)) };
    if (type.kind === 'date') return { $date: `${plain as string}T00:00:00.000Z` };
    return type.kind === 'timestamp' ? { $date: plain } : plain;
  }

  #indexes(root: CheckedRecord, parts: readonly CheckedRecord[]): Json {
    const indexes = new Map<string, JsonObject>();
    for (const record of [root, ...parts]) {
      const place = this.#layout.placeOf(record.name);
      for (const rule of record.unique) {
        const index = uniqueIndex(place, rule);
        if (index === undefined) continue;
        const key =
          index.keyField === undefined
            ? Object.fromEntries(index.fields.map((field) => [place.pathOf(field), 1]))
            : { [index.keyField]: 1 };
        indexes.set(index.name, {
          ...{ name: index.name, key, unique: true },
          ...(index.keyField === undefined ? {} : { sparse: true }),
        });
      }
      if (place.list !== undefined && record.keyKind !== 'fields')
        indexes.set(`${record.name}_id`, { name: `${record.name}_id`, key: { [place.pathOf('id')]: 1 } });
      const references = record.fields.filter(({ type, name }) => type.kind === 'reference' && name !== record.parent);
      for (const { name } of references)
        indexes.set(`${record.name}_of_${name}`, {
          name: `${record.name}_of_${name}`,
          key: { [place.pathOf(name)]: 1 },
        });
      for (const { name, fields } of record.indexes) {
        const stored = fields.filter(
          (one) => record.fields.find((field) => field.name === one.name)?.computed === undefined,
        );
        const key = Object.fromEntries(
          stored.map((one) => [place.pathOf(one.name), one.direction === 'desc' ? -1 : 1] as const),
        );
        // n.b. what begins with the document is found by it.
        if (Object.keys(key).length > 0 && Object.keys(key)[0] !== '_id') indexes.set(name, { name, key });
      }
    }
    const seen = new Set<string>();
    return [...indexes.values()].filter(({ key, unique }) => {
      const text = JSON.stringify(key);
      if (unique !== true && seen.has(text)) return false;
      seen.add(text);
      return true;
    });
  }

  /* Entries of the catalogue */

  #rulesEntry(): Json {
    const { source } = this.#specification;
    const rules = JSON.parse(formatSpecification(source)) as Readonly<Record<string, Json>>;
    return {
      _id: this.#rules,
      kind: 'rules',
      notes: `What operations of ${this.#specification.domain} do and refuse: beds spec explain says it in plain words.`,
      body: rules,
    };
  }

  /** n.b. what depends on the time, on who asks, or on a formula, is read by a routine. */
  #viewOf(record: CheckedRecord): string | undefined {
    const isPlain =
      record.rowAccess === undefined &&
      record.expires === undefined &&
      record.spec.per_tenant !== true &&
      record.fields.every(({ computed }) => computed === undefined);
    return isPlain ? this.#callable(`${this.#specification.domain}_${record.name}_rows`) : undefined;
  }

  #view(record: CheckedRecord, name: string): Json {
    const place = this.#layout.placeOf(record.name);
    const columns = this.#layout
      .storedFields(record)
      .map((field): readonly [string, Json] => [
        field.name,
        { ...storedAs(this.#typed(field.type)), from: place.pathOf(field.name) },
      ]);
    const pipeline: Json[] = [];
    if (place.list !== undefined) pipeline.push({ $unwind: `$${place.list}` });
    if (record.spec.soft_delete === true) pipeline.push({ $match: { [place.pathOf('deleted_at')]: null } });
    return {
      _id: name,
      kind: 'view',
      notes: record.spec.description,
      on: place.collection,
      columns: Object.fromEntries(columns),
      body: { pipeline },
    };
  }

  #entry({ name, operation, about, args, columns, answers, reads }: ServedRoutine): Json {
    const together = this.#together(operation);
    const { usesCaller, clears } = this.#callerOf(operation);
    return {
      _id: name,
      kind: 'procedure',
      notes: about,
      op: reads ? 'ask' : 'act',
      args: Object.fromEntries([
        ...args.map((arg): readonly [string, Json] => [arg.name, { type: scalarOf(arg.template), optional: true }]),
        ...(clears ? [['clears', { type: 'json', optional: true }] as const] : []),
        ...(usesCaller
          ? ([
              ['caller_id', { type: 'string', optional: true }],
              ['caller_roles', { type: 'json', optional: true }],
            ] as const)
          : []),
      ]),
      ...(answers === 'nothing'
        ? {}
        : { returns: Object.fromEntries(columns.map((column) => [column.name, scalarOf(column.template)])) }),
      body: { rules: this.#rules, operation, ...(together === undefined ? {} : { together }) },
    };
  }

  #callerOf(operation: string): { readonly usesCaller: boolean; readonly clears: boolean } {
    return { usesCaller: this.#asksWho && !this.#isForAll(operation), clears: this.#clearing(operation) };
  }

  /** Whether what is read or swept is the same whoever asks. */
  #isForAll(operation: string): boolean {
    const { records } = this.#specification;
    if (records.some(({ name }) => operation === `sweep_${name}`)) return true;
    const record = records.find(({ operations }) =>
      operations.some(({ kind, name }) => name === operation && (kind === 'fetch' || kind === 'list')),
    );
    return (
      record !== undefined &&
      record.rowAccess === undefined &&
      record.spec.per_tenant !== true &&
      !showsByCaller(record, this.#specification)
    );
  }

  #clearing(operation: string): boolean {
    return this.#specification.records.some(
      (record) =>
        record.operations.some(({ kind, name }) => kind === 'update' && name === operation) &&
        record.fields.some(({ givenAtUpdate, optional }) => givenAtUpdate && optional),
    );
  }

  /* Routines */

  #routine(parts: Omit<ServedRoutine, 'name' | 'usesCaller' | 'clears'>): ServedRoutine {
    const { usesCaller, clears } = this.#callerOf(parts.operation);
    return {
      ...parts,
      name: this.#callable(`${this.#specification.domain}_${parts.operation}`),
      usesCaller: { id: usesCaller, roles: usesCaller },
      clears,
    };
  }

  #standard(record: CheckedRecord): readonly ServedRoutine[] {
    const isMain = record === this.#specification.records[0];
    const columns = this.#columnsOf(record);
    const words = record.name.replaceAll('_', ' ');
    const argument = (field: CheckedField, isLoose: boolean): TemplateArgument => ({
      name: field.name,
      template: this.#template(field, `records.${record.name}.${field.name}`),
      isLoose,
    });
    const key = record.fields.filter(({ name }) => record.key.includes(name)).map((field) => argument(field, false));
    return record.operations.flatMap(({ kind, name }): readonly ServedRoutine[] => {
      const made = { operation: name, answers: 'row', columns, reads: false } as const;
      switch (kind) {
        case 'fetch':
          if (isMain) return [];
          return [
            this.#routine({
              ...made,
              about: `${withCapital(withArticle(words))}, by its key.`,
              args: key,
              reads: true,
            }),
          ];
        case 'list': {
          if (isMain && this.#viewOf(record) !== undefined) return [];
          const given = record.fields.filter(
            ({ type, computed }) => !['json', 'list', 'objects', 'point'].includes(type.kind) && computed === undefined,
          );
          const about = `The ${words} records that have these values, a thousand at most.`;
          const args = given.map((field) => argument(field, true));
          return [this.#routine({ ...made, about, args, answers: 'rows', reads: true })];
        }
        case 'create': {
          const given = record.fields.filter(({ givenAtCreate }) => givenAtCreate);
          const args = given.map((field) => argument(field, field.optional || field.default !== undefined));
          return [this.#routine({ ...made, about: `Adds ${withArticle(words)} and answers it.`, args })];
        }
        case 'update': {
          const given = record.fields.filter(
            ({ givenAtUpdate, name: own }) => givenAtUpdate && !record.key.includes(own),
          );
          const version = record.fields.filter(({ origin }) => origin === 'version');
          const args = [
            ...key,
            ...version.map((field) => argument(field, false)),
            ...given.map((field) => argument(field, true)),
          ];
          const about = `Changes ${withArticle(words)}: what is not given stays. Answers it.`;
          return [this.#routine({ ...made, about, args })];
        }
        case 'delete': {
          const about = `Deletes ${withArticle(words)}${this.#hasParts(record) ? ' with what is part of it' : ''}.`;
          return [this.#routine({ ...made, about, args: key, answers: 'nothing', columns: [] })];
        }
      }
    });
  }

  #hasParts(record: CheckedRecord): boolean {
    return this.#specification.records.some(({ parent }) => parent === record.name);
  }

  #sweep(record: CheckedRecord): readonly ServedRoutine[] {
    if (record.expires === undefined) return [];
    const about = `Writes down which ${record.name.replaceAll('_', ' ')} records have expired, the first of them. Readers see it without this.`;
    const args = [{ name: 'most', template: 't.int({ min: 1, max: 10_000 })', isLoose: false }];
    return [
      this.#routine({
        operation: `sweep_${record.name}`,
        ...{ about, args, answers: 'nothing', columns: [], reads: false },
      }),
    ];
  }

  #action(action: CheckedSpecification['actions'][number]): ServedAction {
    const path = `actions.${action.name}`;
    const returns = action.returns.map(({ name, value }) =>
      this.#column(
        name,
        { ...value, nullable: value.nullable || value.node === 'field' || value.node === 'variable' },
        path,
      ),
    );
    const rows = action.answers.map(({ name, record, optional }): AnsweredRow => ({
      as: name,
      isLoose: optional,
      columns: this.#columnsOf(this.#record(record)).map((column) => ({
        name: `${name}__${column.name}`,
        field: column.name,
        template: optional ? column.template.replace(/(?:\.optional\(\))?$/, '.optional()') : column.template,
      })),
    }));
    const columns = [...returns, ...rows.flatMap(({ columns: own }) => own)];
    const routine = this.#routine({
      operation: action.name,
      about: action.spec.description,
      args: this.#args(action.args),
      answers: columns.length === 0 ? 'nothing' : 'row',
      columns: columns.map(({ name, template }) => ({ name, template })),
      reads: false,
    });
    return { routine, rows, returns };
  }

  #args(args: readonly CheckedArgument[]): readonly TemplateArgument[] {
    return args.map((arg) => ({
      name: arg.name,
      template: this.#template(arg, `arguments.${arg.name}`),
      isLoose: arg.optional || arg.default !== undefined,
    }));
  }

  #columnsOf(record: CheckedRecord): readonly AnswerColumn[] {
    return record.fields.map((field) => {
      const isLoose =
        field.optional ||
        field.computed?.nullable === true ||
        field.rollup?.function === 'min' ||
        field.rollup?.function === 'max';
      const template = this.#template(field, `records.${record.name}.${field.name}`);
      return { name: field.name, template: `${template}${isLoose ? '.optional()' : ''}` };
    });
  }

  #column(
    name: string,
    value: { readonly type: Type; readonly nullable: boolean } & Parameters<typeof partsOf>[0],
    path: string,
  ): AnswerColumn {
    const isLoose = value.nullable || partsOf(value).some((part) => part.node === 'window' || part.nullable);
    return { name, template: `${this.#template({ type: value.type }, path)}${isLoose ? '.optional()' : ''}` };
  }

  /* Types */

  #typed(type: Type): Type {
    if (type.kind !== 'reference') return type;
    const record = this.#record(type.record);
    const key = record.fields.find(({ name }) => name === record.key.at(-1))?.type ?? { kind: 'text' };
    return key.kind === 'reference' ? { kind: 'text' } : key;
  }

  /** The type of a value in a template. */
  #template({ type, spec }: { readonly type: Type; readonly spec?: object | undefined }, path: string): string {
    const of = (spec ?? {}) as {
      readonly max_length?: number;
      readonly max_items?: number;
      readonly computed?: string;
    };
    const most = of.max_items === undefined ? '' : `, { max: ${of.max_items} }`;
    switch (type.kind) {
      case 'text':
        // n.b. what a formula gives may be as long as what it is made of.
        if (spec === undefined || (of.max_length === undefined && of.computed !== undefined)) return 't.string()';
        return `t.string({ max: ${of.max_length ?? 200} })`;
      case 'integer':
        return 't.int()';
      case 'decimal':
        return 't.decimal()';
      case 'float':
        return 't.number()';
      case 'boolean':
        return 't.boolean()';
      case 'date':
        return 't.date()';
      case 'time':
        return 't.string({ max: 8 })';
      case 'timestamp':
        return 't.datetime()';
      case 'enum':
        return `t.enum([${type.values.map((value) => JSON.stringify(value)).join(', ')}])`;
      case 'point':
        return 't.object({ lat: t.number(), lon: t.number() })';
      case 'json':
        return 't.json()';
      case 'list':
        return `t.list(${this.#template({ type: type.of, spec }, path)}${most})`;
      case 'objects': {
        const items = type.columns.map(
          (column) => `${column.name}: ${this.#template(column, path)}${column.optional ? '.optional()' : ''}`,
        );
        return `t.list(t.object({ ${items.join(', ')} })${most})`;
      }
      case 'reference': {
        const record = this.#record(type.record);
        const key = record.fields.find(({ name }) => name === record.key.at(-1));
        if (key === undefined || key.type.kind === 'reference') return 't.string({ max: 200 })';
        return this.#template(key, path);
      }
      default:
        this.#refusals.add(path, `a value of type ${type.kind}`);
        return 't.json()';
    }
  }
}

const PAGE: readonly TemplateArgument[] = [
  { name: 'skip', template: 't.int({ min: 0 })', isLoose: true },
  { name: 'limit', template: 't.int({ min: 1, max: 1000 })', isLoose: true },
];

/** Whether anything depends on who calls. */
function asksWho({ records, queries, actions }: CheckedSpecification): boolean {
  const isKept = records.some(
    ({ rowAccess, spec }) =>
      rowAccess !== undefined || spec.per_tenant === true || spec.timestamps === true || spec.history === true,
  );
  const own = [queries, actions, records].map((all) => all.map(({ spec: _, ...each }) => each));
  return isKept || saysWho(own);
}

function saysWho(formulas: unknown): boolean {
  const text = JSON.stringify(formulas);
  return text.includes('"node":"caller"') || text.includes('"node":"has_role"');
}

/** The type of the catalogue that a type of a template has: whatever has parts is JSON. */
function scalarOf(template: string): string {
  const [, name = ''] = /^t\.(\w+)\(/.exec(template) ?? [];
  const known: Readonly<Record<string, string>> = { int: 'integer', enum: 'string', list: 'json', object: 'json' };
  return known[name] ?? name;
}

function storedAs({ kind }: Type): JsonObject {
  const known: Readonly<Partial<Record<Type['kind'], string>>> = {
    ...{
      integer: 'integer',
      decimal: 'decimal',
      float: 'number',
      boolean: 'boolean',
      date: 'date',
      timestamp: 'datetime',
    },
    ...{ json: 'json', list: 'json', objects: 'json', point: 'json' },
  };
  return { type: known[kind] ?? 'string' };
}

function same(a: Stored | undefined, b: Stored): boolean {
  return JSON.stringify(toWire(a ?? null, { kind: 'text' })) === JSON.stringify(toWire(b, { kind: 'text' }));
}

function forTheDba(domain: string, together: readonly string[]): string {
  const needs =
    together.length === 0
      ? 'Each operation changes one document: no transactions are needed.'
      : `It needs a replica set, because these change several documents together:\n\n${together.map((why) => `- ${why}`).join('\n')}`;
  return `The files of \`db/\` go in by their names, with \`beds db apply ${domain}\`: collections with their indexes and validators, the rules, views, operations. The runtime account gets
reading and writing of the collections, and reading of the catalogue. Each file is right to run again. \`_${domain}_rules\` is the specification itself: operations
are carried out by it, and nothing else decides.

${needs}`;
}
