import assert from 'node:assert/strict';
import { Session } from 'node:inspector';
import { describe, it } from 'node:test';
import { loadConverted } from '../host/template/compile.js';
import { convertBundle } from '../host/template/convert.js';
import { debuggedSources, forDebugger } from '../host/template/debugged-sources.js';

const MANIFEST = { domain: 'songs', version: '1.0.0' } as const;
const MAP = JSON.stringify({ version: 3, sources: ['template.ts', '../shared/text.ts'], names: [], mappings: 'AAAA' });

/** What a debugger is told of the code that a thread compiles. */
function sourceMapUrlOf(code: string): string {
  const session = new Session();
  let url = '';
  session.connect();
  session.on('Debugger.scriptParsed', ({ params }) => {
    if (params.url === 'beds://songs@1.0.0/index.js') url = params.sourceMapURL ?? '';
  });
  session.post('Debugger.enable');
  loadConverted({ code, manifest: MANIFEST });
  session.disconnect();
  return url;
}

describe('a domain whose author has attached a debugger', () => {
  it('is compiled with a source map that names the files of the author', async (t) => {
    debuggedSources.set('songs', 'file:///home/me/songs/');
    t.after(() => debuggedSources.clear());
    const { code } = forDebugger('songs', await convertBundle('export default 7;\n', MAP));
    const [, encoded = ''] = sourceMapUrlOf(code).split('base64,');
    const { sources } = JSON.parse(Buffer.from(encoded, 'base64').toString()) as {
      readonly sources: readonly string[];
    };
    assert.deepEqual(sources, ['file:///home/me/songs/template.ts', 'file:///home/me/shared/text.ts']);
  });

  it('is the only one: any other is compiled as ever', async () => {
    const converted = await convertBundle('export default 7;\n', MAP);
    assert.equal(forDebugger('songs', converted), converted);
    assert.equal(sourceMapUrlOf(converted.code), '');
  });
});
