import { randomBytes } from 'node:crypto';
import type { CheckedSpecification, Formula } from '#sdk/spec';
import type { Db, Document } from 'mongodb';
import type { Connection, RowDataPacket } from 'mysql2/promise';

/** A database that exists for one proof, as its administrator sees it. What the server cannot show is said in `notProved`. */
export interface ScratchDatabase {
  /** With the account of the administrator: a secret. */
  readonly url: string;
  readonly server: string;
  readonly data: Scratch;
  /** Who is dropped with it. */
  readonly noteAccount: (user: string) => void;
  /** What the server lacks, without which the files cannot be tried. */
  readonly lacks: (proved: Proved) => Promise<string | undefined>;
  /** What the account of a host can do and must not. */
  readonly privileges: (runtimeUrl: string, proved: Proved) => Promise<Tried>;
  /** How the server would read for each query of the specification. */
  readonly plans: (proved: Proved) => Promise<Tried & { readonly notices: readonly string[] }>;
  readonly drop: () => Promise<void>;
}

export interface Proved {
  readonly specification: CheckedSpecification;
  readonly folder: string;
}

export interface Tried {
  readonly tried: number;
  readonly failures: readonly string[];
  readonly notProved?: readonly string[];
}

const PREFIX = 'beds_prove_';
/** Of a domain, so that the name has no more characters than a server takes: 64 of MySQL, 63 bytes of MongoDB. */
const MOST_OF_DOMAIN = 40;

export function scratchName(domain: string): string {
  return `${PREFIX}${domain.replaceAll('-', '_').slice(0, MOST_OF_DOMAIN)}_${randomBytes(4).toString('hex')}`;
}

/** n.b. what somebody has named by himself is his, whatever it begins with. */
export function isScratchName(name: string): boolean {
  return /^beds_prove_[a-z0-9_]+_[0-9a-f]{8}$/.test(name);
}

/** `field = :argument`: for these there is an index, or the key. */
export function comparesField(formula: Formula): boolean {
  if (formula.node !== 'compare' || formula.op !== '=') return false;
  const sides = [formula.left, formula.right];
  return (
    sides.some((side) => side.node === 'field' && side.path.length === 0) &&
    sides.some(({ node }) => node === 'argument')
  );
}

/** The data of a database of a test's own: they can be put back to what they were, and moved into the past. */
export interface Scratch {
  /** Keeps what is there, under a name. */
  keep(name: string): Promise<void>;
  putBack(name: string): Promise<void>;
  /** Every stored moment moves back; days move where it is whole days, but for those in `fixed`. */
  pass(ms: number, fixed: ReadonlySet<string>): Promise<void>;
}

const DAY_MS = 86_400_000;
const KEPT = 'kept_';

interface Column {
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly isMade: boolean;
}

/** The server's own rules do not look at what is written here. */
async function apartFromTriggers(dba: Connection, work: () => Promise<void>): Promise<void> {
  const rows = async <Row>(sql: string): Promise<readonly Row[]> =>
    (await dba.query<RowDataPacket[]>(sql))[0] as unknown as readonly Row[];
  const names = await rows<{ readonly Trigger: string }>('SHOW TRIGGERS');
  const texts: string[] = [];
  for (const { Trigger: name } of names) {
    const [made] = await rows<Readonly<Record<string, string>>>(`SHOW CREATE TRIGGER \`${name}\``);
    texts.push(made?.['SQL Original Statement'] ?? '');
    await dba.query(`DROP TRIGGER \`${name}\``);
  }
  await dba.query('SET FOREIGN_KEY_CHECKS = 0');
  // n.b. MySQL has no such variable, and its checks hold on.
  await dba.query('SET check_constraint_checks = 0').catch(() => undefined);
  try {
    await work();
  } finally {
    await dba.query('SET check_constraint_checks = 1').catch(() => undefined);
    await dba.query('SET FOREIGN_KEY_CHECKS = 1');
    for (const text of texts) await dba.query(text);
  }
}

/** What is kept under a name: table.column. */
async function keptColumns(dba: Connection, name: string): Promise<ReadonlySet<string>> {
  const [rows] = await dba.query<RowDataPacket[]>(
    `SELECT CONCAT(SUBSTRING(TABLE_NAME, ?), '.', COLUMN_NAME) AS place FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE ?`,
    [KEPT.length + name.length + 2, `${KEPT}${name}\\_%`],
  );
  return new Set(rows.map((row) => String(row['place'])));
}

/** On MySQL and MariaDB, as the administrator: the database's own triggers and checks do not look. */
export function scratchMysql(dba: Connection): Scratch {
  const rows = async <Row>(sql: string): Promise<readonly Row[]> =>
    (await dba.query<RowDataPacket[]>(sql))[0] as unknown as readonly Row[];
  const columns = async (): Promise<readonly Column[]> =>
    (
      await rows<{ readonly table: string; readonly name: string; readonly type: string; readonly made: number }>(
        `SELECT c.TABLE_NAME AS \`table\`, c.COLUMN_NAME AS name, c.DATA_TYPE AS type,
           COALESCE(c.GENERATION_EXPRESSION, '') <> '' OR c.EXTRA LIKE '%GENERATED%' AND c.EXTRA NOT LIKE 'DEFAULT_GENERATED%' AS made
         FROM INFORMATION_SCHEMA.COLUMNS c JOIN INFORMATION_SCHEMA.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)
         WHERE TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME NOT LIKE 'kept\\_%' AND TABLE_NAME NOT LIKE 'beds\\_%'
         ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION`,
      )
    ).map(({ made, ...column }) => ({ ...column, isMade: made === 1 }));
  const withoutTriggers = (work: () => Promise<void>): Promise<void> => apartFromTriggers(dba, work);
  const tablesOf = (all: readonly Column[]): readonly string[] => [...new Set(all.map(({ table }) => table))];
  return {
    keep: async (name) => {
      for (const table of tablesOf(await columns())) {
        await dba.query(`DROP TABLE IF EXISTS \`${KEPT}${name}_${table}\``);
        await dba.query(`CREATE TABLE \`${KEPT}${name}_${table}\` AS SELECT * FROM \`${table}\``);
      }
    },
    putBack: async (name) => {
      const all = await columns();
      const kept = await keptColumns(dba, name);
      await withoutTriggers(async () => {
        for (const table of tablesOf(all)) {
          // n.b. tables and columns may have come since.
          const stored = all
            .filter((column) => column.table === table && !column.isMade)
            .filter((column) => kept.has(`${table}.${column.name}`))
            .map((column) => `\`${column.name}\``)
            .join(', ');
          await dba.query(`DELETE FROM \`${table}\``);
          if (stored === '') continue;
          await dba.query(`INSERT INTO \`${table}\` (${stored}) SELECT ${stored} FROM \`${KEPT}${name}_${table}\``);
        }
      });
    },
    pass: async (ms, fixed) => {
      const all = await columns();
      const literals = [...fixed].map((day) => `'${day}'`).join(', ');
      const movedBack = ({ name, type }: Column): readonly string[] => {
        if (type === 'datetime' || type === 'timestamp')
          return [`\`${name}\` = \`${name}\` - INTERVAL ${ms * 1_000} MICROSECOND`];
        if (type !== 'date' || ms % DAY_MS !== 0) return [];
        const moved = `\`${name}\` - INTERVAL ${ms / DAY_MS} DAY`;
        return [`\`${name}\` = ${literals === '' ? moved : `IF(\`${name}\` IN (${literals}), \`${name}\`, ${moved})`}`];
      };
      await withoutTriggers(async () => {
        for (const table of tablesOf(all)) {
          const own = all.filter((column) => column.table === table && !column.isMade && movedBack(column).length > 0);
          if (own.length === 0) continue;
          // n.b. the oldest first: what is unique stays so on the way.
          const order = own.map(({ name }) => `\`${name}\``).join(', ');
          await dba.query(`UPDATE \`${table}\` SET ${own.flatMap(movedBack).join(', ')} ORDER BY ${order}`);
        }
      });
    },
  };
}

interface Move {
  readonly ms: number;
  readonly fixed: ReadonlySet<string>;
}

/** On MongoDB. `isDay` says which fields hold a day: a day is stored as its midnight, and as a text. */
export function scratchMongodb(db: Db, isDay: (field: string) => boolean): Scratch {
  const kept = new Map<string, ReadonlyMap<string, readonly Document[]>>();
  const names = async (): Promise<readonly string[]> => {
    const all = await db.listCollections({}, { nameOnly: true }).toArray();
    return all.map(({ name }) => name).filter((name) => !name.startsWith('system.') && !name.startsWith('beds_'));
  };
  const fill = async (name: string, documents: readonly Document[]): Promise<void> => {
    await db.collection(name).deleteMany({});
    if (documents.length > 0) await db.collection(name).insertMany([...documents], { bypassDocumentValidation: true });
  };
  const moved = (value: unknown, field: string, by: Move): unknown => {
    const { ms, fixed } = by;
    if (Array.isArray(value)) return value.map((item) => moved(item, field, by));
    const day = value instanceof Date ? value.toISOString().slice(0, 10) : String(value);
    if (isDay(field) && (value instanceof Date || typeof value === 'string')) {
      if (ms % DAY_MS !== 0 || fixed.has(day)) return value;
      const back = new Date(Date.parse(`${day}T00:00:00Z`) - ms);
      return value instanceof Date ? back : back.toISOString().slice(0, 10);
    }
    if (value instanceof Date) return new Date(value.getTime() - ms);
    if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, moved(inner, key, by)]));
  };
  return {
    keep: async (name) => {
      const all = new Map<string, readonly Document[]>();
      for (const collection of await names()) all.set(collection, await db.collection(collection).find().toArray());
      kept.set(name, all);
    },
    putBack: async (name) => {
      for (const collection of await names()) await fill(collection, kept.get(name)?.get(collection) ?? []);
    },
    pass: async (ms, fixed) => {
      for (const name of await names()) {
        const documents = await db.collection(name).find().toArray();
        await fill(
          name,
          documents.map((document) => moved(document, '', { ms, fixed }) as Document),
        );
      }
    },
  };
}
