import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, fstatSync, readdirSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import { eventually } from './support/eventually.js';
import { lastFirst } from './support/services.js';

const JOURNALD = ['/lib/systemd/systemd-journald', '/usr/lib/systemd/systemd-journald'].find((path) =>
  existsSync(path),
);
const LOG = pathToFileURL(resolve(import.meta.dirname, '..', 'host', 'observe', 'log.js')).href;

interface Journal {
  /** What journalctl finds. */
  find(args: readonly string[]): readonly Readonly<Record<string, string>>[];
  /** The standard output of a unit, as systemd connects it. */
  connect(): Promise<Socket>;
}

/** A journald of the test's own, in a namespace of its own. Undefined: there can be none here. */
async function startJournald(t: TestContext): Promise<Journal | undefined> {
  if (JOURNALD === undefined || process.getuid?.() !== 0 || !existsSync('/etc/machine-id')) return undefined;
  const name = `beds${randomBytes(4).toString('hex')}`;
  const directory = `/run/systemd/journal.${name}`;
  const child = spawn(JOURNALD, [name], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  lastFirst(t, async () => {
    child.kill();
    await exited;
    rmSync(directory, { recursive: true, force: true });
    for (const kept of existsSync('/run/log/journal') ? readdirSync('/run/log/journal') : []) {
      if (kept.endsWith(`.${name}`)) rmSync(`/run/log/journal/${kept}`, { recursive: true, force: true });
    }
  });
  await eventually(
    () => 'the sockets of journald',
    () => existsSync(`${directory}/stdout`) || child.exitCode !== null,
  );
  if (child.exitCode !== null) return undefined;
  return {
    find: (args) => {
      const found = execFileSync('journalctl', [`--namespace=${name}`, '-o', 'json', ...args], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const lines = found
        .toString()
        .split('\n')
        .filter((line) => line.startsWith('{'));
      return lines.map((line) => JSON.parse(line) as Record<string, string>);
    },
    connect: async () => {
      const socket = connect(`${directory}/stdout`);
      await once(socket, 'connect');
      // Identifier, unit, priority without one, that lines have priorities, and what journald passes on.
      socket.write('beds\n\n6\n1\n0\n0\n0\n');
      return socket;
    },
  };
}

/** Lines of each level, in a process whose standard output is `stdout`. */
async function logInto(stdout: Socket, format: string, env: Readonly<Record<string, string>>): Promise<void> {
  const code = `
    const { createLog, isJournal, stdoutOutput } = await import(${JSON.stringify(LOG)});
    const output = stdoutOutput();
    const log = createLog({ node: 'n1', level: 'debug', output, hasPriorities: isJournal(${JSON.stringify(format)}) });
    log.debug('a detail'); log.info('all is well'); log.warn({ domain: 'cities' }, 'beware'); log.error({ domain: 'cities', text: 'two\\nlines' }, 'it failed');
    log.fatal('the end');
    await output.close(2000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    stdio: ['ignore', stdout, 'inherit'],
    env: { ...process.env, ...env },
  });
  const [exitCode] = (await once(child, 'exit')) as [number | null];
  assert.equal(exitCode, 0);
}

function streamOf(socket: Socket): string {
  const { fd } = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle;
  const { dev, ino } = fstatSync(fd);
  return `${String(dev)}:${String(ino)}`;
}

const messageOf = ({ MESSAGE = '' }: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> =>
  JSON.parse(MESSAGE) as Record<string, unknown>;

describe('the log under systemd', () => {
  it('reaches a real journald with priorities, as the whole lines that they are', async (t) => {
    const journal = await startJournald(t);
    if (journal === undefined) {
      t.skip('systemd-journald can be started by root only, where it is installed');
      return;
    }
    const socket = await journal.connect();
    await logInto(socket, 'auto', { JOURNAL_STREAM: streamOf(socket) });
    socket.destroy();
    await eventually(
      () => 'all lines',
      () => journal.find([]).filter((entry) => entry['SYSLOG_IDENTIFIER'] === 'beds').length === 5,
    );
    const entries = journal.find(['SYSLOG_IDENTIFIER=beds']);
    assert.deepEqual(
      entries.map((entry) => [entry['PRIORITY'], messageOf(entry)['msg']]),
      [
        ['7', 'a detail'],
        ['6', 'all is well'],
        ['4', 'beware'],
        ['3', 'it failed'],
        ['2', 'the end'],
      ],
    );
    const warnings = journal.find(['-p', 'warning', 'SYSLOG_IDENTIFIER=beds']);
    assert.deepEqual(
      warnings
        .map((entry) => messageOf(entry))
        .filter(({ domain }) => domain === 'cities')
        .map(({ msg, text }) => [msg, text]),
      [
        ['beware', undefined],
        ['it failed', 'two\nlines'],
      ],
    );
  });

  it('is plain JSON where standard output is another one than systemd connected, or where that is wanted', async (t) => {
    const journal = await startJournald(t);
    if (journal === undefined) {
      t.skip('systemd-journald can be started by root only, where it is installed');
      return;
    }
    for (const [format, stream] of [
      ['auto', '1:1'],
      ['json', undefined],
    ] as const) {
      const socket = await journal.connect();
      await logInto(socket, format, { JOURNAL_STREAM: stream ?? streamOf(socket) });
      socket.destroy();
    }
    await eventually(
      () => 'all lines',
      () => journal.find(['SYSLOG_IDENTIFIER=beds']).length === 10,
    );
    assert.ok(journal.find(['SYSLOG_IDENTIFIER=beds']).every((entry) => entry['PRIORITY'] === '6'));
  });
});
