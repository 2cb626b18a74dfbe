import { createHash, randomBytes } from 'node:crypto';
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import type * as makers from '#sdk/generate';
import type { MysqlChange, WindowTrigger } from '#sdk/generate';
import type * as language from '#sdk/spec';
import type { CheckedSpecification } from '#sdk/spec';
import { dbaErrors } from '../errors/dba.js';
import {
  type Comparison,
  compareStructures,
  GROUPS,
  type Hurdle,
  type Phase,
  type TableWork,
} from './compare-structures.js';
import { type ChangeProgress, type ChangeStep, readSteps, runSteps, STEP_TABLE, writeSteps } from './change-steps.js';
import type { DomainObjects, ObjectFile } from './contract.js';
import { createdObjects } from './mysql.js';
import { type ObjectNames, readStructure, type Structure } from './mysql-structure.js';

/**
 * A domain of MySQL or MariaDB from the revision that its database was made from to that of its domain.json: expand, deploy, contract.
 * What was made from what is kept beside the tables, in tables of the DBA's, and with it every step that was begun.
 */

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

export type DomainPhase = 'live' | 'expanding' | 'expanded' | 'contracting' | 'undoing';

interface DomainRecord {
  readonly revision: number;
  readonly specification: string;
  readonly structure: Structure;
  readonly phase: DomainPhase;
  readonly nextRevision: number | undefined;
  readonly nextSpecification: string | undefined;
  readonly nextStructure: Structure | undefined;
}

/** What a plan comes to. */
export type PlanState =
  /** Nothing of the domain is there. */
  | 'new'
  /** The database is made from this document. */
  | 'current'
  /** There is something to be done. */
  | 'change'
  /** A change was begun and not finished. */
  | 'unfinished'
  /** Expanded: both revisions work. */
  | 'expanded'
  | 'refused';

export interface ChangePlan {
  readonly domain: string;
  readonly store: string;
  readonly state: PlanState;
  readonly from: number | undefined;
  readonly to: number;
  readonly phase: DomainPhase | undefined;
  readonly expand: readonly PlannedStep[];
  readonly contract: readonly PlannedStep[];
  /** Rows that lose something: `--allow-loss`. */
  readonly losses: readonly Counted[];
  /** Rows that must be put right by hand before the contract. */
  readonly blocks: readonly Counted[];
  /** What cannot be done. */
  readonly refused: readonly string[];
  /** Where the database is not as it was made. */
  readonly drift: readonly string[];
  readonly notices: readonly string[];
  /** Objects of the revision before, which the contract drops. */
  readonly retired: readonly string[];
}

export interface PlannedStep {
  readonly words: string;
  readonly lock: string;
  readonly sql: readonly string[];
}

export interface Counted {
  readonly rows: number;
  readonly words: string;
}

export interface DomainStatus {
  readonly domain: string;
  readonly store: string;
  readonly revision: number;
  readonly phase: DomainPhase;
  readonly nextRevision: number | undefined;
  readonly steps: readonly { readonly words: string; readonly state: string; readonly rows: number }[];
  readonly drift: readonly string[];
}

export interface ApplyChange {
  readonly allowLoss: boolean;
  readonly acceptDrift: boolean;
  readonly onProgress: (event: ChangeProgress) => void;
}

const CONNECT_TIMEOUT_MS = 10_000;
const LOCK_SECONDS = 5;
/** No such column, no such table. */
const NOT_THERE: readonly number[] = [1054, 1146];
/** n.b. ANSI_QUOTES would have SHOW CREATE TABLE write other texts; and a fill updates by ranges of the key. */
const SESSION = `SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', sql_safe_updates = 0, sql_quote_show_create = 1`;

export async function openChanges(adminUrl: string, store: string): Promise<MysqlChanges> {
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

/** What a plan is made of, and what carrying it out needs. */
interface Prepared {
  readonly plan: ChangePlan;
  readonly steps: readonly ChangeStep[];
  readonly contractSteps: readonly ChangeStep[];
  readonly after: Structure;
  readonly record: DomainRecord | undefined;
  readonly specification: string;
}

export class MysqlChanges {
  readonly #connection: Connection;
  readonly #database: string;
  readonly #store: string;
  /** With the DBA's password. */
  readonly #uri: string;

  constructor(
    connection: Connection,
    { uri, database, store }: { readonly uri: string; readonly database: string; readonly store: string },
  ) {
    this.#connection = connection;
    this.#uri = uri;
    this.#database = database;
    this.#store = store;
  }

  async close(): Promise<void> {
    await this.#connection.end();
  }

  /** Compares with the real database; changes nothing in it. Throws BEDS_DBA_FILE_INVALID. */
  async plan(domain: DomainObjects): Promise<ChangePlan> {
    return (await this.#prepare(domain)).plan;
  }

  /** Whether the files of the domain are put in one by one, as they are: there is nothing of an earlier revision to be kept. */
  async isPlain(domain: DomainObjects): Promise<boolean> {
    const record = await this.#record(domain.domain);
    const { text, checked } = await readSpecification(domain);
    if (record === undefined) {
      await this.#refuseTaken(domain);
      await this.#refuseOlderTables(domain);
      return true;
    }
    if (record.phase !== 'live') return false;
    if (record.specification === text) return true;
    // Another example or assumption: nothing of it is in the database.
    if (record.revision !== revisionOf(checked)) return false;
    const rows = await this.#rows('SELECT file, sha256 FROM beds_applied');
    const applied = new Map(rows.map((row) => [String(row['file']), String(row['sha256'])]));
    return domain.files.every(({ name, sha256 }) => applied.get(name) === sha256);
  }

  /** Writes down what the database is made from now. */
  async recordApplied(domain: DomainObjects, isChanged: boolean): Promise<void> {
    const { text, checked } = await readSpecification(domain);
    const isSaid = (record: DomainRecord | undefined): boolean =>
      record !== undefined && (record.phase !== 'live' || (!isChanged && record.specification === text));
    if (isSaid(await this.#record(domain.domain))) return;
    // n.b. who writes here ends a change, so nobody may begin one meanwhile.
    await this.#alone(domain.domain, async () => {
      const record = await this.#record(domain.domain);
      if (isSaid(record)) return;
      const real = await this.#structure(namesOf(domain.files));
      // n.b. what a person has changed in the tables stays to be seen.
      const structure = record === undefined ? real : { ...real, tables: record.structure.tables };
      await this.#write(domain.domain, { revision: revisionOf(checked), specification: text, structure });
    });
  }

  /** Expands, or goes on where it was stopped. Both revisions work then. Throws BEDS_DBA_*. */
  async expand(domain: DomainObjects, options: ApplyChange): Promise<number> {
    return this.#alone(domain.domain, async () => {
      const record = await this.#record(domain.domain);
      if (record?.phase === 'expanding') return this.#goOn(domain, record, options);
      if (record?.phase === 'contracting' || record?.phase === 'undoing')
        throw dbaErrors.make('BEDS_DBA_CHANGE_STATE', `${domain.domain} is ${record.phase}: end that first.`);
      const prepared = await this.#prepare(domain);
      const { plan, steps, after } = prepared;
      if (plan.state === 'current' || plan.state === 'expanded') return 0;
      refuseUnlessAllowed(plan, options);
      await this.#begin(domain.domain, { phase: 'expanding', steps, next: { prepared, after } });
      return this.#goOn(domain, await this.#known(domain.domain), options);
    });
  }

  /** Takes away what only the revision before needed. Throws BEDS_DBA_*. */
  async contract(domain: DomainObjects, options: ApplyChange): Promise<number> {
    return this.#alone(domain.domain, async () => {
      const record = await this.#known(domain.domain);
      if (record.phase === 'contracting') return this.#goOn(domain, record, options);
      if (record.phase !== 'expanded')
        throw dbaErrors.make(
          'BEDS_DBA_CHANGE_STATE',
          `${domain.domain} has nothing to contract: it is ${record.phase}.`,
        );
      const { plan, contractSteps } = await this.#prepare(domain);
      refuseUnlessAllowed(plan, options);
      const [block] = plan.blocks.filter(({ rows }) => rows > 0);
      if (block !== undefined) throw dbaErrors.make('BEDS_DBA_CHANGE_BLOCKED', `${block.rows} ${block.words}.`);
      await this.#begin(domain.domain, { phase: 'contracting', steps: contractSteps });
      return this.#goOn(domain, await this.#known(domain.domain), options);
    });
  }

  /** Back to the revision before, as long as it was not taken away. Throws BEDS_DBA_*. */
  async undo(domain: string, options: ApplyChange): Promise<number> {
    return this.#alone(domain, async () => {
      const record = await this.#known(domain);
      if (record.phase !== 'undoing') {
        if (record.phase !== 'expanded' && record.phase !== 'expanding')
          throw dbaErrors.make('BEDS_DBA_CHANGE_STATE', `${domain} has nothing to undo: it is ${record.phase}.`);
        const { steps, plan } = await this.#prepareUndo(domain, record);
        refuseUnlessAllowed(plan, { ...options, acceptDrift: true });
        await this.#begin(domain, { phase: 'undoing', steps });
      }
      return this.#goOn({ domain, store: undefined, kind: 'mysql', files: [] }, await this.#known(domain), options);
    });
  }

  async status(domains: readonly string[]): Promise<readonly DomainStatus[]> {
    const [rows] = await this.#connection.query<RowDataPacket[]>('SELECT domain FROM beds_domain ORDER BY domain');
    const all = rows
      .map((row) => String(row['domain']))
      .filter((name) => domains.length === 0 || domains.includes(name));
    const found: DomainStatus[] = [];
    for (const domain of all) {
      const record = await this.#known(domain);
      const steps = record.phase === 'live' ? [] : await readSteps(this.#connection, domain);
      found.push({
        ...{
          domain,
          store: this.#store,
          revision: record.revision,
          phase: record.phase,
          nextRevision: record.nextRevision,
        },
        steps: steps.map(({ step, state, rows: done }) => ({ words: step.words, state, rows: done })),
        drift: await this.#drift(record),
      });
    }
    return found;
  }

  /* Planning */

  async #prepare(domain: DomainObjects): Promise<Prepared> {
    const { text, checked, language, generator } = await readSpecification(domain);
    const record = await this.#record(domain.domain);
    const to = revisionOf(checked);
    const bare = {
      ...{ domain: domain.domain, store: this.#store, from: record?.revision, to, phase: record?.phase },
      ...{ expand: [], contract: [], losses: [], blocks: [], refused: [], drift: [], notices: [], retired: [] },
    };
    const nothing = (plan: Partial<ChangePlan> & { readonly state: PlanState }): Prepared => ({
      plan: { ...bare, ...plan },
      ...{ steps: [], contractSteps: [], after: EMPTY, record, specification: text },
    });
    if (record === undefined) {
      const words = `${domain.files.length} files of db/, in their order`;
      return nothing({ state: 'new', expand: [{ words, lock: 'nothing is there yet', sql: [] }] });
    }
    const drift = await this.#drift(record);
    if (record.phase === 'expanding' || record.phase === 'contracting' || record.phase === 'undoing')
      return nothing({ state: 'unfinished', ...(await this.#unfinished(domain.domain, record)) });
    if (record.phase === 'live' && record.specification === text) return nothing({ state: 'current', drift });
    const goal = record.phase === 'expanded' ? record.nextSpecification : text;
    if (record.phase === 'expanded' && goal !== text) {
      const is = `the database is between the revisions ${record.revision} and ${String(record.nextRevision)}`;
      return nothing({ state: 'refused', drift, refused: [`${is}: contract or undo that before another change`] });
    }
    if (to <= record.revision)
      return nothing({
        ...{ state: 'refused', drift },
        refused: [
          to < record.revision
            ? `the database is made from revision ${record.revision}, and domain.json is revision ${to}: an older version needs no change of the database`
            : `domain.json is another document than the database is made from, with the same number: write "revision": ${record.revision + 1} into it, run \`beds generate\`, so that the version before works on beside it`,
        ],
      });
    const made = generator.generateMysql(checked).files;
    const stale = made === undefined ? ['all'] : staleFiles(domain, made);
    if (stale.length > 0)
      return nothing({
        state: 'refused',
        drift,
        refused: [`db/ is not made from domain.json (${stale.slice(0, 3).join(', ')}): run \`beds generate\``],
      });
    const before = checkedOf(language, record.specification);
    const [who] = await this.#rows('SELECT USER() AS who');
    const account = String(who?.['who']).split('@')[0] ?? '';
    const change = generator.changeMysql(before, checked, { account });
    return this.#compare({ domain, checked, record, change, text, drift });
  }

  async #compare({
    domain,
    checked,
    record,
    change,
    text,
    drift,
  }: {
    readonly domain: DomainObjects;
    readonly checked: CheckedSpecification;
    readonly record: DomainRecord;
    readonly change: MysqlChange;
    readonly text: string;
    readonly drift: readonly string[];
  }): Promise<Prepared> {
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
        ...{ domain: domain.domain, store: this.#store, from, to: revisionOf(checked), phase, state },
        ...{ expand: steps.map(planned), contract: contractSteps.map(planned), losses, blocks, refused, drift },
        notices: [...new Set(comparison.notices)],
        retired: [...Object.keys(structure.routines), ...Object.keys(structure.views)],
      };
      const made = { ...after, ...afterObjects(domain.files) };
      return { plan, steps, contractSteps, after: made, record, specification: text };
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

  async #count(hurdles: readonly Hurdle[], kind: Hurdle['kind']): Promise<readonly Counted[]> {
    const found: Counted[] = [];
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

  async #unfinished(domain: string, record: DomainRecord): Promise<Partial<ChangePlan>> {
    const steps = (await readSteps(this.#connection, domain))
      .filter(({ state }) => state !== 'done')
      .map(({ step }) => planned(step));
    const notices = [
      `The change was stopped while it was ${record.phase}: ${steps.length} steps are left. Run the same command again to go on.`,
    ];
    return { [record.phase === 'contracting' ? 'contract' : 'expand']: steps, notices };
  }

  async #prepareUndo(
    domain: string,
    record: DomainRecord,
  ): Promise<{ readonly plan: ChangePlan; readonly steps: readonly ChangeStep[] }> {
    const { nextStructure, nextSpecification } = record;
    if (nextStructure === undefined || nextSpecification === undefined)
      throw dbaErrors.make('BEDS_DBA_CHANGE_STATE', `${domain} has nothing to undo.`);
    const [language, generator] = await Promise.all([import('#sdk/spec'), import('#sdk/generate')]);
    const [before, next] = [checkedOf(language, record.specification), checkedOf(language, nextSpecification)];
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
      const { revision: to, nextRevision: from, phase } = record;
      const plan: ChangePlan = {
        ...{ domain, store: this.#store, state: 'change', from, to, phase },
        ...{ expand: [], contract: steps.map(planned), drift: [], notices: [], retired: [] },
        ...(await this.#countAll(comparison.hurdles)),
        refused: comparison.refused.map(({ path, construct }) => `${path}: ${construct}`),
      };
      const [block] = plan.blocks.filter(({ rows }) => rows > 0);
      if (block !== undefined) throw dbaErrors.make('BEDS_DBA_CHANGE_BLOCKED', `${block.rows} ${block.words}.`);
      return { plan: { ...plan, losses: plan.losses.filter(({ rows }) => rows > 0) }, steps };
    } finally {
      await scratch.close();
    }
  }

  /* Carrying out */

  async #begin(
    domain: string,
    {
      phase,
      steps,
      next,
    }: {
      readonly phase: DomainPhase;
      readonly steps: readonly ChangeStep[];
      readonly next?: { readonly prepared: Prepared; readonly after: Structure };
    },
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
        [next.prepared.plan.to, next.prepared.specification, JSON.stringify(next.after), domain],
      );
    await this.#connection.commit();
  }

  async #goOn(domain: DomainObjects, record: DomainRecord, { onProgress }: ApplyChange): Promise<number> {
    const { phase } = record;
    await runSteps(this.#connection, { domain: domain.domain, onProgress });
    const steps = (await readSteps(this.#connection, domain.domain)).length;
    if (phase === 'expanding') {
      await this.#grantNew(record);
      await this.#connection.query(`UPDATE beds_domain SET phase = 'expanded', changed_by = USER() WHERE domain = ?`, [
        domain.domain,
      ]);
      return steps;
    }
    const isUndone = phase === 'undoing';
    const structure = isUndone ? record.structure : await this.#structure(namesIn(record.nextStructure ?? EMPTY));
    if (!isUndone) await this.#recordFiles(domain.files);
    await this.#write(domain.domain, {
      revision: isUndone ? record.revision : (record.nextRevision ?? record.revision),
      specification: isUndone ? record.specification : (record.nextSpecification ?? record.specification),
      structure,
    });
    return steps;
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

  async #recordFiles(files: readonly ObjectFile[]): Promise<void> {
    for (const { name, sha256 } of files)
      await this.#connection.query(
        'INSERT INTO beds_applied (file, sha256) VALUES (?, ?) ON DUPLICATE KEY UPDATE sha256 = VALUES(sha256)',
        [name, sha256],
      );
  }

  /** One at a time, on the whole server. Throws BEDS_DBA_CHANGE_BUSY. */
  async #alone<T>(domain: string, work: () => Promise<T>): Promise<T> {
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

  async #record(domain: string): Promise<DomainRecord | undefined> {
    const [row] = await this.#rows('SELECT * FROM beds_domain WHERE domain = ?', [domain]);
    if (row === undefined) return undefined;
    const text = (name: string): string | undefined => (row[name] === null ? undefined : String(row[name]));
    const next = text('next_structure');
    return {
      revision: Number(row['revision']),
      specification: text('specification') ?? '',
      structure: JSON.parse(text('structure') ?? '{}') as Structure,
      phase: row['phase'] as DomainPhase,
      nextRevision: row['next_revision'] === null ? undefined : Number(row['next_revision']),
      nextSpecification: text('next_specification'),
      nextStructure: next === undefined ? undefined : (JSON.parse(next) as Structure),
    };
  }

  async #known(domain: string): Promise<DomainRecord> {
    const record = await this.#record(domain);
    if (record !== undefined) return record;
    throw dbaErrors.make('BEDS_DBA_CHANGE_STATE', `Nothing is recorded of ${domain} in this database.`);
  }

  async #write(
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

  async #drift(record: DomainRecord): Promise<readonly string[]> {
    // n.b. in the middle of a change nothing is as it was, and all of it is on its way.
    if (record.phase !== 'live' && record.phase !== 'expanded') return [];
    const real = await this.#structure(namesIn(record.structure));
    if (record.phase === 'live') return driftOf(record.structure, real);
    const { routines, views } = record.structure;
    return driftOf({ ...EMPTY, routines, views }, { ...EMPTY, routines: real.routines, views: real.views });
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

function planned({ words, lock, run }: ChangeStep): PlannedStep {
  if (run.kind === 'sql') return { words, lock, sql: run.sql };
  const { table, column, value, isDone } = run;
  const open = isDone === undefined ? '' : ` WHERE (${isDone}) IS NOT TRUE`;
  return { words, lock, sql: [`UPDATE \`${table}\` AS target SET target.\`${column}\` = ${value}${open}`] };
}

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

function refuseUnlessAllowed(
  plan: ChangePlan,
  { allowLoss, acceptDrift }: Pick<ApplyChange, 'allowLoss' | 'acceptDrift'>,
): void {
  if (plan.refused.length > 0)
    throw dbaErrors.make('BEDS_DBA_CHANGE_REFUSED', `${plan.domain}: ${plan.refused.join('; ')}.`);
  if (plan.drift.length > 0 && !acceptDrift)
    throw dbaErrors.make(
      'BEDS_DBA_CHANGE_DRIFT',
      `The database of ${plan.domain} was changed by hand: ${plan.drift.join('; ')}.`,
    );
  if (plan.losses.length > 0 && !allowLoss) {
    const said = plan.losses.map(({ rows, words }) => `${rows} ${words}`).join('; ');
    throw dbaErrors.make('BEDS_DBA_CHANGE_LOSS', `${plan.domain}: ${said}.`);
  }
}

/** What is not as it was made, in words. */
function driftOf(made: Structure, real: Structure): readonly string[] {
  const found: string[] = [];
  const compare = (what: string, was: Readonly<Record<string, string>>, is: Readonly<Record<string, string>>): void => {
    for (const name of Object.keys(was)) {
      if (is[name] === undefined) found.push(`${what} ${name} is gone`);
      else if (is[name] !== was[name]) found.push(`${what} ${name} is another`);
    }
    for (const name of Object.keys(is)) if (was[name] === undefined) found.push(`${what} ${name} was added`);
  };
  for (const [table, was] of Object.entries(made.tables)) {
    const is = real.tables[table];
    if (is === undefined) {
      found.push(`table ${table} is gone`);
      continue;
    }
    compare(`column ${table}.`.trimEnd(), was.columns, is.columns);
    compare(`index of ${table},`, was.keys, is.keys);
    compare(`reference of ${table},`, was.references, is.references);
    compare(`rule of ${table},`, was.checks, is.checks);
  }
  compare('trigger', made.triggers, real.triggers);
  compare('routine', made.routines, real.routines);
  compare('view', made.views, real.views);
  return found.map((line) => line.replace('. ', '.'));
}

function staleFiles(domain: DomainObjects, made: Readonly<Record<string, string>>): readonly string[] {
  const there = new Map(domain.files.map(({ name, text }) => [name.slice(domain.domain.length + 1), text]));
  return Object.entries(made).flatMap(([name, text]) =>
    name.startsWith('db/') && there.get(name) !== text ? [name] : [],
  );
}

type Language = typeof language;
type Makers = typeof makers;

function checkedOf(language: Language, text: string): CheckedSpecification {
  const answer = language.readAnswer(text);
  const checked = answer.ok ? language.checkSpecification(answer.document).checked : undefined;
  if (checked !== undefined) return checked;
  throw dbaErrors.make(
    'BEDS_DBA_CHANGE_STATE',
    'The document that the database was made from is not one that this version of BEDS understands.',
  );
}

function revisionOf({ source }: CheckedSpecification): number {
  return source.revision ?? 1;
}

/** The document beside db/, in its stable form. Throws BEDS_DBA_FILE_INVALID. */
async function readSpecification({ domain, specification }: DomainObjects): Promise<{
  readonly text: string;
  readonly checked: CheckedSpecification;
  readonly language: Language;
  readonly generator: Makers;
}> {
  const [language, generator] = await Promise.all([import('#sdk/spec'), import('#sdk/generate')]);
  const answer = language.readAnswer(specification ?? '');
  const checked = answer.ok ? language.checkSpecification(answer.document).checked : undefined;
  if (checked === undefined)
    throw dbaErrors.make(
      'BEDS_DBA_FILE_INVALID',
      `${domain}/domain.json has problems: \`beds spec check ${domain}\` lists them.`,
    );
  return { text: language.formatSpecification(checked.source), checked, language, generator };
}
