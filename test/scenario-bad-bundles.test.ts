import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { askNodes } from '../host/admin/client.js';
import type { HistoryEntry } from '../host/deploy/history.js';
import { type BundleOptions, describeBundle, templateCode, writeBundle } from './support/bundles.js';
import { startTestHost, type TestHost, type TransitionLine } from './support/host.js';
import { Load } from './support/load.js';
import { NOTES_OBJECTS, notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

interface BadBundle {
  readonly what: string;
  readonly code: string;
  /** Content of the file that is dropped. */
  readonly content: (version: string) => string | Buffer;
  /** Default 'rejected'. */
  readonly state?: 'waiting';
  /** The bytes do not say which version they are. */
  readonly isNameless?: true;
}

/** Every way in which a bundle can be bad that an author has met. */
const BAD: readonly BadBundle[] = [
  {
    what: 'a syntax error',
    code: 'BEDS_ADMISSION_SYNTAX',
    content: (version) => text({ version, head: 'let a = (;' }),
  },
  {
    what: 'a throw on load',
    code: 'BEDS_ADMISSION_LOAD_THROWS',
    content: (version) => text({ version, head: `throw new TypeError('no luck');` }),
  },
  {
    what: 'a hang on load',
    code: 'BEDS_ADMISSION_LOAD_TIMEOUT',
    content: (version) => text({ version, head: 'for (;;);' }),
  },
  {
    what: 'an exit on load',
    code: 'BEDS_ADMISSION_EXITED',
    content: (version) => text({ version, head: 'process.exit(0);' }),
  },
  {
    what: 'no default export',
    code: 'BEDS_ADMISSION_EXPORT_MISSING',
    content: (version) => text({ version, code: 'export const a = 1;' }),
  },
  {
    what: 'a missing operation',
    code: 'BEDS_ADMISSION_METHOD_MISSING',
    content: (version) => {
      const code = templateCode(notesBundle({ version })).replace('async updateRecord', 'async other');
      return text({ version, code });
    },
  },
  {
    what: 'another contract version',
    code: 'BEDS_ADMISSION_CONTRACT_UNSUPPORTED',
    content: (version) => text({ version, manifest: { contract: 99 } }),
  },
  {
    what: 'an unknown object',
    code: 'BEDS_PREFLIGHT_OBJECT_MISSING',
    // The DBA may still deliver it.
    state: 'waiting',
    content: (version) => text({ version, objects: changed({ name: 'note_crate' }) }),
  },
  {
    what: 'a wrong parameter',
    code: 'BEDS_PREFLIGHT_ARGUMENT_UNKNOWN',
    content: (version) => text({ version, objects: changed({ args: { txt: { type: 'string' } } }) }),
  },
  {
    what: 'a forbidden import',
    code: 'BEDS_ADMISSION_IMPORT_FORBIDDEN',
    content: (version) => text({ version, head: `import 'node:fs';` }),
  },
  {
    what: 'a truncated file',
    code: 'BEDS_ADMISSION_INCOMPLETE',
    content: (version) => text({ version }).slice(0, -20),
  },
  {
    what: '50 MB',
    code: 'BEDS_ADMISSION_TOO_LARGE',
    content: () => Buffer.alloc(50_000_000, 'x'),
    isNameless: true,
  },
];

describe('a bad bundle in a running host', () => {
  it('is refused with its reason, whatever is wrong with it, and the old version serves on', async (t) => {
    const plugins = { probeTimeoutMs: 1_500, incompleteMs: 500 };
    const host = await startTestHost(t, { services, config: { plugins } });
    const { path: livePath } = await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.0.0' }));
    await host.active('notes', '1.0.0');
    const load = await Load.start(t, host, { callers: 1, pauseMs: 20 });

    for (const [index, bad] of BAD.entries()) {
      const version = `2.0.${index}`;
      // Every other one overwrites the file of the version that serves.
      const path = index % 2 === 0 ? livePath : join(host.pluginsDirectory, 'other.mjs');
      await writeFile(path, bad.content(version));
      const refusal = await refused(host, bad, version);
      const codes = refusal.findings?.map(({ code }) => code) ?? [];
      assert.ok(codes.includes(bad.code), `${bad.what}: ${codes.join(', ')}`);
      assert.equal(refusal.level, bad.state === 'waiting' ? 'warn' : 'error');
      assert.ok(refusal.findings?.every(({ message }) => message !== ''));
      await load.more(10);
      if (path !== livePath) await rm(path);
    }

    const asked = await load.stop();
    assert.deepEqual(load.codes, { ok: asked.length });
    assert.deepEqual([...new Set(asked.map(({ reply }) => reply?.by.version))], ['1.0.0']);
    await load.assertWrites();
    assert.equal(host.transitions().filter(({ state }) => state === 'active').length, 1);
    assert.deepEqual(
      host.log.filter(({ msg }) => msg.includes('broker thread ended')),
      [],
    );
    await assertHistory(host);

    await writeBundle(host.pluginsDirectory, notesBundle({ version: '3.0.0' }));
    await host.active('notes', '3.0.0');
    const client = await host.connectClient();
    assert.equal(await client.domain('notes').call('version', {}), '3.0.0');
  });
});

/** The durable history, asked over AMQP as the command line does, knows every refusal with its reason. */
async function assertHistory({ config, prefix }: TestHost): Promise<void> {
  const [answer] = await askNodes(
    'history',
    {},
    { url: config.amqp.url, prefix, timeoutMs: 5_000, signal: AbortSignal.timeout(10_000) },
  );
  const refusals = answer?.result.entries.filter(({ state }) => state === 'rejected' || state === 'waiting') ?? [];
  const codesOf = ({ findings = [] }: HistoryEntry): readonly string[] => findings.map(({ code }) => code);
  for (const { what, code } of BAD) {
    assert.ok(
      refusals.some((entry) => codesOf(entry).includes(code)),
      `${what} is not in the history`,
    );
  }
  assert.equal(refusals.length, BAD.length);
}

async function refused(host: TestHost, bad: BadBundle, version: string): Promise<TransitionLine> {
  const line = await host.logged(`${bad.what} is refused`, (entry) => {
    if (entry['state'] !== (bad.state ?? 'rejected')) return false;
    const { version: refusedVersion, findings = [] } = entry as TransitionLine;
    return bad.isNameless === true ? findings.some(({ code }) => code === bad.code) : refusedVersion === version;
  });
  return line as TransitionLine;
}

function text(options: BundleOptions): string {
  const { name, files } = describeBundle(notesBundle(options));
  return files.get(name) ?? '';
}

/** The objects of the domain, with something else as `create`. */
function changed(create: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return { ...NOTES_OBJECTS, create: { ...NOTES_OBJECTS.create, ...create } };
}
