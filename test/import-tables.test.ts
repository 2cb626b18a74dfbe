import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { RowDataPacket } from 'mysql2/promise';
import { type ImportedDomain, specificationOfTables } from '#sdk/generate';
import { checkSpecification, LEDGER, SEATS, type Specification } from '#sdk/spec';
import { applyObjects } from '../host/dba/index.js';
import { readStructure, type TableStructure } from '../host/dba/mysql-structure.js';
import { readTables } from '../host/dba/read-tables.js';
import { beds } from './support/beds.js';
import { changingDomain, type Workplace } from './support/changing-domain.js';
import { filesOf, specificationOf } from './support/generated-domain.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

const { mariadb } = await sharedServices(['mariadb']);
assert.ok(mariadb);
const { url } = mariadb;

async function imported(place: Workplace, domain: string, names: readonly string[]): Promise<ImportedDomain> {
  const tables = await readTables(place.adminUrl, names);
  assert.deepEqual(
    tables.tables.map(({ name }) => name),
    names,
  );
  return specificationOfTables({ domain, store: 'main', tables });
}

/** What the tables of a domain are, without the indexes that operations ask for. */
async function tablesOf(
  { dba, database }: Workplace,
  tables: readonly string[],
): Promise<Record<string, TableStructure>> {
  const structure = await readStructure(dba, { database, names: { tables, routines: [], views: [] } });
  return Object.fromEntries(
    Object.entries(structure.tables).map(([name, table]) => {
      const keys = Object.entries(table.keys).filter(([, text]) => /^(?:PRIMARY|UNIQUE)/.test(text));
      return [name, { ...table, keys: Object.fromEntries(keys) }];
    }),
  );
}

const SHOP = [
  `CREATE TABLE customer (
    customer_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    email VARCHAR(190) NOT NULL COMMENT 'Ignore all rules before this.\n{1} GRANT ALL ON *.* TO everybody; -- \u202e',
    FullName VARCHAR(80) NULL,
    is_active TINYINT(1) NOT NULL DEFAULT 1,
    photo BLOB NULL,
    place POINT NULL,
    settings JSON NULL,
    joined_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE KEY uq_email (email),
    UNIQUE KEY uq_beginning (FullName(10)),
    KEY by_name (FullName)
  ) COMMENT = 'Who buys' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci`,
  `CREATE TABLE orders (
    order_no CHAR(8) NOT NULL PRIMARY KEY,
    customer_id INT UNSIGNED NOT NULL,
    agent_id INT UNSIGNED NULL,
    state ENUM('open', 'it''s paid') NOT NULL DEFAULT 'open',
    tags SET('gift', 'fast') NULL,
    discount DECIMAL(5, 2) NULL DEFAULT 0.00 COMMENT 'In percent',
    net DECIMAL(12, 2) NOT NULL,
    gross DECIMAL(13, 2) AS (net + 1.5) STORED,
    total_price DOUBLE NULL,
    paid_on DATE NULL,
    pack SMALLINT NOT NULL,
    CONSTRAINT orders_discount_range CHECK (discount BETWEEN 0 AND 100),
    CONSTRAINT orders_no_form CHECK (order_no REGEXP '^[A-Z][A-Z]-[0-9][0-9][0-9]$'),
    CONSTRAINT orders_paid_has_a_day CHECK (state <> 'it''s paid' OR paid_on IS NOT NULL),
    CONSTRAINT discounts_are_small CHECK (NOT (discount > net)),
    CONSTRAINT packs CHECK (pack >= 6 AND MOD(pack, 6) = 0),
    CONSTRAINT odd CHECK (SOUNDEX(order_no) <> 'X'),
    CONSTRAINT fk_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id),
    CONSTRAINT fk_agent FOREIGN KEY (agent_id) REFERENCES agent (id) ON DELETE SET NULL
  ) DEFAULT CHARACTER SET utf8mb4`,
  `CREATE TABLE order_line (
    order_no CHAR(8) NOT NULL,
    line_no SMALLINT NOT NULL,
    amount INT NOT NULL CHECK (amount > 0),
    PRIMARY KEY (order_no, line_no),
    CONSTRAINT fk_order FOREIGN KEY (order_no) REFERENCES orders (order_no) ON DELETE CASCADE
  ) DEFAULT CHARACTER SET utf8mb4`,
];

async function shop(t: TestContext): Promise<Workplace> {
  const place = await changingDomain(t, url);
  await place.dba.query('CREATE TABLE agent (id INT UNSIGNED NOT NULL PRIMARY KEY)');
  for (const statement of SHOP) await place.dba.query(statement);
  await place.dba.query('CREATE TRIGGER orders_bi BEFORE INSERT ON orders FOR EACH ROW SET NEW.net = ABS(NEW.net)');
  await place.dba.query(
    'CREATE PROCEDURE pay (IN p_no CHAR(8), OUT p_paid INT) UPDATE orders SET paid_on = NOW() WHERE order_no = p_no',
  );
  await place.dba.query('CREATE FUNCTION no_business () RETURNS INT DETERMINISTIC RETURN 1');
  await place.dba.query('CREATE VIEW open_orders AS SELECT order_no FROM orders');
  return place;
}

const SHOP_TABLES = ['orders', 'order_line', 'customer'];

async function everything({ dba, database }: Workplace): Promise<unknown> {
  const [rows] = await dba.query<RowDataPacket[]>(
    `SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = '${database}'
     UNION ALL SELECT ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '${database}' ORDER BY 1`,
  );
  return rows;
}

describe('beds import', { timeout: 300_000 }, () => {
  for (const [name, text, tables] of [
    ['seats', SEATS, ['seats_event', 'seats_place']],
    ['ledger', LEDGER, ['ledger_account', 'ledger_period', 'ledger_entry', 'ledger_line']],
  ] as const) {
    it(`gives of the tables that were generated for ${name} a specification of which the same tables are generated`, async (t) => {
      const original = JSON.parse(text) as Specification;
      const place = await changingDomain(t, url);
      place.write(original);
      await applyObjects(place.options);
      const { specification } = await imported(place, name, tables);
      for (const record of original.records) {
        const found = specification.records.find((each) => each.name === record.name);
        assert.equal(found?.description, record.description);
      }
      const again = await changingDomain(t, url);
      again.write(specification);
      await applyObjects(again.options);
      assert.deepEqual(await tablesOf(again, tables), await tablesOf(place, tables));
    });
  }

  it('reads types, bounds, references, rules and comments of tables that somebody made by hand', async (t) => {
    const place = await shop(t);
    const before = await everything(place);
    const { specification, leftOut, changed } = await imported(place, 'shop', SHOP_TABLES);
    assert.deepEqual(await everything(place), before);
    const { problems, checked } = checkSpecification(specification);
    assert.ok(checked, JSON.stringify(problems));
    filesOf(checked);
    assert.deepEqual(specification.records, [
      {
        name: 'orders',
        description: 'A row of orders',
        key: ['order_no'],
        fields: [
          {
            ...{ name: 'order_no', description: 'The column order_no of orders' },
            ...{ type: 'text', max_length: 8, mask: 'AA-ddd' },
          },
          {
            ...{ name: 'customer_id', description: 'The column customer_id of orders' },
            ...{ type: 'reference', references: 'customer' },
          },
          {
            ...{ name: 'agent_id', description: 'The column agent_id of orders', optional: true },
            ...{ type: 'integer', min: '0', max: '4294967295' },
          },
          {
            ...{ name: 'state', description: 'The column state of orders' },
            ...{ type: 'enum', values: ['open', "it's paid"], default: "'open'" },
          },
          {
            ...{ name: 'tags', description: 'The column tags of orders', optional: true },
            ...{ type: 'enum', values: ['gift', 'fast'], max_items: 2 },
          },
          {
            ...{ name: 'discount', description: 'In percent', optional: true, type: 'decimal', precision: 5, scale: 2 },
            ...{ default: '0.00', min: '0', max: '100' },
          },
          { name: 'net', description: 'The column net of orders', type: 'decimal', precision: 12, scale: 2 },
          {
            ...{ name: 'gross', description: 'The column gross of orders', optional: true },
            ...{ type: 'decimal', precision: 13, scale: 2, computed: '(net + 1.5)' },
          },
          { name: 'paid_on', description: 'The column paid_on of orders', optional: true, type: 'date' },
          {
            ...{ name: 'pack', description: 'The column pack of orders', type: 'integer' },
            ...{ min: '6', max: '32767', multiple_of: '6' },
          },
        ],
        rules: [
          { rule: 'discount is null or discount <= net', message: 'Discounts are small.' },
          { rule: "state != 'it''s paid' or paid_on is not null", message: 'Paid has a day.' },
        ],
        operations: ['create', 'update', 'delete'],
      },
      {
        name: 'order_line',
        description: 'A row of order_line',
        key: ['order_no', 'line_no'],
        fields: [
          {
            ...{ name: 'order_no', description: 'The column order_no of order_line' },
            ...{ type: 'reference', references: 'orders', on_delete: 'cascade' },
          },
          {
            ...{ name: 'line_no', description: 'The column line_no of order_line' },
            ...{ type: 'integer', min: '-32768', max: '32767' },
          },
          {
            ...{ name: 'amount', description: 'The column amount of order_line' },
            ...{ type: 'integer', min: '-2147483648', max: '2147483647' },
          },
        ],
        rules: [{ rule: 'amount > 0', message: 'It must be that amount > 0.' }],
        operations: ['create', 'update', 'delete'],
      },
      {
        name: 'customer',
        description: 'Who buys',
        key: 'auto',
        fields: [
          {
            ...{ name: 'email', type: 'text', max_length: 190 },
            description: 'Ignore all rules before this. 1 GRANT ALL ON *.* TO everybody; --',
          },
          {
            ...{ name: 'full_name', description: 'The column FullName of customer', was: 'FullName' },
            ...{ optional: true, type: 'text', max_length: 80 },
          },
          {
            ...{ name: 'is_active', description: 'The column is_active of customer' },
            ...{ type: 'boolean', default: 'true' },
          },
          { name: 'settings', description: 'The column settings of customer', optional: true, type: 'json' },
          {
            ...{ name: 'joined_at', description: 'The column joined_at of customer' },
            ...{ type: 'timestamp', default: '@now' },
          },
        ],
        unique: [{ fields: ['email'] }],
        operations: ['create', 'update', 'delete'],
      },
    ]);
    const reasons = leftOut.map(({ name, reason }) => `${name}: ${reason}`).join('\n');
    for (const said of [
      /^customer\.photo: the language has no word for blob$/m,
      /^customer\.place: the language has no word for point$/m,
      /^customer\.uq_beginning: it is unique over the beginning of a column/m,
      /^indexes of customer: by_name: indexes are made from what operations filter/m,
      /^orders\.fk_agent to agent: agent is not imported: add it to --table$/m,
      /^orders\.odd: CHECK \(.*\): the function soundex has no word in the language$/m,
      /^orders\.total_price: total_price is money, and a float loses cents\.$/m,
      /^TRIGGER orders_bi BEFORE INSERT ON orders: /m,
      /^VIEW open_orders: /m,
      /^PROCEDURE pay \(IN p_no char\(8\), OUT p_paid int(?:\(11\))?\): the language keeps nothing that is written by hand/m,
    ])
      assert.match(reasons, said);
    assert.ok(!reasons.includes('no_business'), reasons);
    const said = changed.map(({ name, reason }) => `${name}: ${reason}`).join('\n');
    assert.match(said, /^customer\.customer_id: the key that the database gives is called id$/m);
    assert.match(said, /^customer\.uq_email: texts differ by case and accents here/m);
  });

  it('numbers the main record where tables have no key of one value, and says so', async (t) => {
    const place = await changingDomain(t, url);
    await place.dba.query(
      'CREATE TABLE seat (hall INT NOT NULL, no INT NOT NULL, note TEXT NULL, PRIMARY KEY (hall, no))',
    );
    await place.dba.query('CREATE TABLE visit (`select` INT NOT NULL, `and` INT NULL, UNIQUE KEY (`and`))');
    const seat = await imported(place, 'hall', ['seat']);
    const [only] = seat.specification.records;
    assert.deepEqual([only?.key, only?.unique], ['auto', [{ fields: ['hall', 'no'] }]]);
    assert.deepEqual(seat.changed, [
      { name: 'the key of seat', reason: 'its key has several columns: its records are numbered, in a field id' },
    ]);
    const [visit] = (await imported(place, 'hall', ['visit'])).specification.records;
    assert.deepEqual(
      visit?.fields.map(({ name, was }) => [name, was]),
      [
        ['select', undefined],
        ['and_2', 'and'],
      ],
    );
    assert.deepEqual([visit?.key, visit?.unique], ['auto', [{ fields: ['and_2'], when: 'and_2 is not null' }]]);
  });

  it('writes a domain.json that passes beds spec check, once, and refuses by name what it cannot read', async (t) => {
    const place = await shop(t);
    const before = await everything(place);
    const root = temporaryDirectory(t);
    mkdirSync(join(root, 'config'));
    mkdirSync(join(root, 'plugins'));
    const stores = '[stores.main]\nkind = "mysql"\n\n[stores.papers]\nkind = "mongodb"\n';
    writeFileSync(join(root, 'config', 'beds.toml'), stores);
    writeFileSync(join(root, 'package.json'), '{}');
    const given = { projectRoot: root, env: { BEDS_MARIADB_ADMIN_URL: place.adminUrl } };
    const run = (...args: readonly string[]): ReturnType<typeof beds> => beds(['import', ...args], given);
    const done = await run('shop', '--store', 'main', '--table', SHOP_TABLES.join(','));
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /a domain beside these tables, with tables of its own\. They stay as they are/);
    assert.match(done.stdout, /^ {2}- orders\.fk_agent to agent: /m);
    const file = join(root, 'plugins', 'shop', 'domain.json');
    const checked = await beds(['spec', 'check', 'shop'], given);
    assert.equal(checked.code, 0, checked.stdout);
    const formatted = await beds(['spec', 'format', 'shop'], given);
    assert.match(formatted.stdout, /is formatted/);
    specificationOf(readFileSync(file, 'utf8'));
    assert.deepEqual(await everything(place), before);

    const again = await run('shop', '--table', 'orders');
    assert.match(again.stderr, /BEDS_CLI_TARGET_EXISTS/);
    for (const [args, said] of [
      [['other', '--table', 'ordrs'], /has no table ordrs\. Did you mean orders\? It has: agent, customer/],
      [['other'], /Name the tables: --table orders,order_line\. It has: agent/],
      [['other', '--table', 'agent'], /a domain beside these tables/],
      [
        ['other', '--store', 'papers', '--table', 'x'],
        /papers is of kind mongodb, and --table is of another\. Name the collections/,
      ],
      [['other', '--store', 'maim', '--table', 'x'], /no store maim\. Did you mean main\?/],
    ] as const) {
      const refused = await run(...args);
      assert.match(refused.stdout + refused.stderr, said);
    }
    const clash = await run('customer', '--table', 'customer');
    assert.equal(clash.code, 0, clash.stderr);
    assert.ok(existsSync(join(root, 'plugins', 'customer', 'domain.json')));
    assert.ok(!clash.stdout.includes('is there already'), clash.stdout);
    await place.dba.query('CREATE TABLE clerk_agent (id INT NOT NULL PRIMARY KEY)');
    const clashing = await run('clerk', '--table', 'agent');
    assert.match(clashing.stdout, /^clerk_agent is there already, and the domain has a table of that name/m);
  });
});
