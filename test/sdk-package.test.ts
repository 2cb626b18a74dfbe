import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';

/** Ways to resolve an import that know no ES modules: the SDK is one, and asks for a Node that has them. */
const WITHOUT_ESM = ['node10', 'node16-cjs'];

const LONGEST_MS = 240_000;

/** What `npm pack` makes of the SDK. Nothing is fetched for it, and nothing compiled but the SDK. */
function pack(): Uint8Array<ArrayBuffer> {
  const directory = mkdtempSync(join(tmpdir(), 'beds-test-'));
  try {
    execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-b', 'sdk'], { timeout: LONGEST_MS });
    const to = `--pack-destination=${directory}`;
    const args = ['pack', '--workspace=sdk', to, '--json', '--offline', '--ignore-scripts'];
    const packed = JSON.parse(execFileSync('npm', args, { encoding: 'utf8', timeout: LONGEST_MS })) as unknown;
    const [{ filename }] = packed as [{ readonly filename: string }];
    return new Uint8Array(readFileSync(join(directory, filename)));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe('the package @beds/sdk', () => {
  const tarball = pack();
  const content = createPackageFromTarballData(tarball);

  it('has every file that its package.json names, in the form that it says', async () => {
    const { messages } = await publint({ pack: { tarball: tarball.buffer } });
    assert.deepEqual(messages, []);
  });

  it('gives types to whoever imports one of its doors', async () => {
    const result = await checkPackage(content, { excludeEntrypoints: ['./tsconfig.template.json'] });
    assert.ok(result.types !== false, 'it has no types');
    const problems = result.problems.filter(
      (problem) => !('resolutionKind' in problem && WITHOUT_ESM.includes(problem.resolutionKind)),
    );
    assert.deepEqual(problems, []);
  });

  it('holds what was compiled and what a reader needs, and nothing else', () => {
    const others = content.listFiles().filter((path) => !/\/dist\/.*\.(js|d\.ts|js\.map)$/.test(path));
    const names = others.map((path) => path.replace('/node_modules/@beds/sdk/', ''));
    assert.deepEqual(names.sort(), ['README.md', 'package.json', 'tsconfig.template.json']);
  });
});
