import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { main } from './run.js';

/** What `npm test` with these options says before it would run a test, and its exit code. */
async function refused(t: TestContext, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { mock } = t.mock.method(process.stderr, 'write', () => true);
  const code = await main({ args, env, projectRoot: process.cwd() });
  const said = mock.calls.map(({ arguments: [text] }) => String(text)).join('');
  mock.restore();
  return { code, said };
}

describe('a row of servers and Node that cannot be had is said, and nothing else is tested', () => {
  it('when there are no such servers', async (t) => {
    const { code, said } = await refused(t, ['--servers=mysql-5', 'services']);
    assert.equal(code, 1);
    assert.match(
      said,
      /BEDS_SERVICES_SET_UNKNOWN: There are no servers named mysql-5; there are mysql-9 and mariadb-11/,
    );
  });

  it('when a server of the user would stand in their place', async (t) => {
    const own = { BEDS_MARIADB_ADMIN_URL: 'mysql://root@db.example/beds' };
    const { code, said } = await refused(t, ['--servers', 'mysql-9', 'services'], own);
    assert.equal(code, 1);
    assert.match(said, /BEDS_MARIADB_ADMIN_URL names a server/);
  });

  it('when that is no version of Node', async (t) => {
    assert.match((await refused(t, ['--node', 'latest', 'services'])).said, /--node takes a version/);
    assert.match((await refused(t, ['--node', '--unit'])).said, /--node takes a version/);
  });
});

describe('the rows that CONTRIBUTING names', () => {
  it('are those that .ci runs, each with the same command', () => {
    const [row, matrix, guide] = ['.ci/run', '.ci/matrix', 'CONTRIBUTING.md'].map((file) => readFileSync(file, 'utf8'));
    const commands = [...(guide ?? '').matchAll(/^\|.*\| `(npm test[^`]*)` +\|$/gm)].map(([, command = '']) => command);
    const run = `${row ?? ''}${(matrix ?? '').replaceAll('row npm', 'npm')}`.matchAll(
      /^(npm test.*?)(?: <\/dev\/null)?$/gm,
    );
    assert.equal(commands.length, 4);
    assert.deepEqual(
      commands,
      [...run].map(([, command = '']) => command),
    );
  });
});
