import { createHash, randomBytes } from 'node:crypto';
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import type { ChangePhase, ChangePlan, CountedRows } from '#sdk/cli';
import type { MysqlChange, WindowTrigger } from '#sdk/generate';
import type * as makers from '#sdk/generate';
import type { CheckedSpecification } from '#sdk/spec';
import { dbaErrors } from '../errors/dba.js';
import {
  type ApplyChange,
  type ChangeStep as AnyStep,
  type Compared,
  differing,
  DomainChanges,
  type DomainRecord as AnyRecord,
  type KeptStep,
  type Prepared,
  revisionOf,
} from './change-domain.js';
import {
  type Comparison,
  compareStructures,
  GROUPS,
  type Hurdle,
  type Phase,
  type TableWork,
} from './compare-structures.js';
import type { DomainObjects, ObjectFile } from './contract.js';
import { createdObjects } from './mysql.js';
import { performStep, readSteps, type Run, STEP_TABLE, writeSteps } from './mysql-steps.js';
import { type ObjectNames, readStructure, type Structure } from './mysql-structure.js';

/** Changes of a domain of MySQL or MariaDB. What is kept of them is in tables of the DBA's, beside those of the domain. */

type ChangeStep = AnyStep<Run>;
type DomainRecord = AnyRecord<Structure>;

const DOMAIN_TABLE = `CREATE TABLE IF NOT EXISTS beds_domain (
  domain VARCHAR(64) NOT NULL PRIMARY KEY,
  revision INT NOT NULL COMMENT 'Of the specification that the database is made from',
  specification LONGTEXT NOT NULL,
  structure LONGTEXT NOT NULL COMMENT 'The objects of the domain as they were made, as JSON',
  phase ENUM('live', 'expanding', 'expanded', 'contracting', 'undoing') NOT NULL DEFAULT 'live',
  next_revision INT NULL,
  next_specification LONGTEXT NULL,
  next_structure LONGTEXT NULL,
  changed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  changed_by VARCHAR(400) NOT NULL COMMENT 'Account and computer'
) CHARACTER SET utf8mb4`;

const CONNECT_TIMEOUT_MS = 10_000;
const LOCK_SECONDS = 5;
/** No such column, no such table. */
const NOT_THERE: readonly number[] = [1054, 1146];
/** n.b. ANSI_QUOTES would have SHOW CREATE TABLE write other texts; and a fill updates by ranges of the key. */
const SESSION = `SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', sql_safe_updates = 0, sql_quote_show_create = 1`;

export async function openMysqlChanges(adminUrl: string, store: string): Promise<DomainChanges<Structure, Run>> {
  const uri = adminUrl.replace(/^mariadb:/, 'mysql:');
  let connection: Connection | undefined;
  try {
    connection = await createConnection({
      ...{ uri, multipleStatements: true, connectTimeout: CONNECT_TIMEOUT_MS },
      ...{ dateStrings: true, supportBigNumbers: true, bigNumberStrings: true },
    });
    await connection.query(SESSION);
    await connection.query(DOMAIN_TABLE);
    await connection.query(STEP_TABLE);
    return new MysqlChanges(connection, { uri, database: decodeURIComponent(new URL(uri).pathname.slice(1)), store });
  } catch (cause) {
    connection?.destroy();
    throw dbaErrors.make('BEDS_DBA_SERVER_UNAVAILABLE', undefined, { cause });
  }
}

class MysqlChanges extends DomainChanges<Structure, Run> {
  protected readonly empty = EMPTY;
  readonly #connection: Connection;
  readonly #database: string;
  /** With the DBA's password. */
  readonly #uri: string;

  constructor(
    connection: Connection,
    { uri, database, store }: { readonly uri: string; readonly database: string; readonly store: string },
  ) {
    super(store);
    this.#connection = connection;
    this.#uri = uri;
    this.#database = database;
  }

  async close(): Promise<void> {
    await this.#connection.end();
  }

  protected made(
    generator: typeof makers,
    checked: CheckedSpecification,
  ): Readonly<Record<string, string>> | undefined {
    return generator.generateMysql(checked).files;
  }

  protected async compare({
    domain,
    before,
    checked,
    record,
    text,
    drift,
    generator,
  }: Compared<Structure>): Promise<Prepared<Structure, Run>> {
    const [who] = await this.#rows('SELECT USER() AS who');
    const account = String(who?.['who']).split('@')[0] ?? '';
    const change = generator.changeMysql(before, checked, { account });
    const names = namesOf(domain.files);
    const real = await this.#structure(union(names, namesIn(record.structure)));
    const scratch = await this.#openScratch();
    try {
      const after = await scratch.structureOf(tableFiles(domain.files), names);
      const comparison = compareStructures({ real, before: record.structure, after, tables: change.tables });
      const refused = [...change.refused, ...comparison.refused].map(({ path, construct }) => `${path}: ${construct}`);
      const taken = takenNames({ names, real, record });
      if (record.phase === 'live')
        refused.push(...taken.map((name) => `${name} is there already, and is not of this domain`));
      await scratch.copy(this.#connection, Object.keys(real.tables));
      const isExpanded = record.phase === 'expanded';
      const works = isExpanded ? comparison.works.filter(({ phase }) => phase === 'contract') : comparison.works;
      const isLoosening = ({ phase, group }: TableWork): boolean =>
        phase === 'expand' && (group === 'unbind' || group === 'unkey');
      const alters = async (phase: Phase, own: readonly TableWork[]): Promise<readonly ChangeStep[]> =>
        this.#alters(own, phase, scratch);
      const expandAlters = await alters(
        'expand',
        works.filter((work) => !isLoosening(work)),
      );
      const loosening = await alters('expand', works.filter(isLoosening));
      const contractAlters = await alters('contract', works);
      const { losses, blocks } = await this.#countAll(comparison.hurdles);
      const steps = isExpanded ? [] : expandSteps({ domain, real, change, alters: expandAlters, loosening });
      const keys = keysOf(after);
      const contractSteps = this.#contractSteps({ record, change, comparison, alters: contractAlters, keys });
      const state = refused.length > 0 ? 'refused' : isExpanded ? 'expanded' : 'change';
      const { revision: from, phase, structure } = record;
      const plan: ChangePlan = {
        ...{ domain: domain.domain, store: this.store, from, to: revisionOf(checked), phase, state },
        ...{
          expand: steps.map((step) => this.planned(step)),
          contract: contractSteps.map((step) => this.planned(step)),
        },
        ...{ losses, blocks, refused, drift },
        notices: [...new Set(comparison.notices)],
        retired: [...Object.keys(structure.routines), ...Object.keys(structure.views)],
      };
      const made = { ...after, ...afterObjects(domain.files) };
      return { plan, steps, contractSteps, after: made, specification: text };
    } finally {
      await scratch.close();
    }
  }

  async #alters(works: readonly TableWork[], phase: Phase, scratch: Scratch): Promise<readonly ChangeStep[]> {
    const steps: ChangeStep[] = [];
    const chosen = works.filter((work) => work.phase === phase);
    for (const group of GROUPS) {
      const ofGroup = chosen.filter((work) => work.group === group);
      for (const table of new Set(ofGroup.map((work) => work.table))) {
        const own = ofGroup.filter((work) => work.table === table);
        steps.push(...(group === 'drop' ? [dropStep(table, phase, own)] : await this.#altersOf(table, own, scratch)));
      }
    }
    return steps;
  }

  async #altersOf(table: string, works: readonly TableWork[], scratch: Scratch): Promise<readonly ChangeStep[]> {
    const steps: ChangeStep[] = [];
    for (const isUnchecked of [false, true]) {
      const own = works.filter((work) => (work.isUnchecked ?? false) === isUnchecked);
      for (const { algorithm, works: together } of await scratch.ask(table, own, isUnchecked)) {
        const clauses = together.map(({ clause }) => clause).join(', ');
        const alter = `ALTER TABLE \`${table}\` ${clauses}, ALGORITHM=${algorithm}`;
        const sql = isUnchecked ? ['SET foreign_key_checks = 0', alter, 'SET foreign_key_checks = 1'] : [alter];
        const lock = await this.#lockWords(table, algorithm);
        const phase = together[0]?.phase ?? 'expand';
        steps.push({ phase, words: wordsOf(together), lock, run: { kind: 'sql', sql } });
      }
    }
    return steps;
  }

  async #lockWords(table: string, algorithm: string): Promise<string> {
    if (algorithm === 'INSTANT') return 'a moment: only what describes the table is changed';
    const [row] = await this.#rows(
      'SELECT TABLE_ROWS AS many, ROUND((DATA_LENGTH + INDEX_LENGTH) / 1048576) AS mb FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?',
      [this.#database, table],
    );
    const size = `about ${String(row?.['many'] ?? 0)} rows, ${String(row?.['mb'] ?? 0)} MB`;
    if (algorithm === 'INPLACE, LOCK=NONE')
      return `a moment at its start and at its end; the table is read through meanwhile, ${size}, and callers write on`;
    if (algorithm === 'INPLACE, LOCK=SHARED')
      return `writers wait while the table is read through, ${size}; readers do not`;
    return `writers wait while the table is copied, ${size}; readers do not`;
  }

  #contractSteps({
    record,
    change,
    comparison,
    alters,
    keys,
  }: {
    readonly record: DomainRecord;
    readonly change: MysqlChange;
    readonly comparison: Comparison;
    readonly alters: readonly ChangeStep[];
    readonly keys: Readonly<Record<string, readonly string[]>>;
  }): readonly ChangeStep[] {
    const { routines, views } = record.structure;
    const cuts = comparison.hurdles.flatMap(({ table, cut, where = 'FALSE' }): readonly ChangeStep[] =>
      cut === undefined
        ? []
        : [
            {
              ...{ phase: 'contract', words: `make what is in ${table}.${cut.column} fit`, lock: BATCHES },
              run: { kind: 'fill', table, key: keys[table] ?? [], ...cut, isDone: `NOT (${where})` },
            },
          ],
    );
    const gone = [...Object.keys(views), ...Object.keys(routines)];
    const drops = [
      ...Object.keys(views).map((name) => `DROP VIEW IF EXISTS \`${name}\``),
      ...Object.keys(routines).flatMap((name) => [
        `DROP PROCEDURE IF EXISTS \`${name}\``,
        `DROP FUNCTION IF EXISTS \`${name}\``,
      ]),
    ];
    const dropped: ChangeStep = {
      phase: 'contract',
      words: `drop the ${gone.length} views and procedures of revision ${record.revision}`,
      lock: 'a moment each',
      run: { kind: 'sql', sql: drops },
    };
    return [
      ...(gone.length === 0 ? [] : [dropped]),
      ...fillSteps(change, 'contract', keys),
      ...cuts,
      ...change.triggers
        .filter(({ window, after }) => window !== after)
        .map((trigger) => triggerStep('contract', trigger, trigger.after)),
      ...alters,
    ];
  }

  async #countAll(hurdles: readonly Hurdle[]): Promise<Pick<ChangePlan, 'losses' | 'blocks'>> {
    return { losses: await this.#count(hurdles, 'loss'), blocks: await this.#count(hurdles, 'block') };
  }

  async #count(hurdles: readonly Hurdle[], kind: Hurdle['kind']): Promise<readonly CountedRows[]> {
    const found: CountedRows[] = [];
    for (const { kind: own, table, where, count, words } of hurdles) {
      if (own !== kind) continue;
      const sql = count ?? `SELECT COUNT(*) AS found FROM \`${table}\` WHERE ${where ?? 'FALSE'}`;
      const rows = await this.#rows(sql).catch((cause: unknown) => {
        // n.b. of a column that the change adds, no row is asked yet.
        if (NOT_THERE.includes((cause as { readonly errno?: number }).errno ?? 0)) return [];
        const reason = cause instanceof Error ? cause.message : String(cause);
        const what = `What would be lost of ${table} could not be counted: ${reason}`;
        throw dbaErrors.make('BEDS_DBA_CHANGE_FAILED', what, { cause });
      });
      const many = Number(rows[0]?.['found'] ?? 0);
      if (kind === 'loss' || many > 0) found.push({ rows: many, words });
    }
    return found;
  }

  protected async compareBack({
    record,
    before,
    next,
    nextStructure,
    generator,
  }: Parameters<DomainChanges<Structure, Run>['compareBack']>[0]): ReturnType<
    DomainChanges<Structure, Run>['compareBack']
  > {
    const change = generator.changeMysql(before, next, { account: '' });
    const real = await this.#structure(union(namesIn(record.structure), namesIn(nextStructure)));
    const comparison = compareStructures({ real, before: nextStructure, after: record.structure, tables: {} });
    const scratch = await this.#openScratch();
    try {
      await scratch.copy(this.#connection, Object.keys(real.tables));
      const alters = [
        ...(await this.#alters(comparison.works, 'expand', scratch)),
        ...(await this.#alters(comparison.works, 'contract', scratch)),
      ].map((step) => ({ ...step, phase: 'undo' as const }));
      const steps: ChangeStep[] = [
        ...undoDrops(record, nextStructure),
        ...change.triggers
          .filter(({ table }) => real.tables[table] !== undefined)
          .map((trigger) => triggerStep('undo', trigger, trigger.before)),
        ...alters,
      ];
      const refused = comparison.refused.map(({ path, construct }) => `${path}: ${construct}`);
      return { steps, refused, ...(await this.#countAll(comparison.hurdles)) };
    } finally {
      await scratch.close();
    }
  }

  /* Carrying out */

  protected async begin(
    domain: string,
    { phase, steps, next }: Parameters<DomainChanges<Structure, Run>['begin']>[1],
  ): Promise<void> {
    await this.#connection.beginTransaction();
    await writeSteps(this.#connection, domain, steps);
    await this.#connection.query('UPDATE beds_domain SET phase = ?, changed_by = USER() WHERE domain = ?', [
      phase,
      domain,
    ]);
    if (next !== undefined)
      await this.#connection.query(
        'UPDATE beds_domain SET next_revision = ?, next_specification = ?, next_structure = ? WHERE domain = ?',
        [next.revision, next.specification, JSON.stringify(next.after), domain],
      );
    await this.#connection.commit();
  }

  protected steps(domain: string): Promise<readonly KeptStep<Run>[]> {
    return readSteps(this.#connection, domain);
  }

  protected async mark(domain: string, number: number, state: 'running' | 'done'): Promise<void> {
    const moment = state === 'running' ? 'started_at' : 'ended_at';
    await this.#connection.query(
      `UPDATE beds_change_step SET state = ?, ${moment} = CURRENT_TIMESTAMP WHERE domain = ? AND step_no = ?`,
      [state, domain, number],
    );
  }

  protected perform(
    domain: string,
    kept: KeptStep<Run>,
    { onProgress }: Pick<ApplyChange, 'onProgress'>,
  ): Promise<void> {
    return performStep(this.#connection, kept, { domain, onProgress });
  }

  protected commands(run: Run): readonly string[] {
    if (run.kind === 'sql') return run.sql;
    const { table, column, value, isDone } = run;
    const open = isDone === undefined ? '' : ` WHERE (${isDone}) IS NOT TRUE`;
    return [`UPDATE \`${table}\` AS target SET target.\`${column}\` = ${value}${open}`];
  }

  protected async expanded(domain: string, record: DomainRecord): Promise<void> {
    await this.#grantNew(record);
    await this.#connection.query(`UPDATE beds_domain SET phase = 'expanded', changed_by = USER() WHERE domain = ?`, [
      domain,
    ]);
  }

  /** Whoever may use the objects of the revision before may use those of the next: other hosts have accounts of their own. */
  async #grantNew({ structure, nextStructure }: DomainRecord): Promise<void> {
    if (nextStructure === undefined) return;
    const routines = await this.#rows(
      `SELECT DISTINCT User AS user, Host AS host FROM mysql.procs_priv WHERE Db = ? AND Routine_name IN (?) AND FIND_IN_SET('Execute', Proc_priv)`,
      [this.#database, [...Object.keys(structure.routines), '']],
    ).catch(() => []);
    const isOpen = (name: string): boolean => !name.startsWith('_');
    const kinds = await this.#rows(
      'SELECT ROUTINE_NAME AS name, ROUTINE_TYPE AS kind FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?',
      [this.#database],
    );
    for (const { user, host } of routines) {
      const to = `${this.#connection.escape(user)}@${this.#connection.escape(host)}`;
      for (const { name, kind } of kinds)
        if (nextStructure.routines[String(name)] !== undefined && isOpen(String(name)))
          await this.#connection.query(`GRANT EXECUTE ON ${String(kind)} ${this.#id(String(name))} TO ${to}`);
      for (const name of Object.keys(nextStructure.views).filter(isOpen))
        await this.#connection.query(`GRANT SELECT ON ${this.#id(name)} TO ${to}`);
    }
  }

  #id(name: string): string {
    return `${this.#connection.escapeId(this.#database)}.${this.#connection.escapeId(name)}`;
  }

  protected async appliedFiles(): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#rows('SELECT file, sha256 FROM beds_applied');
    return new Map(rows.map((row) => [String(row['file']), String(row['sha256'])]));
  }

  protected async recordFiles({ files }: DomainObjects): Promise<void> {
    for (const { name, sha256 } of files)
      await this.#connection.query(
        'INSERT INTO beds_applied (file, sha256) VALUES (?, ?) ON DUPLICATE KEY UPDATE sha256 = VALUES(sha256)',
        [name, sha256],
      );
  }

  /** One at a time, on the whole server. Throws BEDS_DBA_CHANGE_BUSY. */
  protected async alone<T>(domain: string, work: () => Promise<T>): Promise<T> {
    const name = `beds:${createHash('sha256').update(`${this.#database}/${domain}`).digest('hex').slice(0, 40)}`;
    const [row] = await this.#rows('SELECT GET_LOCK(?, ?) AS got, IS_USED_LOCK(?) AS holder', [
      name,
      LOCK_SECONDS,
      name,
    ]);
    if (Number(row?.['got']) !== 1)
      throw dbaErrors.make(
        'BEDS_DBA_CHANGE_BUSY',
        `Connection ${String(row?.['holder'])} of the database server changes ${domain} at this moment.`,
      );
    try {
      return await work();
    } finally {
      await this.#connection.query('DO RELEASE_LOCK(?)', [name]).catch(() => undefined);
    }
  }

  /* What is kept */

  protected async recorded(): Promise<readonly string[]> {
    const rows = await this.#rows('SELECT domain FROM beds_domain ORDER BY domain');
    return rows.map((row) => String(row['domain']));
  }

  protected async record(domain: string): Promise<DomainRecord | undefined> {
    const [row] = await this.#rows('SELECT * FROM beds_domain WHERE domain = ?', [domain]);
    if (row === undefined) return undefined;
    const text = (name: string): string | undefined => (row[name] === null ? undefined : String(row[name]));
    const next = text('next_structure');
    return {
      revision: Number(row['revision']),
      specification: text('specification') ?? '',
      structure: JSON.parse(text('structure') ?? '{}') as Structure,
      phase: row['phase'] as ChangePhase,
      nextRevision: row['next_revision'] === null ? undefined : Number(row['next_revision']),
      nextSpecification: text('next_specification'),
      nextStructure: next === undefined ? undefined : (JSON.parse(next) as Structure),
    };
  }

  protected async write(
    domain: string,
    {
      revision,
      specification,
      structure,
    }: { readonly revision: number; readonly specification: string; readonly structure: Structure },
  ): Promise<void> {
    await this.#connection.query(
      `INSERT INTO beds_domain (domain, revision, specification, structure, changed_by) VALUES (?, ?, ?, ?, USER())
       ON DUPLICATE KEY UPDATE revision = VALUES(revision), specification = VALUES(specification), structure = VALUES(structure),
         phase = 'live', next_revision = NULL, next_specification = NULL, next_structure = NULL, changed_by = USER()`,
      [domain, revision, specification, JSON.stringify(structure)],
    );
    await this.#connection.query('DELETE FROM beds_change_step WHERE domain = ?', [domain]);
  }

  protected async refuseStrangers(domain: DomainObjects): Promise<void> {
    await this.#refuseTaken(domain);
    await this.#refuseOlderTables(domain);
  }

  /** Tables from before there was a record: they must be what the document makes, or nobody knows what they were made from. */
  async #refuseOlderTables(domain: DomainObjects): Promise<void> {
    const real = await this.#structure(namesOf(domain.files));
    const there = Object.keys(real.tables);
    if (there.length === 0) return;
    const scratch = await this.#openScratch();
    try {
      const made = await scratch.structureOf(tableFiles(domain.files), namesOf(domain.files));
      const tables = Object.fromEntries(Object.entries(made.tables).filter(([name]) => there.includes(name)));
      const [other] = driftOf({ ...EMPTY, tables }, { ...EMPTY, tables: real.tables });
      if (other !== undefined)
        throw dbaErrors.make(
          'BEDS_DBA_CHANGE_STATE',
          `The tables of ${domain.domain} were made from another document, which is not recorded: ${other}.`,
        );
    } finally {
      await scratch.close();
    }
  }

  /** n.b. `items` of `order` and the main record of `order-items` come to the same names: who comes later would replace what the other's callers use. */
  async #refuseTaken(domain: DomainObjects): Promise<void> {
    const own = namesOf(domain.files);
    const others = await this.#rows('SELECT domain, structure, next_structure FROM beds_domain WHERE domain <> ?', [
      domain.domain,
    ]);
    for (const { domain: other, structure, next_structure: next } of others) {
      const texts = [structure, next].filter((text) => typeof text === 'string');
      const [taken] = texts.flatMap((text) => sharedNames(own, namesIn(JSON.parse(text) as Structure)));
      if (taken === undefined) continue;
      const message = `${domain.domain} would replace ${taken}, which belongs to ${String(other)}. One of the two needs another name, or a store of its own.`;
      throw dbaErrors.make('BEDS_DBA_CHANGE_STATE', message);
    }
  }

  protected async differences(made: Structure, isMeanwhile: boolean): Promise<readonly string[]> {
    const real = await this.#structure(namesIn(made));
    if (!isMeanwhile) return driftOf(made, real);
    const { routines, views } = made;
    return driftOf({ ...EMPTY, routines, views }, { ...EMPTY, routines: real.routines, views: real.views });
  }

  protected async structureOfFiles({ files }: DomainObjects, recorded: Structure | undefined): Promise<Structure> {
    const real = await this.#structure(namesOf(files));
    return recorded === undefined ? real : { ...real, tables: recorded.tables };
  }

  protected structureNow(named: Structure): Promise<Structure> {
    return this.#structure(namesIn(named));
  }

  async #structure(names: ObjectNames): Promise<Structure> {
    return readStructure(this.#connection, { database: this.#database, names });
  }

  async #rows(sql: string, values: (string | number | readonly string[])[] = []): Promise<readonly RowDataPacket[]> {
    const [rows] = await this.#connection.query<RowDataPacket[]>(sql, values);
    return rows;
  }

  async #openScratch(): Promise<Scratch> {
    const name = `${SCRATCH}${randomBytes(6).toString('hex')}`;
    const own = await createConnection({
      ...{ uri: this.#uri, multipleStatements: true, connectTimeout: CONNECT_TIMEOUT_MS },
    });
    try {
      await own.query(SESSION);
      await dropAbandoned(own);
      await own.query('SELECT GET_LOCK(?, 0)', [name]);
      await own.query(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4`);
      await own.query(`USE \`${name}\``);
    } catch (error) {
      own.destroy();
      throw error;
    }
    return new Scratch(own, name, this.#database);
  }
}

interface Asked {
  readonly algorithm: string;
  readonly works: readonly TableWork[];
}

function dropStep(table: string, phase: Phase, works: readonly TableWork[]): ChangeStep {
  const sql = [`DROP TABLE IF EXISTS \`${table}\``];
  return { phase, words: wordsOf(works), lock: 'a moment', run: { kind: 'sql', sql } };
}

function wordsOf(works: readonly TableWork[]): string {
  return works.map(({ words }) => words).join('; ');
}

const SCRATCH = 'beds_plan_';

/** Drops what processes have left that were killed: who has such a database holds a lock of its name, which ends with him. */
async function dropAbandoned(connection: Connection): Promise<void> {
  const [found] = await connection.query<RowDataPacket[]>(
    'SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA',
  );
  for (const name of found.map((row) => String(row['name']))) {
    if (!name.startsWith(SCRATCH) || !/^[0-9a-f]{12}$/.test(name.slice(SCRATCH.length))) continue;
    const [[lock]] = await connection.query<RowDataPacket[]>('SELECT GET_LOCK(?, 0) AS mine', [name]);
    if (Number(lock?.['mine']) !== 1) continue;
    // n.b. it may be that of an administrator who has other rights.
    await connection.query(`DROP DATABASE IF EXISTS \`${name}\``).catch(() => undefined);
    await connection.query('DO RELEASE_LOCK(?)', [name]);
  }
}

/** As little as the server can do it with, the best first. https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html */
const ALGORITHMS = ['INPLACE, LOCK=NONE', 'INPLACE, LOCK=SHARED', 'COPY, LOCK=SHARED'];

/** A database of its own on the same server, for as long as a plan is made: what would come of it, the server itself is asked. */
class Scratch {
  readonly #connection: Connection;
  readonly #name: string;
  readonly #of: string;

  constructor(connection: Connection, name: string, of: string) {
    this.#connection = connection;
    this.#name = name;
    this.#of = of;
  }

  /** What these files make. */
  async structureOf(files: readonly ObjectFile[], names: ObjectNames): Promise<Structure> {
    for (const { text } of files) await this.#connection.query(text);
    const structure = await readStructure(this.#connection, { database: this.#name, names });
    await this.#empty(Object.keys(structure.tables));
    return structure;
  }

  /** Copies of the tables as they are, without rows. */
  async copy(from: Connection, tables: readonly string[]): Promise<void> {
    await this.#connection.query('SET foreign_key_checks = 0');
    for (const table of tables) {
      const [[row]] = await from.query<RowDataPacket[]>(`SHOW CREATE TABLE \`${this.#of}\`.\`${table}\``);
      await this.#connection.query(String(row?.['Create Table']));
    }
    await this.#connection.query('SET foreign_key_checks = 1');
  }

  /**
   * With how little the server can do it: it is done here, so that what follows is asked of what will be there. What takes a moment
   * does not wait for what takes long.
   */
  async ask(table: string, works: readonly TableWork[], isUnchecked: boolean): Promise<readonly Asked[]> {
    if (works.length === 0) return [];
    if (isUnchecked) await this.#connection.query('SET foreign_key_checks = 0');
    try {
      if (await this.#can(table, works, 'INSTANT')) return [{ algorithm: 'INSTANT', works }];
      const asked: Asked[] = [];
      const others: TableWork[] = [];
      for (const work of works) {
        if (works.length > 1 && (await this.#can(table, [work], 'INSTANT')))
          asked.push({ algorithm: 'INSTANT', works: [work] });
        else others.push(work);
      }
      if (others.length === 0) return asked;
      for (const algorithm of ALGORITHMS)
        if (await this.#can(table, others, algorithm)) return [...asked, { algorithm, works: others }];
      return [...asked, { algorithm: 'COPY', works: others }];
    } finally {
      if (isUnchecked) await this.#connection.query('SET foreign_key_checks = 1');
    }
  }

  async #can(table: string, works: readonly TableWork[], algorithm: string): Promise<boolean> {
    const clauses = works.map(({ clause }) => clause).join(', ');
    return this.#connection.query(`ALTER TABLE \`${table}\` ${clauses}, ALGORITHM=${algorithm}`).then(
      () => true,
      () => false,
    );
  }

  async #empty(tables: readonly string[]): Promise<void> {
    await this.#connection.query('SET foreign_key_checks = 0');
    for (const table of tables) await this.#connection.query(`DROP TABLE IF EXISTS \`${table}\``);
    await this.#connection.query('SET foreign_key_checks = 1');
  }

  async close(): Promise<void> {
    try {
      await this.#connection.query(`DROP DATABASE IF EXISTS \`${this.#name}\``);
    } finally {
      await this.#connection.end();
    }
  }
}

const EMPTY: Structure = { tables: {}, triggers: {}, routines: {}, views: {} };
const BATCHES = 'a thousand rows at a time';

interface Kinds {
  readonly kind: string;
  readonly name: string;
}

/** What the generator calls its files by. */
function kindOf({ name }: ObjectFile): Kinds {
  const [, kind = 'other', own = ''] = /\/\d+-([a-z]+)-([^/]+)\.sql$/.exec(name) ?? [];
  return { kind, name: own };
}

function tableFiles(files: readonly ObjectFile[]): readonly ObjectFile[] {
  return files.filter((file) => kindOf(file).kind === 'table');
}

function namesOf(files: readonly ObjectFile[]): ObjectNames {
  const created = files.flatMap(({ text }) => createdObjects(text));
  return {
    tables: tableFiles(files).map((file) => kindOf(file).name),
    routines: created.filter(({ kind }) => kind !== 'VIEW').map(({ name }) => name),
    views: created.filter(({ kind }) => kind === 'VIEW').map(({ name }) => name),
  };
}

function namesIn({ tables, routines, views }: Structure): ObjectNames {
  return { tables: Object.keys(tables), routines: Object.keys(routines), views: Object.keys(views) };
}

function sharedNames(a: ObjectNames, b: ObjectNames): readonly string[] {
  const both = (one: readonly string[], other: readonly string[]): readonly string[] =>
    one.filter((name) => other.includes(name));
  return [...both(a.tables, b.tables), ...both(a.routines, b.routines), ...both(a.views, b.views)];
}

function union(a: ObjectNames, b: ObjectNames): ObjectNames {
  const all = (one: readonly string[], other: readonly string[]): readonly string[] => [...new Set([...one, ...other])];
  return { tables: all(a.tables, b.tables), routines: all(a.routines, b.routines), views: all(a.views, b.views) };
}

/** n.b. of a scratch database only the tables are read: of what callers use, the names are known. */
function afterObjects(files: readonly ObjectFile[]): Pick<Structure, 'routines' | 'views'> {
  const { routines, views } = namesOf(files);
  const named = (names: readonly string[]): Readonly<Record<string, string>> =>
    Object.fromEntries(names.map((name) => [name, '']));
  return { routines: named(routines), views: named(views) };
}

function takenNames({
  names,
  real,
  record,
}: {
  readonly names: ObjectNames;
  readonly real: Structure;
  readonly record: DomainRecord;
}): readonly string[] {
  const { structure } = record;
  return [
    ...names.routines.filter((name) => real.routines[name] !== undefined && structure.routines[name] === undefined),
    ...names.views.filter((name) => real.views[name] !== undefined && structure.views[name] === undefined),
    ...names.tables.filter((name) => real.tables[name] !== undefined && structure.tables[name] === undefined),
  ];
}

function keysOf({ tables }: Structure): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    Object.entries(tables).map(([name, { keys }]) => [
      name,
      [...(keys['PRIMARY'] ?? '').matchAll(/`([^`]+)`/g)].map(([, column = '']) => column),
    ]),
  );
}

function fillSteps(
  change: MysqlChange,
  phase: Phase,
  keys: Readonly<Record<string, readonly string[]>>,
): readonly ChangeStep[] {
  return Object.entries(change.tables).flatMap(([table, { fills }]) =>
    fills.flatMap(({ column, value, isDone, words }): readonly ChangeStep[] =>
      // What was counted once, triggers keep.
      phase === 'contract' && isDone === undefined
        ? []
        : [
            {
              ...{ phase, words: `give ${table}.${column} ${words}`, lock: BATCHES },
              run: {
                kind: 'fill',
                table,
                key: keys[table] ?? [],
                column,
                value,
                ...(isDone === undefined ? {} : { isDone }),
              },
            },
          ],
    ),
  );
}

/** What callers use of the revision that is taken back. */
function undoDrops({ structure, nextRevision }: DomainRecord, next: Structure): readonly ChangeStep[] {
  const fresh = (of: 'views' | 'routines'): readonly string[] =>
    Object.keys(next[of]).filter((name) => structure[of][name] === undefined);
  const sql = [
    ...fresh('views').map((name) => `DROP VIEW IF EXISTS \`${name}\``),
    ...fresh('routines').flatMap((name) => [
      `DROP PROCEDURE IF EXISTS \`${name}\``,
      `DROP FUNCTION IF EXISTS \`${name}\``,
    ]),
  ];
  if (sql.length === 0) return [];
  const words = `drop the views and procedures of revision ${String(nextRevision)}`;
  return [{ phase: 'undo', words, lock: 'a moment each', run: { kind: 'sql', sql } }];
}

/** n.b. while a trigger is changed nobody writes the table, so that no row is written without it. */
function triggerStep(phase: ChangeStep['phase'], { name, table }: WindowTrigger, text: string | undefined): ChangeStep {
  const head = `LOCK TABLES \`${table}\` WRITE;\nDROP TRIGGER IF EXISTS ${name};`;
  const sql = text === undefined ? `${head}\n` : text.replace(`DROP TRIGGER IF EXISTS ${name};`, () => head);
  const words = text === undefined ? `drop the trigger ${name}` : `put in the trigger ${name}`;
  return {
    phase,
    words,
    lock: 'a moment: writers of the table wait',
    run: { kind: 'sql', sql: [`${sql}\nUNLOCK TABLES;`] },
  };
}

function expandSteps({
  domain,
  real,
  change,
  alters,
  loosening,
}: {
  readonly domain: DomainObjects;
  readonly real: Structure;
  readonly change: MysqlChange;
  readonly alters: readonly ChangeStep[];
  /** Rules that triggers keep from here on. */
  readonly loosening: readonly ChangeStep[];
}): readonly ChangeStep[] {
  const { files } = domain;
  const of = (...kinds: readonly string[]): readonly ObjectFile[] =>
    files.filter((file) => kinds.includes(kindOf(file).kind));
  const isNew = (table: string): boolean => real.tables[table] === undefined;
  const put = (words: string, chosen: readonly ObjectFile[], lock = 'nobody uses it yet'): readonly ChangeStep[] =>
    chosen.length === 0
      ? []
      : [{ phase: 'expand', words, lock, run: { kind: 'sql', sql: chosen.map(({ text }) => text) } }];
  const tables = tableFiles(files);
  const fresh = tables.filter((file) => isNew(kindOf(file).name));
  // The table of locks has a row for each type of record.
  const locks = tables.filter((file) => !isNew(kindOf(file).name) && /^INSERT INTO/m.test(file.text));
  const triggers = of('trigger').filter(({ text }) => isNew(/ ON (\S+) FOR EACH ROW/.exec(text)?.[1] ?? ''));
  const keys = keysOf({ ...EMPTY, tables: real.tables });
  const counted = (list: readonly unknown[], what: string): string => `${list.length} ${what}`;
  const rows = of('rows');
  const callables = files.filter((file) => !['table', 'trigger', 'function', 'rows'].includes(kindOf(file).kind));
  return [
    ...put(`put in ${counted(of('function'), 'functions')}`, of('function')),
    ...fresh.flatMap((file) => put(`make the table ${kindOf(file).name}`, [file])),
    ...put('add to the table of locks', locks, 'a moment'),
    ...alters,
    ...put(`put in the triggers of new tables`, triggers),
    ...change.triggers.map((trigger) => triggerStep('expand', trigger, trigger.window)),
    ...loosening,
    ...fillSteps(change, 'expand', keys),
    ...put('add the rows that are there from the start', rows, 'a moment'),
    ...put(`put in ${counted(callables, 'views and procedures')} beside those of the version before`, callables),
  ];
}

/** What is not as it was made, in words. */
function driftOf(made: Structure, real: Structure): readonly string[] {
  const ofTables = Object.entries(made.tables).flatMap(([table, was]) => {
    const is = real.tables[table];
    if (is === undefined) return [`table ${table} is gone`];
    return [
      ...differing(`column ${table}.`, was.columns, is.columns),
      ...differing(`index of ${table},`, was.keys, is.keys),
      ...differing(`reference of ${table},`, was.references, is.references),
      ...differing(`rule of ${table},`, was.checks, is.checks),
    ];
  });
  const others = [
    ...differing('trigger', made.triggers, real.triggers),
    ...differing('routine', made.routines, real.routines),
    ...differing('view', made.views, real.views),
  ];
  return [...ofTables, ...others].map((line) => line.replace('. ', '.'));
}
