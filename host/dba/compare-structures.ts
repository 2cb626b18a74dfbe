import type { TableChange } from '#sdk/generate';
import {
  type ColumnParts,
  compareTypes,
  optionalColumn,
  partsOf,
  type Structure,
  type TableStructure,
} from './mysql-structure.js';

/**
 * What has to be done to the tables of a domain from one revision to the next, in two phases. Expanding adds and widens: what worked
 * goes on working. Contracting takes away and narrows, when nobody uses the revision before.
 */
export interface TableWork {
  readonly phase: Phase;
  readonly table: string;
  /** Clauses of one ALTER TABLE are of one group. */
  readonly group: Group;
  /** Of ALTER TABLE. Empty: the table itself goes. */
  readonly clause: string;
  readonly words: string;
  /** References of columns that hold nothing yet: nothing has to be looked up. */
  readonly isUnchecked?: boolean;
}

export type Phase = 'expand' | 'contract';
export type Group = 'unbind' | 'unkey' | 'columns' | 'keys' | 'references' | 'checks' | 'spare' | 'drop';
export const GROUPS: readonly Group[] = ['unbind', 'unkey', 'columns', 'keys', 'references', 'checks', 'spare', 'drop'];

/** Rows that lose something, or that must be put right before. */
export interface Hurdle {
  readonly kind: 'loss' | 'block';
  readonly table: string;
  /** Rows that it is about, as a condition over the table, or as a whole query that counts. */
  readonly where?: string;
  readonly count?: string;
  /** Behind a number: `rows have a value in phone, which goes`. */
  readonly words: string;
  /** What makes them fit, where the loss is allowed. */
  readonly cut?: { readonly column: string; readonly value: string };
}

export interface Comparison {
  readonly works: readonly TableWork[];
  readonly hurdles: readonly Hurdle[];
  readonly refused: readonly { readonly path: string; readonly construct: string }[];
  /** What callers should know. */
  readonly notices: readonly string[];
}

export interface Compared {
  /** As the database is. */
  readonly real: Structure;
  /** As the revision before has it: what is in neither is somebody else's, and stays. */
  readonly before: Structure;
  readonly after: Structure;
  readonly tables: Readonly<Record<string, TableChange>>;
}

/** An index in place of a unique key, for as long as triggers keep what that asks for. */
function spareOf(revision: 'old' | 'fresh', key: string): string {
  return `${revision === 'old' ? 'w_' : 'n_'}${key}`.slice(0, 64);
}

const q = (name: string): string => `\`${name.replaceAll('`', '``')}\``;

export function compareStructures(compared: Compared): Comparison {
  const all = new Collected();
  const { real, before, after } = compared;
  for (const [table, is] of Object.entries(real.tables)) {
    const target = after.tables[table];
    if (target === undefined) {
      if (before.tables[table] === undefined) continue;
      all.works.push({ phase: 'contract', table, group: 'drop', clause: '', words: `drop the table ${table}` });
      all.hurdles.push({ kind: 'loss', table, where: 'TRUE', words: `rows of ${table} are lost with the table` });
      continue;
    }
    const was = before.tables[table] ?? { columns: {}, keys: {}, references: {}, checks: {} };
    const change = compared.tables[table] ?? { renamed: {}, fills: [], judged: [] };
    new TableComparison({ table, is, was, target, change }, all).run();
  }
  return all;
}

class Collected implements Comparison {
  readonly works: TableWork[] = [];
  readonly hurdles: Hurdle[] = [];
  readonly refused: { readonly path: string; readonly construct: string }[] = [];
  readonly notices: string[] = [];
}

interface OneTable {
  readonly table: string;
  readonly is: TableStructure;
  readonly was: TableStructure;
  readonly target: TableStructure;
  readonly change: TableChange;
}

class TableComparison {
  readonly #of: OneTable;
  readonly #all: Collected;
  /** Columns that hold nothing of the revision before. */
  readonly #fresh: ReadonlySet<string>;

  constructor(of: OneTable, all: Collected) {
    this.#of = of;
    this.#all = all;
    this.#fresh = new Set(Object.keys(of.target.columns).filter((name) => of.was.columns[name] === undefined));
  }

  run(): void {
    const { target, is, was } = this.#of;
    for (const [name, definition] of Object.entries(target.columns)) {
      const there = is.columns[name];
      if (there === undefined) this.#addColumn(name, definition);
      else if (there !== definition && was.columns[name] !== definition) this.#changeColumn(name, [there, definition]);
    }
    for (const name of Object.keys(is.columns)) {
      if (target.columns[name] === undefined && was.columns[name] !== undefined) this.#removeColumn(name);
    }
    this.#compareKeys();
    this.#compareConstraints('references');
    this.#compareConstraints('checks');
  }

  #work(phase: Phase, group: Group, [clause, words, isUnchecked]: readonly [string, string, boolean?]): void {
    const { table } = this.#of;
    this.#all.works.push({ phase, table, group, clause, words, ...(isUnchecked === true ? { isUnchecked } : {}) });
  }

  #hurdle(hurdle: Omit<Hurdle, 'table'>): void {
    this.#all.hurdles.push({ table: this.#of.table, ...hurdle });
  }

  #refuse(name: string, construct: string): void {
    this.#all.refused.push({ path: `${this.#of.table}.${name}`, construct });
  }

  #isFilled(name: string): boolean {
    return this.#of.change.fills.some(({ column }) => column === name);
  }

  #addColumn(name: string, definition: string): void {
    const { table } = this.#of;
    const parts = partsOf(definition);
    if (parts.isNumbered) return this.#refuse(name, 'a key that the database gives, in a table that is there');
    const isHeld = parts.isRequired && parts.default === undefined && !parts.isGenerated;
    if (isHeld && !this.#isFilled(name))
      return this.#refuse(name, 'a value that must be there, which rows that are there do not have: give it a default');
    const now = isHeld ? optionalColumn(definition) : definition;
    const words = `add ${table}.${name}${isHeld ? ', which may be absent until the version before is retired' : ''}`;
    this.#work('expand', 'columns', [`ADD COLUMN ${q(name)} ${now}`, words]);
    if (isHeld) this.#require(name, definition);
  }

  #require(name: string, definition: string): void {
    this.#work('contract', 'columns', [
      `MODIFY COLUMN ${q(name)} ${definition}`,
      `${this.#of.table}.${name} must be there`,
    ]);
    this.#hurdle({
      kind: 'block',
      where: `${q(name)} IS NULL`,
      words: `rows have no ${name}, which must be there: give them one`,
    });
  }

  #changeColumn(name: string, [from, to]: readonly [string, string]): void {
    const { table } = this.#of;
    const [is, next] = [partsOf(from), partsOf(to)];
    if (is.isGenerated || next.isGenerated) return this.#computeAgain(name, to);
    const types = compareTypes(is, next);
    if (types === undefined || is.isNumbered !== next.isNumbered)
      return this.#refuse(
        name,
        `another kind of value, ${shown(from)} to ${shown(to)}: add a field of another name and move what it holds`,
      );
    if (types === 'narrower') this.#narrow(name, { is, next, from, to });
    const isLater = this.#changeLater(name, { is, next, from, to, isNarrower: types === 'narrower' });
    if (isLater && types !== 'wider') return;
    const words =
      types === 'wider'
        ? `widen ${table}.${name} to ${shown(to)}`
        : is.isRequired && !next.isRequired
          ? `let ${table}.${name} be absent`
          : `change how ${table}.${name} is described`;
    this.#work('expand', 'columns', [`MODIFY COLUMN ${q(name)} ${isLater ? widened(from, to) : to}`, words]);
    if (types !== 'wider' || next.base !== 'enum') return;
    const added = next.size.filter((word) => !is.size.includes(word)).join(', ');
    this.#all.notices.push(
      `Callers of the version before do not know ${added} in ${table}.${name}: a row that has it they cannot read.`,
    );
  }

  /** What the version before would not understand, or not keep to: whether there is any. */
  #changeLater(
    name: string,
    {
      is,
      next,
      from,
      to,
      isNarrower,
    }: {
      readonly is: ColumnParts;
      readonly next: ColumnParts;
      readonly from: string;
      readonly to: string;
      readonly isNarrower: boolean;
    },
  ): boolean {
    const { table, was } = this.#of;
    const loses = is.default !== undefined && is.default !== next.default;
    if (!is.isRequired && next.isRequired) {
      if (!this.#isFilled(name) && next.default === undefined && was.columns[name] !== undefined)
        this.#all.notices.push(
          `${table}.${name} must be there from now on: rows without it cannot be read by the new version.`,
        );
      this.#require(name, to);
      return true;
    }
    const isLoosened = is.isRequired && !next.isRequired;
    if (isLoosened)
      this.#all.notices.push(
        `Callers of the version before cannot read a row without ${table}.${name}: where the new version leaves it out, there is no way back for that row.`,
      );
    if (!isNarrower && !loses) return false;
    if (isLoosened)
      this.#work('expand', 'columns', [
        `MODIFY COLUMN ${q(name)} ${optionalColumn(from)}`,
        `let ${table}.${name} be absent`,
      ]);
    this.#work('contract', 'columns', [`MODIFY COLUMN ${q(name)} ${to}`, `change ${table}.${name} to ${shown(to)}`]);
    return true;
  }

  #computeAgain(name: string, definition: string): void {
    const words = `compute ${this.#of.table}.${name} in another way`;
    this.#work('contract', 'unkey', [`DROP COLUMN ${q(name)}`, words]);
    this.#work('contract', 'columns', [`ADD COLUMN ${q(name)} ${definition}`, words]);
  }

  #narrow(
    name: string,
    {
      is,
      next,
      from,
      to,
    }: { readonly is: ColumnParts; readonly next: ColumnParts; readonly from: string; readonly to: string },
  ): void {
    const column = q(name);
    const [first = '0', second = '0'] = next.size;
    if (next.base === 'enum') {
      const gone = is.size.filter((word) => !next.size.includes(word));
      const all = mergedWords(is.size, next.size);
      if (all.length > is.size.length)
        this.#work('expand', 'columns', [
          `MODIFY COLUMN ${column} ${widened(from, `enum(${all.join(',')})`)}`,
          `let ${this.#of.table}.${name} have the words of both versions`,
        ]);
      this.#hurdle({
        kind: 'block',
        where: `${column} IN (${gone.join(', ')})`,
        words: `rows have ${gone.join(' or ')} in ${name}, which goes: give them another word`,
      });
      this.#all.notices.push(
        `The new version cannot read rows with ${gone.join(' or ')} in ${this.#of.table}.${name}: give them another word before it serves.`,
      );
    } else if (next.base === 'varchar' || next.base === 'char') {
      this.#hurdle({
        kind: 'loss',
        where: `CHAR_LENGTH(${column}) > ${first}`,
        words: `rows have more than ${first} characters in ${name}, which are cut`,
        cut: { column: name, value: `LEFT(target.${column}, ${first})` },
      });
    } else if (next.base === 'decimal') {
      this.#hurdle({
        kind: 'block',
        where: `ABS(${column}) >= 1e${Number(first) - Number(second)}`,
        words: `rows have too large a number in ${name}`,
      });
      this.#hurdle({
        kind: 'loss',
        where: `${column} <> ROUND(${column}, ${second})`,
        words: `rows have more than ${second} digits after the point in ${name}, which are rounded`,
        cut: { column: name, value: `ROUND(target.${column}, ${second})` },
      });
    } else {
      const bits = { tinyint: 8, smallint: 16, mediumint: 24, int: 32 }[next.base] ?? 64;
      this.#hurdle({
        kind: 'block',
        where: `${column} NOT BETWEEN -POW(2, ${bits - 1}) AND POW(2, ${bits - 1}) - 1`,
        words: `rows have a number in ${name} that ${shown(to)} does not hold`,
      });
    }
    this.#hurdle({ kind: 'loss', where: 'FALSE', words: `rows: ${name} is narrowed to ${shown(to)}` });
  }

  #removeColumn(name: string): void {
    const { table, change, is } = this.#of;
    const definition = is.columns[name] ?? '';
    const parts = partsOf(definition);
    const moved = change.renamed[name];
    if (parts.isRequired && parts.default === undefined && !parts.isGenerated) {
      this.#work('expand', 'columns', [
        `MODIFY COLUMN ${q(name)} ${optionalColumn(definition)}`,
        `let ${table}.${name} be absent, which the new version does not give`,
      ]);
      if (moved === undefined)
        this.#all.notices.push(
          `Rows that the new version adds have no ${table}.${name}: callers of the version before cannot read them where they expect one.`,
        );
    }
    this.#work('contract', 'columns', [
      `DROP COLUMN ${q(name)}`,
      `drop ${table}.${name}${moved === undefined ? '' : `, which is ${moved} now`}`,
    ]);
    if (parts.isGenerated) return;
    if (moved === undefined)
      this.#hurdle({
        kind: 'loss',
        where: `${q(name)} IS NOT NULL`,
        words: `rows have a value in ${table}.${name}, which goes`,
      });
    else
      this.#hurdle({
        kind: 'block',
        where: `NOT (${q(name)} <=> ${q(moved)})`,
        words: `rows have not been moved from ${name} to ${moved}: run the command again`,
      });
  }

  /** n.b. what has another name is filled by the version before too, which knows nothing of the new rule. */
  #isOnRenamed(text: string): boolean {
    return Object.values(this.#of.change.renamed).some((name) => text.includes(q(name)));
  }

  #isOnFresh(text: string): boolean {
    const inside = /\(([\s\S]*)\)/.exec(text)?.[1] ?? '';
    const own = inside.split(/\bREFERENCES\b/)[0] ?? '';
    const named = [...own.matchAll(/`((?:[^`]|``)+)`/g)].map(([, name = '']) => name);
    return named.length > 0 && named.every((name) => this.#isFresh(name));
  }

  /** What is computed from columns that were there has values. */
  #isFresh(name: string): boolean {
    if (!this.#fresh.has(name)) return false;
    const [, of] = / AS \((.*)\) /.exec(this.#of.target.columns[name] ?? '') ?? [];
    const columns = [...(of ?? '').matchAll(/`([^`]+)`/g)].map(([, column = '']) => column);
    return columns.every((column) => this.#fresh.has(column));
  }

  #compareKeys(): void {
    const { is, was, target } = this.#of;
    if (is.keys['PRIMARY'] !== target.keys['PRIMARY'] && was.keys['PRIMARY'] !== target.keys['PRIMARY'])
      this.#refuse('PRIMARY', 'another primary key');
    const names = new Set([...Object.keys(is.keys), ...Object.keys(target.keys)]);
    names.delete('PRIMARY');
    for (const name of names) {
      if (this.#isSpare(name)) this.#dropSpare(name);
      else this.#compareKey(name);
    }
  }

  #compareKey(name: string): void {
    const { is, was, target, change } = this.#of;
    const [there, wanted, old] = [is.keys[name], target.keys[name], was.keys[name]];
    const isJudged = change.judged.includes(name);
    // n.b. the same key over columns that are computed in another way is another one.
    const isSameName = isJudged && there !== undefined && old !== undefined;
    if (isKept(there, wanted, old) && !isSameName) return;
    if (there !== undefined) {
      const words = `drop the index ${name}${isJudged ? ', which a trigger keeps for whom it is meant' : ''}`;
      this.#work(isJudged ? 'expand' : 'contract', 'unkey', [`DROP KEY ${q(name)}`, words]);
      if (isJudged) this.#addSpare(spareOf('old', name), there);
    }
    if (wanted !== undefined) this.#addKey(name, wanted, there === undefined);
  }

  #addKey(name: string, key: string, isNew: boolean): void {
    const { table, change } = this.#of;
    const isUnique = key.startsWith('UNIQUE');
    const isAtOnce = isNew && (!isUnique || (this.#isOnFresh(key) && !this.#isOnRenamed(key)));
    this.#work(isAtOnce ? 'expand' : 'contract', 'keys', [
      `ADD ${key}`,
      `add the ${isUnique ? 'unique key' : 'index'} ${name}`,
    ]);
    if (!isUnique || isAtOnce) return;
    if (change.judged.includes(name)) this.#addSpare(spareOf('fresh', name), key);
    this.#all.notices.push(
      `What ${name} asks for does not hold for the version before: until it is retired, it may make rows of ${table} that agree in it.`,
    );
    this.#countTwins(key);
  }

  /** What triggers look for meanwhile, they find by an index. */
  #addSpare(name: string, key: string): void {
    if (this.#of.is.keys[name] !== undefined) return;
    const columns = key.slice(key.indexOf('('));
    this.#work('expand', 'keys', [`ADD KEY ${q(name)} ${columns}`, `add the index ${name} until the contract`]);
  }

  /** n.b. with its columns it goes by itself. */
  #dropSpare(name: string): void {
    const { is, target } = this.#of;
    const columns = [...(is.keys[name] ?? '').matchAll(/`([^`]+)`/g)].slice(1).map(([, column = '']) => column);
    if (columns.some((column) => target.columns[column] !== undefined))
      this.#work('contract', 'spare', [`DROP KEY ${q(name)}`, `drop the index ${name}`]);
  }

  #isSpare(name: string): boolean {
    const { was, target } = this.#of;
    if (was.keys[name] !== undefined || target.keys[name] !== undefined) return false;
    const keys = [...Object.keys(was.keys), ...Object.keys(target.keys)];
    return keys.some((key) => [spareOf('old', key), spareOf('fresh', key)].includes(name));
  }

  /** Rows that agree in what is to be unique. n.b. NULL agrees with nothing. */
  #countTwins(key: string): void {
    const { is, table } = this.#of;
    const columns = [...(/\((.*)\)$/.exec(key)?.[1] ?? '').matchAll(/`[^`]+`/g)].map(([column]) => column);
    if (columns.length === 0 || columns.some((column) => is.columns[column.slice(1, -1)] === undefined)) return;
    const some = columns.map((column) => `${column} IS NOT NULL`).join(' AND ');
    const groups = `SELECT COUNT(*) AS many FROM ${q(table)} WHERE ${some} GROUP BY ${columns.join(', ')} HAVING COUNT(*) > 1`;
    this.#hurdle({
      kind: 'block',
      count: `SELECT COALESCE(SUM(many), 0) AS found FROM (${groups}) AS same`,
      words: `rows agree in what must be unique, ${columns.join(', ').replaceAll('`', '')}: change or delete some`,
    });
  }

  #compareConstraints(kind: 'references' | 'checks'): void {
    const { table } = this.#of;
    const [is, was, target] = [this.#of.is[kind], this.#of.was[kind], this.#of.target[kind]];
    const what = kind === 'checks' ? 'rule' : 'reference';
    const drop = kind === 'checks' ? 'DROP CONSTRAINT' : 'DROP FOREIGN KEY';
    for (const name of new Set([...Object.keys(is), ...Object.keys(target)])) {
      const [there, wanted, old] = [is[name], target[name], was[name]];
      if (isKept(there, wanted, old)) continue;
      const isJudged = kind === 'checks' && this.#of.change.judged.includes(name);
      if (there !== undefined) {
        const meanwhile = isJudged ? ', which a trigger keeps for whom it is meant' : '';
        this.#work(isJudged ? 'expand' : 'contract', 'unbind', [
          `${drop} ${q(name)}`,
          `drop the ${what} ${name}${meanwhile}`,
        ]);
        if (!isJudged)
          this.#all.notices.push(
            `The ${what} ${name} of ${table} holds until the version before is retired, for the new version too.`,
          );
      }
      if (wanted === undefined) continue;
      const isAtOnce =
        there === undefined && this.#isOnFresh(wanted) && (kind === 'references' || !this.#isOnRenamed(wanted));
      const isUnchecked = isAtOnce && kind === 'references';
      this.#work(isAtOnce ? 'expand' : 'contract', kind, [`ADD ${wanted}`, `add the ${what} ${name}`, isUnchecked]);
      if (isAtOnce) continue;
      if (there === undefined && !isJudged)
        this.#all.notices.push(`The ${what} ${name} of ${table} holds for rows when the version before is retired.`);
      if (kind === 'checks') this.#countBroken(name, wanted);
      else this.#countOrphans(wanted);
    }
  }

  #countBroken(name: string, check: string): void {
    const columns = [...check.matchAll(/`([^`]+)`/g)].slice(1).map(([, column = '']) => column);
    if (!columns.every((column) => this.#of.is.columns[column] !== undefined)) return;
    const [, test = ''] = /CHECK \(([\s\S]*)\)/.exec(check) ?? [];
    this.#hurdle({ kind: 'block', where: `(${test}) IS FALSE`, words: `rows break the rule ${name}: put them right` });
  }

  #countOrphans(reference: string): void {
    const [, own = '', other = '', key = ''] =
      /FOREIGN KEY \(`([^`]+)`\) REFERENCES `([^`]+)` \(`([^`]+)`\)/.exec(reference) ?? [];
    if (this.#of.is.columns[own] === undefined) return;
    const joined = `${q(this.#of.table)} AS one LEFT JOIN ${q(other)} AS named ON named.${q(key)} = one.${q(own)}`;
    this.#hurdle({
      kind: 'block',
      count: `SELECT COUNT(*) AS found FROM ${joined} WHERE one.${q(own)} IS NOT NULL AND named.${q(key)} IS NULL`,
      words: `rows name a ${other} in ${own} that is not there`,
    });
  }
}

/** Whether it is as it should be, or was never the domain's, or is somebody else's by now. */
function isKept(there: string | undefined, wanted: string | undefined, old: string | undefined): boolean {
  if (there === wanted) return true;
  return wanted === undefined ? old === undefined : there !== undefined && wanted === old;
}

/** The words of both, each behind the one that it stands behind in its own list. */
function mergedWords(was: readonly string[], next: readonly string[]): readonly string[] {
  const all = [...was];
  for (const [index, word] of next.entries())
    if (!all.includes(word)) all.splice(all.indexOf(next[index - 1] ?? '') + 1, 0, word);
  return all;
}

/** The new type with all else as it was. */
function widened(from: string, to: string): string {
  const type = (text: string): string => /^\w+(?:\((?:'(?:[^'\\]|\\.|'')*'|[^)'])*\))?/.exec(text)?.[0] ?? '';
  return `${type(to)}${from.slice(type(from).length)}`;
}

/** A column as a person reads it: without its comment. */
function shown(definition: string): string {
  return definition.replace(/ COMMENT '(?:[^'\\]|\\.|'')*'$/, '').replaceAll(/ (?:CHARACTER SET|COLLATE) \S+/g, '');
}
