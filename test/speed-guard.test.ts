import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { runBench } from './support/run-bench.js';
import { temporaryDirectory } from './support/services.js';

const FIGURES = ['dispatch: time', 'dispatch: heap', 'client: time', 'client: heap'];

const temporaryFiles = temporaryDirectory({ after });

describe('an operation', () => {
  it('costs what bench/guard/reference.json says, within its bounds (npm run bench -- guard --renew, where it is meant)', async (t) => {
    const { code, out, err } = await runBench(t, ['guard'], { temporaryFiles });
    assert.equal(code, 0, `${out}${err}`);
    assert.ok(FIGURES.every((figure) => out.includes(figure)));
    assert.deepEqual(readdirSync(temporaryFiles), []);
  });

  it('that is done twice is reported to cost more, in each figure', async (t) => {
    const { code, out, err } = await runBench(t, ['guard', '--handicap', '2', '--attempts', '1'], { temporaryFiles });
    assert.equal(code, 1, `${out}${err}`);
    for (const figure of FIGURES) assert.match(err, new RegExp(`regression of ${figure}`), `${out}${err}`);
  });

  it('is compared with a reference that was renewed, and with none only on request', async (t) => {
    const places = { projectRoot: temporaryDirectory(t), temporaryFiles };
    const without = await runBench(t, ['guard'], places);
    assert.equal(without.code, 1);
    assert.match(without.err, /no reference yet; make one with --renew/);
    const renewed = await runBench(t, ['guard', '--renew', '--attempts', '1'], places);
    assert.equal(renewed.code, 0, renewed.err);
    const { byNodeMajor } = JSON.parse(
      readFileSync(join(places.projectRoot, 'bench', 'guard', 'reference.json'), 'utf8'),
    ) as { readonly byNodeMajor: Readonly<Record<string, { readonly node: string }>> };
    assert.deepEqual(
      Object.values(byNodeMajor).map(({ node }) => node),
      [process.version],
    );
    const again = await runBench(t, ['guard'], places);
    assert.equal(again.code, 0, `${again.out}${again.err}`);
  });
});
