import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { EXIT } from '#sdk/cli';
import { COMMANDS } from '../host/admin/commands.js';
import { readOptions } from '../host/cli/admin-command.js';
import { parseDuration, parsePercent, timeoutOf } from '../host/cli/options.js';
import { rolloutErrors } from '../host/errors/rollout.js';
import type { Receipt } from '../host/admin/contract.js';
import type { DomainView } from '../host/admin/views.js';
import { beds, type Ran } from './support/beds.js';
import { describeBundle, writeBundle } from './support/bundles.js';
import { openNodes, type ScriptedControl, type TestNode, type TestNodes } from './support/admin-nodes.js';
import { sharedServices, temporaryDirectory } from './support/services.js';
import type { CanaryView } from '../host/admin/shown.js';

const { rabbitmq } = await sharedServices(['rabbitmq']);

interface Fleet {
  readonly desks: TestNodes;
  readonly nodes: readonly TestNode[];
  readonly run: (...args: readonly string[]) => Promise<Ran>;
  readonly directory: string;
}

async function fleet(t: TestContext, ...names: readonly string[]): Promise<Fleet> {
  const directory = temporaryDirectory(t);
  const desks = await openNodes(t, rabbitmq?.url ?? '');
  const nodes: TestNode[] = [];
  for (const name of names) nodes.push(await desks.add(name));
  return { desks, nodes, directory, run: (...args) => beds(args, { projectRoot: directory, env: desks.env }) };
}

/** Lets what is ordered come to this end, a moment later. */
function leadTo(control: ScriptedControl, end: (receipt: Receipt) => void): void {
  control.onCommand = (receipt) => {
    control.note(receipt, { state: 'received', ms: 1 });
    setTimeout(() => {
      end(receipt);
    }, 100);
  };
}

const HASH = { old: 'a'.repeat(64), live: 'b'.repeat(64), next: 'c'.repeat(64) };
const SINCE = '2026-01-01T00:00:00.000Z';
const CANARY: CanaryView = {
  ...{ version: '1.1.0', hash: HASH.next, percent: 5, shadowPercent: 0, forMs: 60_000, elapsedMs: 18_000, hold: false },
  candidate: { requests: 120, errorPercent: 0.83, p95Ms: 12.2 },
  active: { requests: 2_280, errorPercent: 0.1, p95Ms: 9.51 },
};
const NOTES: DomainView = {
  domain: 'notes',
  live: { version: '1.0.0', hash: HASH.live, state: 'active', since: SINCE, generation: 1 },
  candidate: { version: '1.1.0', hash: HASH.next, state: 'canary', since: SINCE },
  canary: CANARY,
  degraded: [{ code: 'BEDS_X_COLUMN', message: 'notes_all.text is gone', hint: 'Ask the DBA.' }],
  paused: true,
  kept: [{ version: '0.9.0', hash: HASH.old, at: SINCE }],
  strikes: [{ version: '1.0.0', hash: HASH.live, count: 2, last: SINCE }],
  left: [{ version: '0.9.0', generation: 1, left: { timers: 2, intervals: 0, immediates: 1 } }],
};

describe('a quantity on the command line', () => {
  it('is a percentage', () => {
    const given = ['5%', '5', '0.5%', '100 %', '0'];
    assert.deepEqual(
      given.map((text) => parsePercent('canary', text)),
      [5, 5, 0.5, 100, 0],
    );
    for (const text of ['', '%', '101', '-1', '1e1', '5%%', 'five', '0x10', 'NaN']) {
      assert.throws(() => parsePercent('canary', text), {
        code: 'BEDS_CLI_OPTION_INVALID',
        message: `--canary ${JSON.stringify(text)} is not a percentage from 0 to 100, as in 5% or 0.5%.`,
      });
    }
  });

  it('is a duration with its unit', () => {
    const given = ['500ms', '60s', '5m', '1h', '1.5 s', '2min'];
    assert.deepEqual(
      given.map((text) => parseDuration('for', text)),
      [500, 60_000, 300_000, 3_600_000, 1_500, 120_000],
    );
    for (const text of ['', '60', '0s', '-1s', '25h', '1d', 's', '1e3ms']) {
      assert.throws(() => parseDuration('for', text), {
        message: /^--for ".*" is not a duration of at most 24h, as in/,
      });
    }
    assert.deepEqual(
      ['3000', '3s'].map((timeout) => timeoutOf({ options: { timeout } })),
      [3_000, 3_000],
    );
  });

  it('becomes a field of the command; what is not said is no field', () => {
    assert.deepEqual(readOptions(COMMANDS.deploy, { options: {} }), {});
    const options = { canary: '5%', for: '60s', shadow: '10%', hold: true, 'allow-breaking': true };
    const fields = { canaryPercent: 5, forMs: 60_000, shadowPercent: 10, hold: true, allowBreaking: true };
    assert.deepEqual(readOptions(COMMANDS.deploy, { options }), fields);
  });
});

describe('beds deploy', () => {
  it('follows every bundle on every node until it serves', async (t) => {
    const { nodes, run, directory } = await fleet(t, 'a', 'b');
    for (const { control } of nodes) leadTo(control, (receipt) => control.note(receipt, { state: 'active', ms: 90 }));
    await writeBundle(directory, { domain: 'notes' });
    await writeBundle(directory, { domain: 'tasks', form: 'file' });
    const { code, stdout } = await run('deploy', 'notes-1.0.0', 'tasks-1.0.0.mjs', '--canary', '5%');
    assert.equal(code, EXIT.ok, stdout);
    for (const node of ['a', 'b']) {
      for (const domain of ['notes', 'tasks']) {
        assert.match(
          stdout,
          new RegExp(`^ +\\d+\\.\\d s {2}${node} {2}${domain} 1\\.0\\.0 {2}active after 90 ms$`, 'm'),
        );
      }
    }
    assert.deepEqual(nodes[1]?.control.rolloutOptions, [{ canaryPercent: 5 }]);
  });

  it('says why a version was refused on a node, and exits with 1', async (t) => {
    const { nodes, run, directory } = await fleet(t, 'a', 'b');
    const [a, b] = nodes;
    assert.ok(a && b);
    const findings = [
      { code: 'BEDS_X_ONE', message: 'one', hint: 'Do one.' },
      { code: 'BEDS_X_TWO', message: 'two' },
    ];
    leadTo(a.control, (receipt) => a.control.note(receipt, { state: 'active' }));
    leadTo(b.control, (receipt) => b.control.note(receipt, { state: 'rejected', findings }));
    await writeBundle(directory, {});
    const { code, stdout } = await run('deploy', 'notes-1.0.0');
    assert.equal(code, EXIT.failed);
    assert.match(stdout, /^b: notes 1\.0\.0 is rejected:\n {2}BEDS_X_ONE: one\n {4}Do one\.\n {2}BEDS_X_TWO: two$/m);
    assert.doesNotMatch(stdout, /^a: notes 1\.0\.0 is/m);
    const json = await run('deploy', 'notes-1.0.0', '--json', '--node', 'b');
    const { ok, outcomes } = JSON.parse(json.stdout) as { ok: boolean; outcomes: Record<string, unknown>[] };
    const { hash } = describeBundle({});
    const outcome = { node: 'b', domain: 'notes', version: '1.0.0', hash, state: 'rejected', findings };
    assert.deepEqual([ok, outcomes], [false, [outcome]]);
  });

  it('ends with what a version waits for', async (t) => {
    const { nodes, run, directory } = await fleet(t, 'a');
    const findings = [{ code: 'BEDS_PREFLIGHT_OBJECT_MISSING', message: 'notes_all is missing' }];
    for (const { control } of nodes)
      leadTo(control, (receipt) => control.note(receipt, { state: 'waiting', findings }));
    await writeBundle(directory, {});
    const { code, stdout } = await run('deploy', 'notes-1.0.0');
    assert.equal(code, EXIT.failed);
    assert.match(stdout, /a: notes 1\.0\.0 is waiting:\n {2}BEDS_PREFLIGHT_OBJECT_MISSING: notes_all is missing/);
  });

  it('does not take a refusal of the same bytes from before for the outcome', async (t) => {
    const { nodes, run, directory } = await fleet(t, 'a');
    const [a] = nodes;
    assert.ok(a);
    const { manifest } = await writeBundle(directory, {});
    const { hash } = describeBundle({});
    a.control.note({ domain: 'notes', version: String(manifest['version']), hash }, { state: 'rejected' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    leadTo(a.control, (receipt) => a.control.note(receipt, { state: 'active' }));
    assert.equal((await run('deploy', 'notes-1.0.0')).code, EXIT.ok);
  });

  it('shows how a canary fares, and leaves one that is held to be promoted', async (t) => {
    const { nodes, run, directory } = await fleet(t, 'a');
    const [a] = nodes;
    assert.ok(a);
    leadTo(a.control, (receipt) => {
      a.control.note(receipt, { state: 'canary' });
      const view = a.control.views.get('notes');
      const canary = { ...CANARY, hash: receipt.hash, version: receipt.version, hold: true };
      if (view !== undefined) a.control.views.set('notes', { ...view, canary });
    });
    await writeBundle(directory, {});
    const { code, stdout } = await run('deploy', 'notes-1.0.0', '--hold');
    assert.equal(code, EXIT.ok, stdout);
    const line =
      'canary 5 %: 120 requests, 0.8 % failed, p95 12 ms; active: 2,280 requests, 0.1 % failed, p95 9.5 ms; ';
    assert.ok(stdout.includes(`notes 1.0.0  ${line}until it is promoted`), stdout);
  });

  it('with --no-wait is content when it is accepted; without an outcome in time it fails', async (t) => {
    const { run, directory, nodes } = await fleet(t, 'a');
    await writeBundle(directory, {});
    const { code, stdout } = await run('deploy', 'notes-1.0.0', '--no-wait');
    assert.deepEqual([code, stdout], [EXIT.ok, 'a: deploy of notes 1.0.0 accepted.\n']);
    const late = await run('deploy', 'notes-1.0.0', '--timeout', '300ms');
    assert.equal(late.code, EXIT.failed);
    assert.match(late.stderr, /^BEDS_CLI_ROLLOUT_UNFINISHED/);
    assert.equal(nodes[0]?.control.commands.length, 2);
  });

  it('sends nothing that is no bundle, and says what to do instead', async (t) => {
    const { run, directory, nodes } = await fleet(t, 'a');
    const { path } = await writeBundle(directory, {});
    await writeBundle(directory, { version: '1.0.1' });
    for (const folder of ['source', 'built/dist', 'empty']) mkdirSync(join(directory, folder), { recursive: true });
    writeFileSync(join(directory, 'source', 'template.ts'), '');
    writeFileSync(join(directory, 'built', 'dist', 'manifest.json'), '{}');
    writeFileSync(join(directory, 'plain.mjs'), 'export default 1;');
    const expected: readonly (readonly [args: readonly string[], code: number, text: RegExp])[] = [
      [[], EXIT.usage, /Name the bundles to deploy/],
      [['nowhere'], EXIT.usage, /There is no file or folder .*nowhere/],
      [['notes-1.0.0', 'notes-1.0.1'], EXIT.usage, /notes-1\.0\.1 is another bundle of notes/],
      [['source'], EXIT.failed, /source is the source of a domain, not yet built[^]*Run `beds build source`/],
      [['built'], EXIT.failed, /built is the source of a domain[^]*`beds deploy built\/dist`/],
      [['empty'], EXIT.failed, /empty is no bundle/],
      [
        ['plain.mjs'],
        EXIT.failed,
        /plain\.mjs is not a complete bundle\. BEDS_ADMISSION_MANIFEST_MISSING: .*\n.*beds build/,
      ],
      [['notes-1.0.0', '--canary', 'some'], EXIT.usage, /--canary "some" is not a percentage/],
    ];
    for (const [args, code, text] of expected) {
      const ran = await run('deploy', ...args);
      assert.equal(ran.code, code, ran.stderr);
      assert.match(ran.stderr, text);
    }
    writeFileSync(join(path, 'index.mjs'), 'other');
    assert.match((await run('deploy', 'notes-1.0.0')).stderr, /BEDS_ADMISSION_INCOMPLETE/);
    assert.deepEqual(nodes[0]?.control.commands, []);
  });
});

describe('a command of the protocol on the command line', () => {
  it('is followed to its outcome: rollback and promote', async (t) => {
    const { nodes, run } = await fleet(t, 'a');
    const [a] = nodes;
    assert.ok(a);
    leadTo(a.control, (receipt) => a.control.note(receipt, { state: 'active' }));
    assert.equal((await run('rollback', 'notes', '0.9.0')).code, EXIT.ok);
    assert.equal((await run('promote', 'notes')).code, EXIT.ok);
    assert.equal((await run('pause', 'notes')).stdout, 'a: pause of notes 1.1.0 accepted.\n');
    assert.equal((await run('undeploy', 'notes')).code, EXIT.ok);
    assert.equal((await run('quarantine', 'lift', 'abcdef')).code, EXIT.ok);
    assert.deepEqual(
      a.control.commands.map(({ op }) => op),
      ['rollback', 'promote', 'pause', 'undeploy', 'lift'],
    );
    assert.match(String(a.log[0]?.['by']), /@/);
  });

  it('that every node refuses ends with the reason; a node of another role does not count', async (t) => {
    const { nodes, run } = await fleet(t, 'a', 'b');
    const [a, b] = nodes;
    assert.ok(a && b);
    const refuse = (code: 'BEDS_ROLLOUT_NOTHING_PENDING' | 'BEDS_ROLLOUT_NOT_SERVED') => () => {
      throw rolloutErrors.make(code);
    };
    a.control.onCommand = refuse('BEDS_ROLLOUT_NOTHING_PENDING');
    b.control.onCommand = refuse('BEDS_ROLLOUT_NOTHING_PENDING');
    const { code, stderr } = await run('promote', 'notes');
    assert.equal(code, EXIT.failed);
    assert.match(
      stderr,
      /^BEDS_ROLLOUT_NOTHING_PENDING: [ab]: The domain has no canary.*\n +what to do: `beds status`/,
    );
    b.control.onCommand = () => undefined;
    const mixed = await run('pause', 'notes');
    assert.equal(mixed.code, EXIT.failed);
    assert.match(mixed.stdout, /^a refused:\n {2}BEDS_ROLLOUT_NOTHING_PENDING: /m);
    a.control.onCommand = refuse('BEDS_ROLLOUT_NOT_SERVED');
    assert.deepEqual(await run('pause', 'notes'), {
      code: EXIT.ok,
      stdout: 'b: pause of notes 1.1.0 accepted.\n',
      stderr: '',
    });
  });

  it('for a node that is not there, or without a domain, is refused', async (t) => {
    const { run } = await fleet(t, 'a');
    const { stderr } = await run('pause', 'notes', '--node', 'z');
    assert.match(stderr, /^BEDS_ADMIN_NODE_UNKNOWN: No node "z" answered; those that did: a\./);
    for (const args of [['pause'], ['promote'], ['rollback'], ['undeploy'], ['diff'], ['quarantine', 'lift']]) {
      assert.equal((await run(...args)).code, EXIT.usage, args.join(' '));
    }
    assert.match((await run('pause', 'a', 'b')).stderr, /"b" is one argument too many/);
    assert.match((await run('pause', '../etc')).stderr, /"\.\.\/etc" is not the name of a domain/);
  });

  it('finds no host where none runs', async (t) => {
    const { run } = await fleet(t);
    for (const args of [['pause', 'notes'], ['history'], ['diff', 'notes'], ['quarantine'], ['versions'], ['status']]) {
      assert.match((await run(...args)).stderr, /^BEDS_ADMIN_NO_NODES/, args.join(' '));
    }
  });
});

describe('what operators are shown', () => {
  it('is everything that is known of a domain: beds versions', async (t) => {
    const { nodes, run } = await fleet(t, 'a', 'b');
    const [a] = nodes;
    assert.ok(a);
    a.control.views.set('notes', NOTES);
    a.control.quarantined = [
      {
        domain: 'notes',
        version: '0.8.0',
        hash: 'd'.repeat(64),
        since: SINCE,
        code: 'BEDS_ROLLOUT_STRIKES',
        message: 'why',
      },
    ];
    const findings = [{ code: 'BEDS_X_REFUSED', message: 'refused' }];
    a.control.entries.push({
      at: SINCE,
      domain: 'notes',
      version: '0.7.0',
      hash: 'e'.repeat(64),
      state: 'rejected',
      findings,
    });
    const { code, stdout } = await run('versions', 'notes');
    assert.equal(code, EXIT.ok);
    const lines = [
      /^a +notes +1\.0\.0 +active, degraded, paused +2026-01-01T00:00:00\.000Z +bbbbbbbbbbbb +1\.1\.0 canary$/m,
      /^a: notes 1\.1\.0 canary 5 %: 120 requests, .*42 s left$/m,
      /^notes 1\.0\.0 is degraded on a:\n {2}BEDS_X_COLUMN: notes_all\.text is gone\n {4}Ask the DBA\.$/m,
      /^a: notes may be rolled back to 0\.9\.0 \(aaaaaaaaaaaa\)$/m,
      /^a: notes 1\.0\.0 \(bbbbbbbbbbbb\) ended 2 broker threads, last at 2026/m,
      /^a: notes 0\.9\.0 \(generation 1\) left behind when it retired: 2 timers, 1 immediate$/m,
      /^notes 0\.7\.0 is rejected, since .*:\n {2}BEDS_X_REFUSED: refused$/m,
      /^notes 0\.8\.0 \(dddddddddddd\) is quarantined on a, .*\n {2}BEDS_ROLLOUT_STRIKES: why\n.*lift dddddddddddd/m,
    ];
    for (const line of lines) assert.match(stdout, line);
    const json = JSON.parse((await run('versions', '--json', '--node', 'a')).stdout) as object[];
    const { quarantined, entries: refusals } = a.control;
    assert.deepEqual(json, [{ node: 'a', domains: [NOTES], quarantined, refusals }]);
  });

  it('is the state of the canary and of degraded domains: beds status', async (t) => {
    const { nodes, run } = await fleet(t, 'a');
    const [a] = nodes;
    assert.ok(a);
    a.control.views.set('notes', NOTES);
    const { code, stdout } = await run('status');
    assert.equal(code, EXIT.failed);
    assert.match(stdout, /^a +notes +1\.0\.0 +active, degraded, paused .* bbbbbbbbbbbb +BEDS_X_COLUMN$/m);
    assert.match(
      stdout,
      /^a +notes +1\.1\.0 +canary 5 % +18 s +cccccccccccc +0\.8 % of its requests failed, of the active 0\.1 %$/m,
    );
    const { degraded: _, ...healthy } = NOTES;
    a.control.views.set('notes', healthy);
    assert.equal((await run('status', '--json')).code, EXIT.ok);
  });

  it('is what happened, with its cause: beds history', async (t) => {
    const { nodes, run } = await fleet(t, 'a');
    const [a] = nodes;
    assert.ok(a);
    assert.equal((await run('history')).stdout, 'Nothing has happened yet.\n');
    const findings = [{ code: 'BEDS_X_CAUSE', message: 'why' }];
    for (const state of ['received', 'rejected'] as const) {
      a.control.note(
        { domain: 'notes', version: '1.0.0', hash: HASH.live },
        { state, ms: 5, ...(state === 'rejected' && { findings }) },
      );
    }
    a.control.note({ domain: 'tasks', version: '1.0.0', hash: HASH.next }, { state: 'active' });
    const { stdout } = await run('history', 'notes');
    assert.match(stdout, /^at +node +domain +version +state +cause +after +bundle\n/);
    assert.match(stdout, /Z +a +notes +1\.0\.0 +rejected +BEDS_X_CAUSE +5 ms +bbbbbbbbbbbb$/m);
    assert.doesNotMatch(stdout, /tasks/);
    const [last] = JSON.parse((await run('history', '--limit', '1', '--json')).stdout) as { entries: object[] }[];
    assert.deepEqual(last?.entries, a.control.entries.slice(-1));
    assert.equal((await run('history', '--limit', '0')).code, EXIT.usage);
  });

  it('is what changes for callers, and who they are: beds diff', async (t) => {
    const { nodes, run } = await fleet(t, 'a');
    const [a] = nodes;
    assert.ok(a);
    const from = { version: '1.0.0', hash: HASH.live };
    const to = { version: '1.1.0', hash: HASH.next };
    const added = { breaking: false, operation: 'near', message: 'operation was added', callers: [], countedDays: 3.5 };
    const callers = [
      { client: 'billing', callsPerDay: 1_204.4 },
      { client: '', callsPerDay: 0.2 },
    ];
    const gone = { breaking: true, operation: 'fetch', message: 'column text is gone', callers, countedDays: 3.5 };
    a.control.diffView = {
      domain: 'notes',
      from,
      to,
      changes: [gone, added],
      files: [{ name: 'index.mjs', change: 'changed' }],
    };
    const { code, stdout } = await run('diff', 'notes');
    assert.equal(code, EXIT.failed);
    assert.match(stdout, /^a: notes 1\.0\.0 \(bbbbbbbbbbbb\) → 1\.1\.0 \(cccccccccccc\)$/m);
    assert.match(
      stdout,
      /^breaking +fetch +column text is gone +billing 1,204, \(no name\) < 1\ncompatible +near +operation was added +none in 3 d\nFiles: index\.mjs changed$/m,
    );
    a.control.diffView = { domain: 'notes', from, to, changes: [], files: [] };
    const json = await run('diff', 'notes', '1.0.0', '1.1.0', '--json');
    assert.deepEqual([json.code, JSON.parse(json.stdout)], [EXIT.ok, [{ node: 'a', diff: a.control.diffView }]]);
  });

  it('is what is quarantined and why: beds quarantine', async (t) => {
    const { nodes, run } = await fleet(t, 'a');
    const [a] = nodes;
    assert.ok(a);
    assert.equal((await run('quarantine')).stdout, 'No bundle is quarantined.\n');
    const entry = {
      domain: 'notes',
      version: '0.8.0',
      hash: 'd'.repeat(64),
      since: SINCE,
      code: 'BEDS_X_WHY',
      message: 'why',
    };
    a.control.quarantined = [entry];
    assert.match(
      (await run('quarantine', 'list')).stdout,
      /^a +notes +0\.8\.0 +dddddddddddd +2026.*Z +BEDS_X_WHY: why$/m,
    );
    assert.deepEqual(JSON.parse((await run('quarantine', '--json')).stdout), [{ node: 'a', quarantined: [entry] }]);
    assert.equal((await run('quarantine', 'lft', 'notes')).code, EXIT.usage);
  });
});
