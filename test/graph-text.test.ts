import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { brailleGraph, sparkline } from '../host/cli/graph-text.js';

describe('a graph in the terminal', () => {
  it('is as high as its highest value, in one line or in dots', () => {
    assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8), '▁▂▃▄▅▆▇█');
    assert.deepEqual(brailleGraph([4, 8], { width: 1, height: 2 }), ['⢸', '⣿']);
  });

  it('shows where nothing is known, which is not the same as nothing', () => {
    assert.equal(sparkline([undefined, 0, 5], 3), ' ▁█');
    assert.deepEqual(brailleGraph([undefined, 0], { width: 1, height: 1 }), ['⢀']);
  });

  it('loses no peak where points fall together', () => {
    const values = Array.from({ length: 100 }, (_, index) => (index === 42 ? 9 : 1));
    assert.equal(sparkline(values, 10), '▁▁▁▁█▁▁▁▁▁'.replaceAll('▁', sparkline([1, 9], 2)[0] ?? ''));
  });
});
