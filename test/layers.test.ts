import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { layerFindings } from './support/layers.js';
import { sourceFiles, type SourceFile } from './support/source-files.js';

function planted(files: Readonly<Record<string, string>>): readonly SourceFile[] {
  return Object.entries(files).map(([path, text]) => ({ path, text }));
}

describe('the layers', () => {
  it('are kept by every file, in no circle', () => {
    assert.deepEqual(layerFindings(sourceFiles('.', ['host', 'sdk', 'plugins', 'test', 'bench'])), []);
  });

  const violations: readonly (readonly [string, Readonly<Record<string, string>>, RegExp])[] = [
    [
      'an upward import',
      { 'host/amqp/a.ts': "import { b } from '../request/b.js';" },
      /^host\/amqp\/a\.ts may not import host\/request\/b\.ts$/,
    ],
    ['an upward type import', { 'host/errors/a.ts': "import type { B } from '../config/b.js';" }, /may not import/],
    ['a type written as an import', { 'host/errors/a.ts': "type B = import('../config/b.js').B;" }, /may not import/],
    ['an upward export', { 'host/errors/a.ts': "export * from '../config/b.js';" }, /may not import/],
    ['an upward dynamic import', { 'host/errors/a.ts': "void import('../config/b.js');" }, /may not import/],
    ['an import of a neighbour', { 'host/amqp/a.ts': "import '../stores/b.js';" }, /may not import host\/stores/],
    [
      'a service that reads the configuration',
      { 'host/dev-servers/a.ts': "import '../config/b.js';" },
      /may not import/,
    ],
    ['an SDK that needs the host', { 'sdk/client/a.ts': "import '../../host/errors/b.js';" }, /may not import host/],
    ['a plugin that needs the host', { 'plugins/x/a.ts': "import '../../host/errors/b.js';" }, /may not import host/],
    ['a file outside of every layer', { 'host/stray.ts': '' }, /belongs to no layer/],
    [
      'a circle, even of types',
      {
        'host/amqp/a.ts': "import type { B } from './b.js';",
        'host/amqp/b.ts': "import type { C } from './c.js';",
        'host/amqp/c.ts': "import { a } from './a.js';",
      },
      /^host\/amqp\/a\.ts -> host\/amqp\/b\.ts -> host\/amqp\/c\.ts -> host\/amqp\/a\.ts is a circle$/,
    ],
  ];
  for (const [what, files, expected] of violations) {
    it(`forbid ${what}`, () => {
      const findings = layerFindings(planted(files));
      assert.equal(findings.length, 1, findings.join('\n'));
      assert.match(findings[0] ?? '', expected);
    });
  }

  it('allow what lies further down, the doors of the SDK, and packages', () => {
    const files = {
      'host/cli/a.ts': "import '../deploy/b.js'; import '@beds/sdk/build'; import 'pino'; import 'node:fs';",
      'host/errors/b.ts': "import type { E } from '@beds/sdk';",
    };
    assert.deepEqual(layerFindings(planted(files)), []);
  });
});
