import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { testDomain, type FakesOf } from '@beds/sdk/testing';
import { keyOf } from './new-user.js';
import { comparePassword, hashPassword } from './password.js';
import template from './template.js';

const PASSWORD = 'correct horse battery';
/** Of another password, and quickly compared. */
const CHEAP = 'scrypt$10$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const ann = { id: 'u1', name: 'Ann', roles: ['editor'], disabled: false, sessions_after: 0 };

const OPERATOR = { id: 'o1', roles: ['operator'], session: 's1' };

type Fakes = FakesOf<typeof template>;

/** A store of one user, and of the attempts at his name; `cleared` counts who was let in. */
function fakes(kept: string, counted: { failures: number; failed_at: number }, cleared: number[] = []): Fakes {
  const id = createHash('sha256').update('name\0ann').digest('hex');
  return {
    user: OPERATOR,
    views: { attempts: [{ id, ...counted }] },
    objects: {
      secret: ({ name_key: key }) => (key === 'ann' ? { ...ann, password: kept } : undefined),
      attemptTake: () => 1,
      attemptAdd: () => 1,
      attemptPurge: () => 0,
      attemptClear: () => cleared.push(1),
    },
  };
}

describe('users', () => {
  it('keeps of a password what cannot be turned back, another one each time', async () => {
    const [one, other] = [await hashPassword(PASSWORD), await hashPassword(PASSWORD)];
    assert.match(one, /^scrypt\$15\$8\$3\$[\w-]{22}\$[\w-]{43}$/);
    assert.notEqual(one, other);
    assert.deepEqual(await comparePassword(PASSWORD, one), { isRight: true, isOutdated: false });
    assert.equal((await comparePassword(`${PASSWORD} `, one)).isRight, false);
    assert.equal((await comparePassword(PASSWORD, undefined)).isRight, false);
    assert.deepEqual(await comparePassword(PASSWORD, CHEAP), { isRight: false, isOutdated: true });
  });

  it('verifies a name in any writing, and says of all that is wrong the same', async () => {
    const counted = { failures: 3, failed_at: Date.now() };
    const cleared: number[] = [];
    const users = testDomain(template, fakes(await hashPassword(PASSWORD), counted, cleared));
    const { disabled: _, ...shown } = ann;
    assert.deepEqual(await users.verify({ name: ' ANN', password: PASSWORD }), shown);
    assert.equal(cleared.length, 1, 'who is let in begins anew');
    const wrong = { code: 'BEDS_TEMPLATE_REFUSED', message: 'Name or password is wrong.' };
    await assert.rejects(users.verify({ name: 'ann', password: 'wrong password' }), wrong);
    await assert.rejects(users.verify({ name: 'nobody', password: PASSWORD }), wrong);
  });

  it('counts those who try by their network: an IPv6 address by its /64, an IPv4 address however it is written', async () => {
    const callerOf = async (address: string): Promise<string> => {
      const counted: string[] = [];
      const { objects, ...rest } = fakes(CHEAP, { failures: 0, failed_at: 0 });
      const attemptAdd = ({ id }: { readonly id: string }): number => counted.push(id);
      const users = testDomain(template, { ...rest, objects: { ...objects, attemptAdd } });
      await assert.rejects(users.verify({ name: 'ann', password: 'wrong password', address }));
      assert.equal(counted.length, 1);
      return counted[0] ?? '';
    };
    const same = [
      ['2001:db8:0:7::1', '2001:DB8:0:7:ffff:1:2:3', '2001:0db8::7:a:b:c:d', '2001:db8:0:7:0:0:192.0.2.1'],
      ['192.0.2.9', '::ffff:192.0.2.9', '::FFFF:c000:209', '0:0:0:0:0:ffff:192.0.2.9'],
      ['fe80::1%eth0', 'fe80::2%eth1'],
    ];
    const ids: string[] = [];
    for (const addresses of same) {
      const [first, ...others] = await Promise.all(addresses.map(callerOf));
      for (const other of others) assert.equal(other, first, addresses.join());
      ids.push(first ?? '');
    }
    for (const address of ['2001:db8:0:8::1', '192.0.2.8', '::ffff:192.0.2.8:1', 'a lane in Bern', ''])
      ids.push(await callerOf(address));
    assert.equal(new Set(ids).size, ids.length);
  });

  it('waits longer with each failure beyond the fifth, at most a quarter of an hour, and forgets after an hour', async () => {
    const kept = await hashPassword(PASSWORD);
    const asked = (failures: number, agoMs: number): Promise<unknown> => {
      const counted = { failures, failed_at: Date.now() - agoMs };
      return testDomain(template, fakes(kept, counted)).verify({ name: 'ann', password: PASSWORD });
    };
    await asked(4, 0);
    await assert.rejects(asked(5, 0), /Try again in 1 s/);
    await assert.rejects(asked(8, 0), /Try again in 8 s/);
    await assert.rejects(asked(40, 0), /Try again in 900 s/);
    await asked(8, 8_100);
    await asked(40, 3_600_100);
  });

  it('counts anew for a caller whose failures were forgotten', async () => {
    const cleared: string[] = [];
    const callerId = createHash('sha256').update('caller\0test\0').digest('hex');
    const asked = async (agoMs: number): Promise<void> => {
      const counted = { id: callerId, failures: 29, failed_at: Date.now() - agoMs };
      const { objects } = fakes(CHEAP, { failures: 0, failed_at: 0 });
      const attemptClear = ({ id }: { readonly id: string }): unknown => cleared.push(id);
      const users = testDomain(template, {
        ...{ user: OPERATOR, views: { attempts: [counted] } },
        objects: { ...objects, attemptClear },
      } as Fakes);
      await assert.rejects(users.verify({ name: 'ann', password: 'wrong password' }), /is wrong/);
    };
    await asked(1_000);
    assert.deepEqual(cleared, []);
    await asked(3_600_100);
    assert.deepEqual(cleared, [callerId]);
  });

  it('sets a password by a token in one write, with the end of all sessions and what others are told of it', async () => {
    const writes: Record<string, unknown>[] = [];
    const asked: string[] = [];
    const endedBefore = Date.now() + 600_000;
    const { objects } = fakes('', { failures: 0, failed_at: 0 });
    const byReset = ({ reset_hash: hash }: { readonly reset_hash: string }): unknown => {
      asked.push(hash);
      return asked.length === 1 ? undefined : { id: 'u1', sessions_after: endedBefore };
    };
    const resetPassword = (write: Record<string, unknown>): unknown => {
      writes.push(write);
      const { sessions_after: _, ...shown } = ann;
      return writes.length === 1 ? { ...shown, created_at: 1, password_at: 2 } : undefined;
    };
    const users = testDomain(template, { objects: { ...objects, byReset, resetPassword } } as Fakes);
    const reset = (): Promise<unknown> => users.reset({ token: 'bp_x', password: PASSWORD });
    const unusable = { code: 'BEDS_TEMPLATE_REFUSED', message: 'The token is wrong, was used, or is too old.' };
    await assert.rejects(reset(), unusable);
    await reset();
    await assert.rejects(reset(), unusable, 'another one was quicker');
    const [{ sessions_after: endedUntil, event } = {}] = writes;
    assert.ok(Number(endedUntil) > endedBefore, 'not before what has ended already');
    const told = String(event)
      .split('\n')
      .map((line) => JSON.parse(line) as { readonly topic: string; readonly data: unknown });
    assert.deepEqual(
      told.map(({ topic, data }) => [topic, data]),
      [
        ['user.changed', { user: 'u1', what: 'password' }],
        ['session.revoked', { user: 'u1' }],
      ],
    );
  });

  it('takes names for the same that nobody can tell apart, and refuses what is none', async () => {
    for (const same of ['ANN', ' ann ', '\uff41nn', 'ann\u200b', 'a\u00adnn', '\u2060ann'])
      assert.equal(keyOf(same), 'ann');
    const users = testDomain(template, { user: OPERATOR });
    for (const none of ['', ' ', '\u200b', 'a\0', 'a\nb']) {
      const refusal = { code: 'BEDS_TEMPLATE_REFUSED', message: /^A name has/ };
      await assert.rejects(users.create({ name: none, password: PASSWORD }), refusal, JSON.stringify(none));
      await assert.rejects(users.update('u1', { name: none }), refusal, JSON.stringify(none));
    }
  });

  it('refuses passwords that are too short', async () => {
    const users = testDomain(template, { user: OPERATOR });
    await assert.rejects(users.create({ name: 'Ann', password: '1234567' }), { code: 'BEDS_TEMPLATE_REFUSED' });
  });
});
