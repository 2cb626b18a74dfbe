import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
}

const LOCK_FILES = ['package-lock.json', 'bench/peers/package-lock.json'];

/** What `npm ci` would install from this lock file without checking its bytes, or from a fixed place. */
function findings(text: string): readonly string[] {
  const { packages } = JSON.parse(text) as { readonly packages: Readonly<Record<string, LockedPackage>> };
  const installed = Object.entries(packages).filter(
    ([path, { link }]) => path.includes('node_modules/') && link !== true,
  );
  const unchecked = installed.filter(([, { integrity = '' }]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity));
  const placed = Object.entries(packages).filter(([, { resolved = '' }]) => resolved.includes(':'));
  return [
    ...unchecked.map(([path]) => `${path} has no integrity`),
    ...placed.map(([path]) => `${path} names where it comes from`),
  ];
}

describe('the lock files', () => {
  for (const file of LOCK_FILES) {
    it(`pin the bytes of every package, and no registry (${file})`, () => {
      const text = readFileSync(file, 'utf8');
      assert.deepEqual(findings(text), []);
    });
  }

  it('would be noticed without a hash, or with the address of a package', () => {
    const packages = {
      '': { name: 'beds' },
      'node_modules/a': { version: '1.0.0' },
      'node_modules/b': {
        version: '1.0.0',
        integrity: `sha512-${'A'.repeat(86)}==`,
        resolved: 'https://registry/b.tgz',
      },
      'node_modules/c': { resolved: 'sdk', link: true },
    };
    const wanted = ['node_modules/a has no integrity', 'node_modules/b names where it comes from'];
    assert.deepEqual(findings(JSON.stringify({ packages })), wanted);
  });
});
