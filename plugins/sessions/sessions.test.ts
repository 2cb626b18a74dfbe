import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { familyOf, newPair, newSalt, nextPair } from './tokens.js';

describe('tokens of sessions', () => {
  it('are 256 bits of chance, of a form that tells them apart', () => {
    const { token, refresh } = newPair();
    assert.match(token, /^bs_[\w-]{43}$/);
    assert.match(refresh, /^br_[\w-]{64}$/);
    assert.notEqual(newPair().token, token);
  });

  it('of the next pair follow from the refresh token and the salt together', () => {
    const { refresh } = newPair();
    const salt = newSalt();
    assert.deepEqual(nextPair(refresh, salt), nextPair(refresh, salt));
    assert.notDeepEqual(nextPair(refresh, salt), nextPair(refresh, newSalt()));
    assert.notDeepEqual(nextPair(refresh, salt), nextPair(newPair().refresh, salt));
  });

  it('name their session, of whatever age they are', () => {
    const { refresh } = newPair();
    const next = nextPair(refresh, newSalt());
    assert.equal(familyOf(next.refresh), familyOf(refresh));
    assert.notEqual(familyOf(newPair().refresh), familyOf(refresh));
    for (const wrong of ['', 'br_', 'bs_abc', `bs_${refresh.slice(3)}`, `${refresh}AA`]) {
      assert.equal(familyOf(wrong), undefined, wrong);
    }
  });
});
