import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  CHECKS_VARIABLE,
  runCheck,
  type CheckName,
  type CheckResult,
  type CheckResults,
} from './support/static-checks.js';

/** The test command has run the checks already, before the servers and the tests took the machine. */
function resultOf(name: CheckName): Promise<CheckResult> | CheckResult {
  const file = process.env[CHECKS_VARIABLE];
  return file === undefined ? runCheck('.', name) : (JSON.parse(readFileSync(file, 'utf8')) as CheckResults)[name];
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
