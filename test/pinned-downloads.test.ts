import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { checkJars, JARS } from '../host/dev-servers/mongo-java-server.js';
import { temporaryDirectory } from './support/services.js';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('the files of the MongoDB-speaking server', () => {
  it('are pinned by their hashes, with everything that Maven brings along', () => {
    assert.ok(Object.keys(JARS).some((name) => name.startsWith('netty-')));
    for (const [name, hash] of Object.entries(JARS)) assert.match(`${name} ${hash}`, /^[\w.-]+\.jar [0-9a-f]{64}$/);
  });

  it('are refused by name when one has other bytes, is missing, or is one too many', (t) => {
    const folder = temporaryDirectory(t);
    const expected = { 'a.jar': sha256('a'), 'b.jar': sha256('b') };
    const refused = (name: string): void => {
      assert.throws(
        () => checkJars(folder, expected),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'BEDS_SERVICES_DOWNLOAD_MISMATCH');
          return error.message.startsWith(`${name} in ${folder}`);
        },
      );
    };
    writeFileSync(join(folder, 'a.jar'), 'a');
    refused('b.jar');
    writeFileSync(join(folder, 'b.jar'), 'b');
    checkJars(folder, expected);
    writeFileSync(join(folder, 'a.jar'), 'A');
    refused('a.jar');
    writeFileSync(join(folder, 'a.jar'), 'a');
    writeFileSync(join(folder, 'c.jar'), 'c');
    refused('c.jar');
    rmSync(join(folder, 'c.jar'));
    checkJars(folder, expected);
  });
});
