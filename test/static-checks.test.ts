import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { eventually } from './support/eventually.js';
import {
  CHECKS_VARIABLE,
  runCheck,
  type CheckName,
  type CheckResult,
  type CheckResults,
} from './support/static-checks.js';

/** Less than a test file may take. */
const LONGEST_MS = 570_000;

/** The test command runs the checks beside all other tests. */
async function resultOf(name: CheckName): Promise<CheckResult> {
  const file = process.env[CHECKS_VARIABLE];
  if (file === undefined) return runCheck('.', name);
  await eventually('the checks have ended', () => existsSync(file), LONGEST_MS);
  return (JSON.parse(readFileSync(file, 'utf8')) as CheckResults)[name];
}

describe('the sources', () => {
  const sentences: readonly (readonly [CheckName, string])[] = [
    ['types', 'compile under the strictest settings (npm run types)'],
    ['format', 'are formatted (npm run format:fix mends it)'],
    ['lint', 'break no rule of eslint.config.js (npm run lint)'],
    ['unused', 'hold no file, export or dependency that nobody uses (npm run unused)'],
  ];
  for (const [name, sentence] of sentences) {
    it(sentence, async () => {
      const { ok, output } = await resultOf(name);
      assert.ok(ok, output);
    });
  }
});
