import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { EXIT } from '#sdk/cli';
import { COMMANDS } from '../host/cli/commands.js';
import { requestOf } from '../host/cli/commands/call.js';
import { printVersions } from '../host/cli/commands/versions.js';
import { createOutput } from '../host/cli/output.js';
import { formatTable } from '../host/cli/table.js';
import { catalogue } from '../host/errors/catalogue.js';
import type { HistoryEntry } from '../host/deploy/history.js';
import { refusalsOf } from '../host/admin/node-views.js';
import { beds } from './support/beds.js';

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'beds-cli-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

describe('the command line', () => {
  it('without a command lists all of them', async () => {
    const { code, stdout } = await beds([]);
    assert.equal(code, EXIT.ok);
    for (const name of COMMANDS.keys()) assert.match(stdout, new RegExp(`^ {2}${name} `, 'm'));
    assert.deepEqual(await beds(['--help']), await beds([]));
  });

  for (const [name, load] of COMMANDS) {
    it(`explains ${name}, which is registered under its own name`, async () => {
      const command = await load();
      assert.equal(command.name, name);
      assert.ok(command.usage.startsWith(name));
      assert.match(command.summary, /^[A-Z].*\.$/);
      const { code, stdout } = await beds([name, '--help']);
      assert.equal(code, EXIT.ok);
      for (const option of [...Object.keys(command.options), 'json', 'help']) assert.ok(stdout.includes(`--${option}`));
      assert.equal((await beds(['help', name])).stdout, stdout);
    });
  }

  it('is explained within 80 columns, without losing a word, and with its exit codes', async () => {
    const words = (text: string): readonly string[] => text.split(/\s+/);
    for (const args of [[], ...[...COMMANDS.keys()].map((name) => [name, '--help'])]) {
      const { stdout } = await beds(args, { tty: true, columns: 80, env: { NO_COLOR: '1' } });
      for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
      assert.deepEqual(words(stdout), words((await beds(args)).stdout));
    }
    const { stdout } = await beds([]);
    for (const code of Object.values(EXIT))
      assert.match(stdout, new RegExp(`^Exit codes: (.*; )?${String(code)} `, 'm'));
  });

  it('refuses an unknown command with the nearest one, and status 64', async () => {
    const { code, stdout, stderr } = await beds(['confg']);
    assert.deepEqual([code, stdout], [EXIT.usage, '']);
    assert.match(stderr, /^BEDS_CLI_COMMAND_UNKNOWN: There is no command "confg"\. Did you mean config\?$/m);
    assert.match(stderr, /what to do: Run `beds help`/);
  });

  it('refuses an unknown option with the nearest one, and status 64', async () => {
    const { code, stderr } = await beds(['config', '--jsn']);
    assert.equal(code, EXIT.usage);
    assert.match(stderr, /^BEDS_CLI_OPTION_INVALID: .*--jsn.* Did you mean --json\?$/m);
    assert.ok(!stderr.includes('    at '), 'a stack trace was printed');
  });

  it('prints an error as JSON with --json, and its stack under BEDS_DEBUG', async () => {
    const { stdout } = await beds(['confg', '--json']);
    assert.equal((JSON.parse(stdout) as { error: { code: string } }).error.code, 'BEDS_CLI_COMMAND_UNKNOWN');
    assert.match((await beds(['confg'], { env: { BEDS_DEBUG: '1' } })).stderr, /\n {4}at /);
  });

  it('shows colours to a person only, and not when NO_COLOR is set', async () => {
    const escape = '\u001b[';
    assert.ok((await beds(['help'], { tty: true })).stdout.includes(escape));
    assert.ok(!(await beds(['help'], { tty: true, env: { NO_COLOR: '1' } })).stdout.includes(escape));
    assert.ok(!(await beds(['help'])).stdout.includes(escape));
  });
});

describe('beds config', () => {
  it('prints every value with its origin and no secret', async (t) => {
    const projectRoot = temporaryFolder(t);
    mkdirSync(join(projectRoot, 'config'));
    writeFileSync(join(projectRoot, 'config', 'beds.toml'), '[amqp]\nurl = "amqp://u:${PW}@h"');
    const env = { PW: 'hunter2', BEDS_STORES_MAIN_URL: 'mysql://u:hunter2@h' };
    writeFileSync(join(projectRoot, 'config', 'env.toml'), '[stores.main]\nkind = "mysql"');
    const { code, stdout } = await beds(['config'], { projectRoot, env });
    assert.equal(code, EXIT.ok);
    assert.match(stdout, /^amqp\.url +amqp:\/\/u:\*\*\*@h +config\/beds\.toml$/m);
    assert.match(stdout, /^stores\.main\.url +mysql:\/\/u:\*\*\*@h +BEDS_STORES_MAIN_URL$/m);
    assert.match(stdout, /^limits\.maxDepth +32 +default$/m);
    assert.ok(!stdout.includes('hunter2'));
  });

  it('exits with 78 and all problems when the configuration is wrong', async () => {
    const { code, stderr } = await beds(['config'], { env: { BEDS_NONSENSE: '1', BEDS_LIMITS_MAX_DEPTH: 'x' } });
    assert.equal(code, EXIT.config);
    assert.match(stderr, /^BEDS_CONFIG_INVALID: 2 problems/);
  });
});

describe('beds url', () => {
  const env = { BEDS_AMQP_URL: 'amqp://u:hunter2@h', BEDS_AMQP_PREFIX: 'mine' };

  it('prints the URL with its password to stdout, and the exchange with --json', async () => {
    assert.deepEqual(await beds(['url'], { env }), { code: EXIT.ok, stdout: 'amqp://u:hunter2@h\n', stderr: '' });
    const { stdout } = await beds(['url', '--json'], { env });
    assert.deepEqual(JSON.parse(stdout), { url: 'amqp://u:hunter2@h', exchange: 'mine.request' });
    assert.match((await beds(['help', 'url'])).stdout, /secret/);
  });
});

describe('beds call', () => {
  const asked = (op: string, value: unknown): unknown => {
    const { payload, query, key, meta } = requestOf({ args: [`d.${op}`, JSON.stringify(value)], options: {} });
    return { ...{ payload, query, key }, meta };
  };
  const none = { payload: undefined, query: undefined, key: undefined };
  const meta = { client: 'beds call', deadlineMs: 3_000 };

  it('takes the members of the envelope, with meta beside them, or the arguments alone', () => {
    assert.deepEqual(asked('near', { a: 1 }), { ...none, payload: { a: 1 }, meta });
    assert.deepEqual(asked('near', { meta: 1 }), { ...none, payload: { meta: 1 }, meta });
    assert.deepEqual(asked('near', { payload: { payload: 1 } }), { ...none, payload: { payload: 1 }, meta });
    const given = { session: 's', deadlineMs: 9 };
    const expected = { ...none, payload: { a: 1 }, meta: { ...meta, ...given } };
    assert.deepEqual(asked('near', { payload: { a: 1 }, meta: given }), expected);
    assert.deepEqual(asked('fetch', { key: 1, meta: given }), { ...none, key: 1, meta: { ...meta, ...given } });
    assert.throws(() => asked('fetch', { key: 1, meta: 2 }), { code: 'BEDS_CLI_ARGUMENT_INVALID' });
  });
});

describe('beds versions', () => {
  it('prints what could be better about the version that serves', () => {
    let text = '';
    const stream = { write: (part: string) => (text += part) };
    const notices = [
      { code: 'BEDS_PREFLIGHT_UNINDEXED', message: 'No index serves filters by name.', hint: 'Add one.' },
    ];
    const live = {
      version: '1.0.0',
      hash: 'a'.repeat(64),
      state: 'active',
      since: '2026-01-01T00:00:00.000Z',
    } as const;
    const node = { node: 'n', domains: [{ domain: 'notes', live, notices }], quarantined: [], refusals: [] };
    printVersions([node], createOutput({ stdout: stream, stderr: stream, env: {} }));
    const [, said] = text.split('\n\n');
    const lines = [
      'notes 1.0.0 could be better on n:',
      '  BEDS_PREFLIGHT_UNINDEXED: No index serves filters by name.',
      '    Add one.',
      '',
    ];
    assert.equal(said, lines.join('\n'));
  });

  it('prints why versions are not live, each once, of each domain the last five', () => {
    const change = (version: string, state: HistoryEntry['state'], domain = 'notes'): HistoryEntry => {
      const entry = { at: '2026-01-01T00:00:00.000Z', domain, version, hash: `${domain}${version}`, state };
      return state === 'active' ? entry : { ...entry, findings: [{ code: 'BEDS_X', message: `why ${version}` }] };
    };
    const entries = [
      ...['0', '1', '2', '3', '4', '5', '6'].map((version) => change(version, 'rejected')),
      ...[change('4', 'active'), change('0', 'waiting'), change('9', 'active'), change('7', 'rejected', 'other')],
    ];
    let text = '';
    const stream = { write: (part: string) => (text += part) };
    const { at: since, ...bytes } = change('8', 'quarantined', 'other');
    const quarantined = [{ ...bytes, since, code: 'BEDS_X', message: 'why 8' }];
    const refusals = refusalsOf([...entries, change('8', 'quarantined', 'other')]);
    const node = { node: 'n', domains: [], quarantined, refusals };
    printVersions([node], createOutput({ stdout: stream, stderr: stream, env: {} }));
    assert.deepEqual(text.match(/(?<=why )\d/g)?.toSorted(), ['0', '2', '3', '5', '6', '7', '8']);
    assert.match(text, /1 older of notes: `beds versions notes --json` shows all\./);
  });
});

describe('a pipe whose reader has gone', () => {
  for (const [index, name] of (['stdout', 'stderr'] as const).entries()) {
    it(`ends the command quietly: ${name}`, async () => {
      const script = `
        import { main } from ${JSON.stringify(new URL('../host/cli/main.js', import.meta.url).href)};
        await new Promise((go) => process.stdin.once('end', go).resume());
        const args = ${JSON.stringify([['errors'], ['confg']][index])};
        process.exitCode = await main({ args, projectRoot: '.', cwd: '.', env: {} });`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], { timeout: 30_000 });
      const other = name === 'stdout' ? child.stderr : child.stdout;
      let text = '';
      other.setEncoding('utf8').on('data', (part: string) => (text += part));
      child[name].once('close', () => child.stdin.end()).destroy();
      const [code] = (await once(child, 'close')) as [number | null];
      assert.deepEqual([code, text], [name === 'stdout' ? EXIT.ok : EXIT.usage, '']);
    });
  }
});

describe('beds errors', () => {
  it('lists the whole catalogue', async () => {
    const { stdout } = await beds(['errors', '--json']);
    assert.equal((JSON.parse(stdout) as unknown[]).length, catalogue.size);
  });

  it('explains one code, in any case, and refuses one that is not there', async () => {
    const { stdout } = await beds(['errors', 'beds_config_invalid']);
    assert.match(stdout, /^BEDS_CONFIG_INVALID: .*\n {2}what to do {2}/);
    assert.match((await beds(['errors', 'BEDS_CONFIG_INVALD'])).stderr, /Did you mean BEDS_CONFIG_INVALID\?/);
  });
});

describe('a table', () => {
  const data = {
    head: ['name', 'rows'],
    rows: [
      ['cities', 138_000],
      ['a\u001b[31m\nb', undefined],
    ],
    numeric: [1],
  };
  const paint = (_: unknown, text: string): string => text;

  it('is plain columns, numbers to the right, without what would steer the terminal', () => {
    assert.equal(formatTable(data, { width: Infinity, paint }), 'name      rows\ncities  138000\na b');
  });

  it('is cut in its widest column to fit the terminal', () => {
    const wide = { head: ['name', 'text'], rows: [['a', 'x'.repeat(200)]] };
    for (const line of formatTable(wide, { width: 80, paint }).split('\n')) assert.ok(line.length <= 80);
  });

  it('loses no text at 80 columns: many columns are wrapped between words, or are a block for each row', () => {
    const table = {
      head: ['node', 'domain', 'state', 'bundle', 'remark', 'why'],
      rows: [
        [
          'node-1',
          'cities',
          'refused by its own test',
          'a1b2c3d4e5f6',
          'waits for the store main',
          'no such view: city_list',
        ],
        ['node-2', 'cities', 'active', 'a1b2c3d4e5f6', '', ''],
      ],
    };
    const wrapped = formatTable(table, { width: 80, paint });
    assert.ok(wrapped.split('\n').every((line) => line.length <= 80));
    const words = (text: string): readonly string[] => text.split(/\s+/).sort();
    assert.deepEqual(words(wrapped), words([table.head, ...table.rows].flat().join(' ').trim()));
    assert.match(wrapped, /^node-2 {2}cities {2}active /m);

    const head = ['record', 'at', 'who', 'order', 'outcome', 'from'];
    const row = [
      '7',
      '2026-11-30T21:58:00.000Z',
      'operator',
      'undeploy',
      'BEDS_ADMIN_NO_AUDIT',
      'says ann@desk, AMQP account beds',
    ];
    const broken = { head, rows: [row, row] };
    const text = formatTable(broken, { width: 80, paint });
    assert.equal(text.split('\n\n').length, 2);
    assert.match(text, /^from {5}says ann@desk, AMQP account beds$/m);
    assert.match(formatTable(broken, { width: 120, paint }), /^record {2}at /);
  });

  it('becomes a block for each row on a narrow terminal', () => {
    const wide = {
      head: ['name', 'text'],
      rows: [
        ['a', 'x'.repeat(50)],
        ['b', 'y'],
      ],
    };
    const blocks = `name  a\ntext  ${'x'.repeat(50)}\n\nname  b\ntext  y`;
    assert.equal(formatTable(wide, { width: 40, paint }), blocks);
  });
});
