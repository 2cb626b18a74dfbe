import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { RoutineRows, JsonObject } from '@beds/sdk';
import { narrowObject } from '../host/stores/check-use.js';
import { toStoreError } from '../host/stores/mysql/driver.js';
import type { CallOptions } from '../host/stores/contract.js';
import { finderOf, mysqlStore } from './support/mysql-store.js';

const store = await mysqlStore();
const read: CallOptions = { mode: 'read', timeoutMs: 30_000 };
const write: CallOptions = { mode: 'write', timeoutMs: 30_000 };

/** Bodies of procedures that refuse, and what the caller is told. */
const refusals: Readonly<Record<string, readonly [body: string, code: string, text: string]>> = {
  state_22: [
    `BEGIN INSERT INTO kept VALUES (1); SIGNAL SQLSTATE '22001' SET MESSAGE_TEXT = 'too old'; END`,
    'REFUSED',
    'too old',
  ],
  state_23: [`SIGNAL SQLSTATE '23000' SET MESSAGE_TEXT = 'taken'`, 'REFUSED', 'taken'],
  state_40: [`SIGNAL SQLSTATE '40001' SET MESSAGE_TEXT = 'not today'`, 'REFUSED', 'not today'],
  state_45: [`SIGNAL SQLSTATE '45001' SET MESSAGE_TEXT = 'no money'`, 'REFUSED', 'no money'],
  state_02: [`SIGNAL SQLSTATE '02000' SET MESSAGE_TEXT = 'nobody'`, 'REFUSED', 'nobody'],
  state_hy: [`SIGNAL SQLSTATE 'HY000' SET MESSAGE_TEXT = 'closed'`, 'REFUSED', 'closed'],
  number: [`SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 50001, MESSAGE_TEXT = 'rule 1'`, 'REFUSED', 'rule 1'],
  ...Object.fromEntries(
    // n.b. what a driver says of a lost connection has a number below 1000; the others are of a server.
    [1, 999, 1050, 1053, 1146, 1205, 1317, 1792, 1927, 3024].map((number) => [
      `number_${String(number)}`,
      [
        `SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = ${String(number)}, MESSAGE_TEXT = 'rule 2'`,
        'REFUSED',
        'rule 2',
      ] as const,
    ]),
  ),
  ...Object.fromEntries(
    [1050, 1146, 1305, 1317, 1792].map((number) => [
      `other_${String(number)}`,
      [
        `SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = ${String(number)}, MESSAGE_TEXT = 'rule 3'`,
        'REFUSED',
        'rule 3',
      ] as const,
    ]),
  ),
  conflict: [
    `SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1062, MESSAGE_TEXT = 'e-mail taken'`,
    'CONFLICT',
    'e-mail taken',
  ],
  deadlock: [
    `BEGIN INSERT INTO kept VALUES (2); COMMIT; SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'again'; END`,
    'REFUSED',
    'again',
  ],
  says_again: [
    `BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION RESIGNAL SQLSTATE '45007' SET MESSAGE_TEXT = 'said so'; INSERT INTO once VALUES (1), (1); END`,
    'REFUSED',
    'said so',
  ],
  nested: [
    `BEGIN DECLARE EXIT HANDLER FOR 1062 BEGIN DECLARE EXIT HANDLER FOR SQLSTATE '45000'
       SIGNAL SQLSTATE '45009' SET MESSAGE_TEXT = 'innermost'; SIGNAL SQLSTATE '45000'; END; INSERT INTO once VALUES (1), (1); END`,
    'REFUSED',
    'innermost',
  ],
  by_class: [`SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '[not-found id]Nobody.'`, 'NOT_FOUND', 'Nobody.'],
  by_no_class: [`SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '[fault] no class'`, 'REFUSED', '[fault] no class'],
  by_class_alone: [
    `SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '[forbidden]'`,
    'FORBIDDEN',
    'The named object does not allow this to the caller.',
  ],
  by_trigger: [`INSERT INTO watched VALUES (1)`, 'REFUSED', 'from the trigger'],
  by_function: [`SELECT says_no() AS v`, 'REFUSED', 'from the function'],
  by_itself: [
    `BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
    START TRANSACTION; INSERT INTO kept VALUES (3); SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'undone'; COMMIT; END`,
    'REFUSED',
    'undone',
  ],
};

/** Bodies of procedures that end the transaction that they are called in, and what is kept of them. */
const endings: Readonly<Record<string, readonly [body: string, kept: readonly number[]]>> = {
  own_commit: ['BEGIN INSERT INTO kept VALUES (10); COMMIT; END', [10]],
  own_start: ['BEGIN INSERT INTO kept VALUES (11); START TRANSACTION; INSERT INTO kept VALUES (12); END', [11]],
  own_both: [
    'BEGIN INSERT INTO kept VALUES (13); START TRANSACTION; INSERT INTO kept VALUES (14); COMMIT; END',
    [13, 14],
  ],
  own_rollback: ['BEGIN INSERT INTO kept VALUES (15); ROLLBACK; END', []],
  own_ddl: ['BEGIN INSERT INTO kept VALUES (16); CREATE TABLE IF NOT EXISTS made (id INT); END', [16]],
};

const others: Readonly<Record<string, string>> = {
  warns: `BEGIN SIGNAL SQLSTATE '01999' SET MESSAGE_TEXT = 'a warning'; SELECT 1 AS a; END`,
  gives_way: `BEGIN INSERT INTO kept VALUES (20); COMMIT;
    SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found when trying to get lock; try restarting transaction'; END`,
  empty_sets: 'BEGIN SELECT id FROM kept WHERE FALSE; SELECT 1 AS a; SELECT id FROM kept WHERE FALSE; END',
  nothing: 'DO 0',
  counts: `BEGIN DECLARE is_over INT DEFAULT 0; DECLARE x, total INT DEFAULT 0; DECLARE c CURSOR FOR SELECT 1 UNION SELECT 2;
    DECLARE CONTINUE HANDLER FOR NOT FOUND SET is_over = 1; OPEN c; l: LOOP FETCH c INTO x; IF is_over THEN LEAVE l; END IF;
    SET total = total + x; END LOOP; CLOSE c; SELECT total; END`,
  prepares: `BEGIN SET @q = 'SELECT ? AS v'; SET @p = 5; PREPARE s FROM @q; EXECUTE s USING @p; DEALLOCATE PREPARE s; END`,
  keep: 'INSERT INTO kept VALUES (30), (31)',
};

/** Parameters and bodies of procedures that give parameters back. */
const giving: Readonly<Record<string, string>> = {
  out_all: `(OUT total INT, IN p_a INT, INOUT twice INT, IN name VARCHAR(10))
    BEGIN SELECT p_a AS a, name; INSERT INTO kept VALUES (p_a); SET total = p_a + 1, twice = 2 * twice; SELECT 7 AS s; END`,
  out_refuses: `(OUT total INT, INOUT twice INT)
    BEGIN INSERT INTO kept VALUES (99); SET total = 1; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not today'; END`,
  out_commits: '(OUT total INT) BEGIN INSERT INTO kept VALUES (50); COMMIT; SET total = 3; END',
  out_reads: '(INOUT p_total INT) READS SQL DATA SET p_total = p_total + (SELECT COUNT(*) FROM kept)',
  out_nothing: '(OUT total INT, OUT name VARCHAR(10)) DO 0',
};

const bodies = {
  ...others,
  ...Object.fromEntries(Object.entries({ ...refusals, ...endings }).map(([name, [body]]) => [name, body])),
};
await store.dba.query(`
  CREATE TABLE kept (id INT); CREATE TABLE once (id INT PRIMARY KEY); CREATE TABLE watched (id INT);
  CREATE TRIGGER no_watched BEFORE INSERT ON watched FOR EACH ROW SIGNAL SQLSTATE '45003' SET MESSAGE_TEXT = 'from the trigger';
  CREATE FUNCTION says_no () RETURNS INT NO SQL BEGIN SIGNAL SQLSTATE '45004' SET MESSAGE_TEXT = 'from the function'; RETURN 1; END;
  ${Object.entries(bodies)
    .map(([name, body]) => `CREATE PROCEDURE ${name} () ${body};`)
    .join('\n')}
  CREATE FUNCTION says_scribbled () RETURNS INT READS SQL DATA BEGIN CREATE TEMPORARY TABLE scribble (id INT);
    INSERT INTO scribble SELECT id FROM kept; RETURN (SELECT COUNT(*) FROM scribble); END;
  CREATE PROCEDURE leaves_table () CREATE TEMPORARY TABLE left_over AS SELECT 1 AS a;
  CREATE PROCEDURE scribbles (IN n INT) READS SQL DATA BEGIN CREATE TEMPORARY TABLE scribble AS SELECT id FROM kept;
    SELECT COUNT(*) + n AS c FROM scribble; END;
  CREATE PROCEDURE claims (IN n INT) READS SQL DATA BEGIN INSERT INTO kept VALUES (n); SELECT n; END;
  CREATE FUNCTION says_claim (n INT) RETURNS INT READS SQL DATA BEGIN UPDATE kept SET id = n; RETURN n; END;
  CREATE PROCEDURE scribbles_untold () BEGIN CREATE TEMPORARY TABLE scribble AS SELECT id FROM kept;
    SELECT COUNT(*) AS c FROM scribble; DROP TEMPORARY TABLE scribble; END;
  ${Object.entries(giving)
    .map(([name, rest]) => `CREATE PROCEDURE ${name} ${rest};`)
    .join('\n')}
  GRANT EXECUTE ON ${store.database}.* TO ${store.account}`);

const adapter = store.adapter({ poolSize: 2 });
after(() => adapter.close(1_000));
await adapter.open();
const own = ['says_no', 'leaves_table', 'says_scribbled', 'scribbles', 'scribbles_untold', 'claims', 'says_claim'];
const objects = await adapter.describe([...Object.keys({ ...bodies, ...giving }), ...own]);
const object = finderOf(objects);
const call = (name: string, args: JsonObject = {}, options = write): Promise<RoutineRows> =>
  adapter.call(object(name), args, options);
const inside = (name: string): Promise<RoutineRows> =>
  adapter.transaction((scope) => scope.call(object(name), {}), write);
async function takeKept(): Promise<readonly number[]> {
  const [rows] = await store.dba.query('SELECT id FROM kept ORDER BY id');
  await store.dba.query('DELETE FROM kept');
  return (rows as { id: number }[]).map(({ id }) => id);
}

test('what a routine refuses by SIGNAL is a refusal with its text, whatever the state, alone and in a transaction', async () => {
  for (const [name, [, code, message]] of Object.entries(refusals)) {
    await assert.rejects(call(name), { code: `BEDS_STORE_${code}`, message, retryable: false }, name);
    assert.deepEqual(await takeKept(), name === 'deadlock' ? [2] : [], name);
    if (name === 'deadlock' || name === 'by_itself') continue;
    await assert.rejects(inside(name), { code: `BEDS_STORE_${code}`, message, retryable: false }, name);
    assert.deepEqual(await takeKept(), [], name);
  }
  for (const options of [read, write]) {
    await assert.rejects(call('says_no', {}, options), { code: 'BEDS_STORE_REFUSED', message: 'from the function' });
  }
  assert.deepEqual((await call('warns')).rows, [{ a: 1 }], 'a warning refuses nothing');
});

test('a routine that ends the transaction that it was called in is noticed, and what is kept is not denied', async () => {
  for (const [name, [, kept]] of Object.entries(endings)) {
    const mine = adapter.transaction(async (scope) => {
      await scope.call(object(name), {});
      throw new RangeError('the work changed its mind');
    }, write);
    await assert.rejects(
      mine,
      { code: 'BEDS_STORE_TRANSACTION_ENDED', status: 'indeterminate', retryable: false },
      name,
    );
    assert.deepEqual(await takeKept(), kept, name);
    const going = adapter.transaction(async (scope) => {
      await scope.call(object(name), {}).catch(() => undefined);
      await scope.call(object('keep'), {});
    }, write);
    await assert.rejects(going, { code: 'BEDS_STORE_TRANSACTION_ENDED' }, name);
    assert.equal((await takeKept()).includes(30), false, name);
  }
  await assert.rejects(inside('deadlock'), { code: 'BEDS_STORE_TRANSACTION_ENDED' });
  assert.deepEqual(await takeKept(), [2]);
});

test('what a table that knows no transactions keeps of one is told', async (t) => {
  await store.dba.query(`CREATE TABLE kept_anyway (id INT PRIMARY KEY) ENGINE=MyISAM;
    CREATE PROCEDURE keep_anyway (IN id INT) BEGIN INSERT INTO kept VALUES (id); INSERT INTO kept_anyway VALUES (id);
      IF id > 90 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'too large'; END IF; END;
    GRANT EXECUTE ON PROCEDURE keep_anyway TO ${store.account}`);
  t.after(() => store.dba.query('DROP PROCEDURE keep_anyway; DROP TABLE kept_anyway'));
  const found = (await adapter.describe(['keep_anyway'])).get('keep_anyway');
  assert.ok(found);
  const told = { code: 'BEDS_STORE_TRANSACTION_ENDED', message: /knows no transactions/ };
  for (const id of [80, 91]) {
    const mine = adapter.transaction(async (scope) => {
      await scope.call(found, { id }).catch(() => undefined);
      throw new RangeError('the work changed its mind');
    }, write);
    await assert.rejects(mine, told);
  }
  const [rows] = await store.dba.query('SELECT id FROM kept_anyway ORDER BY id');
  assert.deepEqual(rows, [{ id: 80 }, { id: 91 }]);
  assert.deepEqual(await takeKept(), []);
  const undone = adapter.transaction(async (scope) => {
    await scope.call(object('keep'), {});
    throw new RangeError('the work changed its mind');
  }, write);
  await assert.rejects(undone, RangeError, 'the others know what a transaction is');
});

test('a column by whose name no row can be made is said, and no server is taken for one that is away', async (t) => {
  await store.dba.query(`CREATE PROCEDURE of_objects () SELECT 1 AS ok, 2 AS \`__proto__\`;
    CREATE PROCEDURE of_others () SELECT 1 AS \`constructor\`, 2 AS \`toString\`, 3 AS \`then\`, '' AS \`\`;
    GRANT EXECUTE ON PROCEDURE of_objects TO ${store.account}; GRANT EXECUTE ON PROCEDURE of_others TO ${store.account}`);
  t.after(() => store.dba.query('DROP PROCEDURE of_objects; DROP PROCEDURE of_others'));
  const found = await adapter.describe(['of_objects', 'of_others']);
  const [objects, others] = [found.get('of_objects'), found.get('of_others')];
  assert.ok(objects && others);
  const unfit = { code: 'BEDS_STORE_VALUE_UNFIT', message: /__proto__/ };
  await assert.rejects(adapter.call(objects, {}, read), unfit);
  await assert.rejects(
    adapter.transaction((scope) => scope.call(objects, {}), write),
    unfit,
  );
  await assert.rejects(adapter.call(objects, {}, write), (error) => {
    const { code, message } = error as Error & { readonly code: string };
    // n.b. where the answer to the COMMIT comes with it, what was done is not known.
    return /^BEDS_STORE_(?:INDETERMINATE|VALUE_UNFIT)$/.test(code) && message.includes('__proto__');
  });
  assert.equal(adapter.status().up, true);
  assert.deepEqual((await adapter.call(others, {}, write)).rows, [{ constructor: 1, toString: 2, then: 3, '': '' }]);
});

test('alone, a routine may end its transaction; it is not run again after that', async () => {
  for (const name of ['own_commit', 'own_both', 'own_ddl']) {
    await call(name);
    assert.deepEqual(await takeKept(), endings[name]?.[1], name);
  }
  await assert.rejects(call('gives_way'), { code: 'BEDS_STORE_INDETERMINATE', retryable: false });
  assert.deepEqual(await takeKept(), [20]);
});

test('procedures without rows, with empty sets, with cursors and statements that they prepare', async () => {
  for (const run of [call, inside]) {
    assert.deepEqual((await run('empty_sets')).sets, [[], [{ a: 1 }], []]);
    assert.deepEqual(await run('nothing'), { rows: [], sets: [], affected: 0 });
    assert.deepEqual((await run('counts')).rows, [{ total: 3 }]);
    assert.deepEqual((await run('prepares')).rows, [{ v: 5 }]);
    assert.equal((await run('keep')).affected, 2);
    assert.deepEqual(await takeKept(), [30, 31]);
  }
});

test('OUT and INOUT parameters come back as a row after the result sets, whoever calls', async () => {
  const args = { p_a: 4, twice: 5, name: 'x' };
  const inTransaction = (name: string, given: JsonObject, options = write): Promise<RoutineRows> =>
    adapter.transaction((scope) => scope.call(object(name), given), options);
  for (const run of [call, inTransaction]) {
    const { rows, sets } = await run('out_all', args);
    assert.deepEqual(sets, [[{ a: 4, name: 'x' }], [{ s: 7 }], [{ total: 5, twice: 10 }]]);
    assert.equal(rows, sets[0]);
    assert.deepEqual(await takeKept(), [4]);
    assert.deepEqual((await run('out_nothing', {})).rows, [{ total: null, name: null }]);
    assert.deepEqual((await run('out_all', { ...args, twice: null })).sets[2], [{ total: 5, twice: null }]);
    assert.deepEqual(await takeKept(), [4]);
    for (const options of [read, write])
      assert.deepEqual(await run('out_reads', { p_total: 4 }, options), {
        ...{ rows: [{ p_total: 4 }], sets: [[{ p_total: 4 }]], affected: 0 },
      });
    await assert.rejects(run('out_all', args, read), { code: 'BEDS_STORE_DENIED' });
    await assert.rejects(run('out_refuses', { twice: 1 }), { code: 'BEDS_STORE_REFUSED', message: 'not today' });
    assert.deepEqual(await takeKept(), []);
  }
  assert.deepEqual((await call('out_commits')).rows, [{ total: 3 }]);
  assert.deepEqual(await takeKept(), [50]);
  await assert.rejects(inside('out_commits'), { code: 'BEDS_STORE_TRANSACTION_ENDED' });
  assert.deepEqual(await takeKept(), [50]);
});

test('calls of such a procedure that come at once, also as writes that go together, get each its own', async () => {
  const reads = object('out_reads');
  for (const each of [reads, { ...reads, together: true as const }]) {
    const given = await Promise.all(Array.from({ length: 40 }, (_, n) => adapter.call(each, { p_total: n }, write)));
    assert.deepEqual(
      given.map(({ rows }) => rows[0]?.['p_total']),
      Array.from({ length: 40 }, (_, n) => n),
    );
  }
});

test('an OUT parameter is no argument; the template has its own names and types for them', async () => {
  const use = {
    kind: 'procedure',
    name: 'out_all',
    prefix: 'p_',
    args: { a: { type: 'integer' }, twice: { type: 'integer' }, name: { type: 'string' } },
  } as const;
  assert.deepEqual(adapter.check(use, object('out_all')), []);
  const findings = adapter.check({ ...use, args: { ...use.args, total: { type: 'integer' } } }, object('out_all'));
  assert.deepEqual(
    findings.map(({ code, hint }) => [code, hint]),
    [
      [
        'BEDS_PREFLIGHT_ARGUMENT_UNKNOWN',
        'total is an OUT parameter: it comes back in the last result set. It takes: a, twice, name.',
      ],
    ],
  );
  const reads = narrowObject(
    {
      ...{ kind: 'procedure', name: 'out_reads', prefix: 'p_', args: { total: { type: 'integer' } } },
      returns: { type: 'object', fields: { total: { type: 'bigint' } } },
    },
    object('out_reads'),
  );
  assert.deepEqual((await adapter.call(reads, { total: 1 }, read)).rows, [{ total: '1' }]);
});

test('a read may call what makes a temporary table, where its DBA says that it only reads', async (t) => {
  await store.dba.query('INSERT INTO kept VALUES (1), (2)');
  const single = store.adapter({ poolSize: 1 });
  t.after(() => single.close(1_000));
  await single.open();
  for (let time = 0; time < 3; time += 1) {
    const counted = await Promise.all([1, 2].map((n) => single.call(object('scribbles'), { n }, read)));
    assert.deepEqual(
      counted.map(({ rows }) => rows),
      [[{ c: 3 }], [{ c: 4 }]],
    );
    assert.deepEqual((await single.call(object('says_scribbled'), {}, read)).rows, [{ value: 2 }]);
  }
  for (const call of [
    () => single.call(object('scribbles_untold'), {}, read),
    () => single.transaction((scope) => scope.call(object('scribbles'), { n: 1 }), read),
    () => single.call(object('keep'), {}, read),
  ])
    await assert.rejects(call, { code: 'BEDS_STORE_DENIED', hint: /READS SQL DATA/ });
  assert.deepEqual((await single.call(object('scribbles_untold'), {}, write)).rows, [{ c: 2 }]);
  assert.deepEqual(await takeKept(), [1, 2]);
});

test('what writes although its DBA says that it only reads is refused in a read, by its name', async (t) => {
  await store.dba.query('INSERT INTO kept VALUES (1)');
  const single = store.adapter({ poolSize: 1 });
  t.after(() => single.close(1_000));
  await single.open();
  const refused = (name: string): object => ({
    code: 'BEDS_STORE_DENIED',
    message: `${name} is declared as only reading, and writes: nothing of it was kept.`,
  });
  for (let time = 0; time < 2; time += 1) {
    await single.call(object('keep'), {}, write);
    for (const name of ['claims', 'says_claim'])
      await assert.rejects(single.call(object(name), { n: 7 }, read), refused(name));
  }
  assert.deepEqual((await single.call(object('claims'), { n: 8 }, write)).rows, [{ n: 8 }]);
  assert.ok(!(await takeKept()).includes(7));
});

test('a temporary table that a routine leaves is met by none', async (t) => {
  const single = store.adapter({ poolSize: 1 });
  t.after(() => single.close(1_000));
  await single.open();
  const calls = Array.from({ length: 8 }, () => () => single.call(object('leaves_table'), {}, write));
  let failed = 0;
  for (const each of calls) await each().catch(() => (failed += 1));
  assert.equal(failed, 0);
});

/** Numbers as the servers document them, with a text of theirs: what the caller is told. */
const verdicts: readonly (readonly [number: number, state: string, text: string, code: string])[] = [
  [1040, '08004', 'Too many connections', 'UNAVAILABLE'],
  [1045, '28000', `Access denied for user 'x'@'y' (using password: YES)`, 'DENIED'],
  [1047, '08S01', 'WSREP has not yet prepared node for application use', 'UNAVAILABLE'],
  [1053, '08S01', 'Server shutdown in progress', 'UNAVAILABLE'],
  [1062, '23000', `Duplicate entry 'secret' for key 'PRIMARY'`, 'CONFLICT'],
  [1153, '08S01', `Got a packet bigger than 'max_allowed_packet' bytes`, 'INVALID_VALUE'],
  [1203, '42000', `User secret already has more than 'max_user_connections' active connections`, 'UNAVAILABLE'],
  [1205, 'HY000', 'Lock wait timeout exceeded; try restarting transaction', 'DEADLOCK'],
  [1206, 'HY000', 'The total number of locks exceeds the lock table size', 'OVERLOADED'],
  [1213, '40001', 'Deadlock found when trying to get lock; try restarting transaction', 'DEADLOCK'],
  [
    1213,
    '40001',
    'WSREP detected deadlock/conflict and aborted the transaction. Try restarting the transaction',
    'DEADLOCK',
  ],
  [1223, 'HY000', `Can't execute the query because you have a conflicting read lock`, 'UNAVAILABLE'],
  [1226, '42000', `User 'secret' has exceeded the 'max_user_connections' resource (current value: 4)`, 'UNAVAILABLE'],
  [
    1290,
    'HY000',
    'The MySQL server is running with the --super-read-only option so it cannot execute this statement',
    'UNAVAILABLE',
  ],
  [
    1290,
    'HY000',
    'The MySQL server is running with the --secure-file-priv option so it cannot execute this statement',
    'FAULT',
  ],
  [1026, 'HY000', 'Error writing file (errno: 28 - No space left on device)', 'UNAVAILABLE'],
  [1030, 'HY000', 'Got error 28 "No space left on device" from storage engine InnoDB', 'UNAVAILABLE'],
  [1030, 'HY000', `Got error 28 - 'No space left on device' from storage engine`, 'UNAVAILABLE'],
  [1030, 'HY000', 'Got error 127 from storage engine', 'FAULT'],
  [1317, '70100', 'Query execution was interrupted', 'TIMEOUT'],
  [1365, '22012', 'Division by 0', 'INVALID_VALUE'],
  [1369, 'HY000', `CHECK OPTION failed 'secret.few'`, 'INVALID_VALUE'],
  [1526, 'HY000', 'Table has no partition for value secret', 'INVALID_VALUE'],
  [1615, 'HY000', 'Prepared statement needs to be re-prepared', 'DEADLOCK'],
  [1644, '45000', 'as the DBA says', 'REFUSED'],
  [1792, '25006', 'Cannot execute statement in a READ ONLY transaction.', 'DENIED'],
  [1820, 'HY000', 'You must reset your password using ALTER USER statement before executing this statement.', 'DENIED'],
  [1836, 'HY000', 'Running in read-only mode', 'UNAVAILABLE'],
  [1862, 'HY000', 'Your password has expired. To log in you must change it', 'DENIED'],
  [1874, 'HY000', 'InnoDB is in read only mode.', 'UNAVAILABLE'],
  [1881, 'HY000', 'Operation not allowed when innodb_force_recovery > 0.', 'UNAVAILABLE'],
  [1927, '70100', 'Connection was killed', 'UNAVAILABLE'],
  [1969, '70100', 'Query execution was interrupted (max_statement_time exceeded)', 'TIMEOUT'],
  [3024, 'HY000', 'Query execution was interrupted, maximum statement execution time exceeded', 'TIMEOUT'],
  [3100, 'HY000', `Error on observer while running replication hook 'before_commit'.`, 'UNAVAILABLE'],
  [3101, '40000', 'Plugin instructed the server to rollback the current transaction.', 'DEADLOCK'],
  [3118, 'HY000', 'Access denied for user secret. Account is locked.', 'DENIED'],
  [3157, '22032', 'The JSON document exceeds the maximum depth.', 'INVALID_VALUE'],
  [3159, 'HY000', 'Connections using insecure transport are prohibited', 'DENIED'],
  [3572, 'HY000', 'Statement aborted because lock(s) could not be acquired immediately and NOWAIT is set.', 'DEADLOCK'],
  [3616, '22S02', 'Longitude secret is out of range in function st_geomfromtext.', 'INVALID_VALUE'],
  [3691, 'HY000', 'Mismatched parenthesis in regular expression.', 'INVALID_VALUE'],
  [3955, 'HY000', 'Access denied for user secret. Account is blocked for 1 day(s)', 'DENIED'],
  [4031, 'HY000', 'The client was disconnected by the server because of inactivity.', 'UNAVAILABLE'],
  [4151, 'HY000', 'Access denied, this account is locked', 'DENIED'],
  [4999, 'HY000', 'secret', 'FAULT'],
];

test('errors of the server are told by what they are documented to mean, without their texts', () => {
  for (const [errno, sqlState, sqlMessage, code] of verdicts) {
    const { code: told, message } = toStoreError({ errno, sqlState, sqlMessage });
    assert.equal(told, `BEDS_STORE_${code}`, `${String(errno)} ${sqlMessage}`);
    assert.doesNotMatch(message, /secret/);
  }
});
