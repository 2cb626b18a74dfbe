import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createLog, LogOutput } from '../host/observe/log.js';
import type { NodeStatus } from '../host/admin/views.js';
import { beds } from './support/beds.js';
import { eventually } from './support/eventually.js';
import { lastFirst, sharedServices, temporaryDirectory } from './support/services.js';

const CLI = resolve(import.meta.dirname, '..', 'host', 'cli', 'main.js');
const END_MS = 20_000;
/** More than a pipe and what waits for it hold together. */
const FLOOD_LINES = 4_000;
const WRONG_FIELDS = 2_000;
const BAD_BUNDLES = 12;

const { rabbitmq } = await sharedServices(['rabbitmq']);
assert.ok(rabbitmq);

interface Pipe {
  readonly writer: number;
  /** What has arrived since the last time. */
  read(): string;
}

/** A pipe of which both ends are in this process. */
function openPipe(t: TestContext): Pipe {
  const path = join(temporaryDirectory(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  lastFirst(t, () => closeSync(reader));
  const chunk = Buffer.alloc(1_048_576);
  const some = (): string => {
    try {
      return chunk.toString('utf8', 0, readSync(reader, chunk));
    } catch {
      return '';
    }
  };
  const read = (): string => {
    let text = '';
    for (let more = some(); more !== ''; more = some()) text += more;
    return text;
  };
  return { writer, read };
}

describe('the output of the log', () => {
  it('keeps lines for a stalled reader, whole and in order, and says how many it dropped', async (t) => {
    const pipe = openPipe(t);
    const output = new LogOutput(pipe.writer, { maxWaitingBytes: 100_000 });
    lastFirst(t, () => output.close(0));
    const log = createLog({ node: 'n', level: 'info', output });
    for (let number = 0; number < FLOOD_LINES; number += 1) log.info({ number, filler: 'x'.repeat(100) }, 'a line');
    const { droppedLines, waitingLines, code } = output.state;
    assert.ok(droppedLines > 0 && waitingLines > 0 && code === 'EAGAIN', JSON.stringify(output.state));

    let text = pipe.read();
    await eventually('the rest has arrived', () => {
      text += pipe.read();
      return output.state.waitingLines === 0 && text.includes('were dropped');
    });
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { readonly number?: number; readonly dropped?: number });
    const numbers = lines.flatMap(({ number }) => (number === undefined ? [] : [number]));
    assert.deepEqual(numbers, [...numbers.keys()], 'the first lines are there, without a gap');
    assert.equal(numbers.length + droppedLines, FLOOD_LINES);
    assert.equal(lines.find(({ dropped }) => dropped !== undefined)?.dropped, droppedLines);
  });

  it('takes lines for a full disk as well, and gives up on them when it is closed', async () => {
    const output = new LogOutput(openSync('/dev/full', 'w'), { maxWaitingBytes: 1_000 });
    const log = createLog({ node: 'n', level: 'info', output });
    for (let number = 0; number < 100; number += 1) log.info({ number }, 'a line');
    assert.equal(output.state.code, 'ENOSPC');
    assert.ok(output.state.droppedLines > 0);
    await output.close(10);
    log.info('after the end');
    assert.deepEqual(output.state, { droppedLines: 101, waitingLines: 0 });
  });
});

interface Started {
  /** Of the host, not of the shell around it. */
  readonly pid: number;
  readonly root: string;
  status(): Promise<NodeStatus>;
}

/** Starts a host without stores as a process of its own; its output goes where the shell sends it. */
async function startHostProcess(t: TestContext, redirection: string): Promise<Started> {
  const root = temporaryDirectory(t);
  mkdirSync(join(root, 'config'));
  mkdirSync(join(root, 'plugins'));
  writeFileSync(join(root, 'config', 'beds.toml'), '[log]\nlevel = "debug"\n[threads.default]\ncount = 1\n');
  const script = join(root, 'start.mjs');
  const invocation = JSON.stringify({ args: ['start'], projectRoot: root, cwd: root });
  writeFileSync(
    script,
    `import { main } from ${JSON.stringify(CLI)};
    process.exitCode = await main({ ...${invocation}, env: process.env });`,
  );
  const env = {
    BEDS_AMQP_URL: rabbitmq?.url ?? '',
    BEDS_AMQP_PREFIX: `t${randomBytes(4).toString('hex')}`,
    PATH: process.env['PATH'] ?? '',
  };
  const child = spawn('sh', ['-c', `"${process.execPath}" "${script}" ${redirection}`], {
    ...{ env, stdio: ['ignore', redirection === '' ? 'pipe' : 'ignore', 'ignore'], detached: true },
  });
  lastFirst(t, () => endGroup(child));
  const status = async (): Promise<NodeStatus> => {
    // n.b. it exits with 1, as versions are refused.
    const { stdout, stderr } = await beds(['status', '--json', '--timeout', '5s'], { projectRoot: root, env });
    const [node] = stdout === '' ? [] : (JSON.parse(stdout) as NodeStatus[]);
    assert.ok(node, stderr);
    return node;
  };
  let first: NodeStatus | undefined;
  await eventually(
    'the host answers',
    async () => (first = await status().catch(() => undefined)) !== undefined,
    30_000,
  );
  return { pid: first?.pid ?? 0, root, status };
}

/** Refused bundles: all that is wrong with one is a single line of the log, here of some 400 kB. */
function dropBadBundles(root: string): void {
  const faults = Object.fromEntries(Array.from({ length: WRONG_FIELDS }, (_, n) => [`wrong${String(n)}`, n]));
  for (let number = 0; number < BAD_BUNDLES; number += 1) {
    const manifest = `//! beds-manifest ${JSON.stringify({ ...faults, number })}\n`;
    writeFileSync(join(root, 'plugins', `bad-${String(number)}.mjs`), manifest);
  }
}

describe('a host whose log is not taken', () => {
  const places = [
    ['by a full disk', '> /dev/full', 'ENOSPC'],
    ['by a reader that stands still', '| sleep 60', 'EAGAIN'],
    ['by a reader that is gone', '| true', 'EPIPE'],
    ['by a socket that nobody reads', '', 'EAGAIN'],
  ] as const;
  for (const [name, redirection, code] of places) {
    it(`${name} starts, answers, counts dropped lines, and ends on a signal`, async (t) => {
      const { pid, root, status } = await startHostProcess(t, redirection);
      dropBadBundles(root);
      let seen: NodeStatus['log'] | undefined;
      await eventually(
        'lines are dropped',
        async () => {
          seen = (await status().catch(() => undefined))?.log ?? seen;
          return (seen?.droppedLines ?? 0) > 0;
        },
        60_000,
      ).catch(() => assert.fail(`the log: ${JSON.stringify(seen)}`));
      assert.equal(seen?.code, code);

      process.kill(pid, 'SIGTERM');
      await eventually('the host is gone', () => !existsSync(`/proc/${String(pid)}`), END_MS);
    });
  }
});

describe('a command whose output is not taken', () => {
  it('does its work on a full disk, says that what it printed is lost, and fails', async (t) => {
    const [root, remarks] = [temporaryDirectory(t), join(temporaryDirectory(t), 'remarks')];
    mkdirSync(join(root, 'config'));
    writeFileSync(join(root, 'config', 'beds.toml'), '[stores.main]\nkind = "mysql"\n');
    assert.equal(await exitCodeOf(t, ['create', 'later'], { root, redirection: `> /dev/full 2> ${remarks}` }), 1);
    assert.ok(existsSync(join(root, 'later', 'template.ts')));
    assert.match(readFileSync(remarks, 'utf8'), /cannot write to standard output \(ENOSPC\)/);
  });

  it('goes on where only its remarks are lost', async (t) => {
    assert.equal(await exitCodeOf(t, ['help'], { root: '.', redirection: '> /dev/null 2> /dev/full' }), 0);
  });
});

async function exitCodeOf(
  t: TestContext,
  args: readonly string[],
  { root, redirection }: { readonly root: string; readonly redirection: string },
): Promise<number> {
  const script = join(temporaryDirectory(t), 'run.mjs');
  const invocation = JSON.stringify({ args, projectRoot: resolve(root), cwd: resolve(root) });
  writeFileSync(
    script,
    `import { main } from ${JSON.stringify(CLI)};
    process.stderr.write('a remark\\n');
    process.exitCode = await main({ ...${invocation}, env: process.env });
    process.stderr.write('another one\\n');`,
  );
  const child = spawn('sh', ['-c', `"${process.execPath}" "${script}" ${redirection}`], { stdio: 'ignore' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? -1;
}

/** The shell, what it started, and nothing else. */
function endGroup({ pid }: ChildProcess): void {
  try {
    process.kill(-Number(pid), 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}
