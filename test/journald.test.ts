import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, fstatSync, readdirSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import { journalOutput } from '../host/observe/journal.js';
import { createLog } from '../host/observe/log.js';
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
  /** Where entries with fields go. */
  readonly path: string;
  /** Stands still: it reads nothing. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
}

/** A journald of the test's own, in a namespace of its own. Undefined: there can be none here. */
async function startJournald(t: TestContext): Promise<Journal | undefined> {
  if (JOURNALD === undefined || process.getuid?.() !== 0 || !existsSync('/etc/machine-id')) return undefined;
  const name = `beds${randomBytes(4).toString('hex')}`;
  const directory = `/run/systemd/journal.${name}`;
  const child = spawn(JOURNALD, [name], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  lastFirst(t, async () => {
    child.kill('SIGCONT');
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
    path: `${directory}/socket`,
    signal: (signal) => void child.kill(signal),
    find: (args) => {
      const found = execFileSync('journalctl', [`--namespace=${name}`, '-o', 'json', '--all', ...args], {
        stdio: ['ignore', 'pipe', 'ignore'],
        maxBuffer: 64 * 1_048_576,
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

  it('gives a real journald fields by which journalctl finds lines, and the lines as they are', async (t) => {
    const journal = await startJournald(t);
    if (journal === undefined) {
      t.skip('systemd-journald can be started by root only, where it is installed');
      return;
    }
    const output = await journalOutput(journal.path);
    if (output === undefined) {
      t.skip('the optional package node-unix-socket is not installed');
      return;
    }
    const log = createLog({ node: 'n1', level: 'debug', output });
    log.info({ domain: 'cities' }, 'all is well');
    log.warn({ domain: 'cities', version: '1.2.0', requestId: 'r\nPRIORITY=0' }, 'beware');
    log.error(
      { domain: 'notes', err: Object.assign(new Error('no\nnote'), { code: 'BEDS_STORE_FAULT' }) },
      'it failed',
    );
    log.error({ domain: 'cities', text: 'ü'.repeat(200_000) }, 'long');
    await output.close(2_000);
    await eventually(
      () => 'all lines',
      () => journal.find(['SYSLOG_IDENTIFIER=beds']).length === 4,
    );
    const warnings = journal.find(['DOMAIN=cities', '-p', 'warning']);
    assert.deepEqual(
      warnings.map(({ PRIORITY, NODE, VERSION, REQUEST_ID }) => [PRIORITY, NODE, VERSION, REQUEST_ID]),
      [
        ['4', 'n1', '1.2.0', 'r\nPRIORITY=0'],
        ['3', 'n1', undefined, undefined],
      ],
    );
    assert.equal(messageOf(warnings[0] ?? {})['msg'], 'beware');
    assert.match(warnings[1]?.['MESSAGE'] ?? '', /^\{"level":"error".*"text":"ü{20000}/);
    const [fault] = journal.find(['ERROR_CODE=BEDS_STORE_FAULT']);
    assert.equal(messageOf(fault ?? {})['msg'], 'it failed');
  });

  it('waits for no journald that stands still or is away: lines wait, within bounds, and come when it reads', async (t) => {
    const journal = await startJournald(t);
    if (journal === undefined) {
      t.skip('systemd-journald can be started by root only, where it is installed');
      return;
    }
    const output = await journalOutput(journal.path);
    if (output === undefined) {
      t.skip('the optional package node-unix-socket is not installed');
      return;
    }
    const log = createLog({ node: 'n1', level: 'info', output });
    journal.signal('SIGSTOP');
    const begun = performance.now();
    for (let n = 0; n < 10_000; n += 1) log.info({ n, text: 'x'.repeat(100) }, 'line');
    const tookMs = performance.now() - begun;
    assert.ok(tookMs < 2_000, `${tookMs.toFixed(0)} ms`);
    const { waitingLines, droppedLines, code } = output.state;
    assert.equal(code, 'EAGAIN');
    assert.ok(waitingLines > 100 && droppedLines > 100, JSON.stringify(output.state));
    journal.signal('SIGCONT');
    await eventually(
      () => `all that waited: ${JSON.stringify(output.state)}`,
      () => output.state.waitingLines === 0,
    );
    await eventually(
      () => 'what was dropped is said',
      () => journal.find(['NODE=n1']).some((entry) => messageOf(entry)['dropped'] === droppedLines),
    );
    const numbers = journal.find(['NODE=n1']).flatMap((entry) => messageOf(entry)['n'] ?? []);
    assert.deepEqual(
      numbers,
      Array.from({ length: 10_000 - droppedLines }, (_, n) => n),
    );
    await output.close(2_000);
    assert.equal(await journalOutput('/nowhere'), undefined);
  });
});
