import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { startAccounts, type Accounts, type AccountsClient, type StoreKind } from './support/accounts.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);

const PASSWORD = 'correct horse battery';
const WRONG = { code: 'BEDS_TEMPLATE_REFUSED', message: 'Name or password is wrong.' };
const TOO_MANY = { code: 'BEDS_TEMPLATE_REFUSED', message: /^Too many attempts\. Try again in \d+ s\.$/ };
const ENDED = { code: 'BEDS_TEMPLATE_REFUSED', message: 'The session has ended. Sign in again.' };

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

for (const kind of ['mysql', 'mongodb'] as const satisfies readonly StoreKind[]) {
  describe(`users and sessions, on ${kind}`, { timeout: 240_000 }, () => {
    const endings: (() => unknown)[] = [];
    after(async () => {
      for (const end of endings.toReversed()) await end();
    });
    let accounts: Accounts;
    let client: AccountsClient;
    before(async () => {
      accounts = await startAccounts({ after: (end) => void endings.push(end) }, kind, services);
      client = await accounts.connect();
    });
    const make = async (name: string, roles: readonly string[] = []): Promise<string> =>
      (await client.users.create({ name, password: PASSWORD, roles })).id;
    const resolve = (token: string): ReturnType<AccountsClient['sessions']['resolve']> =>
      client.sessions.resolve({ tokenHash: sha256(token) });
    const signIn = (name: string, password = PASSWORD): ReturnType<AccountsClient['sessions']['signIn']> =>
      client.sessions.signIn({ name, password, where: { address: name } });

    it('makes, shows, changes and removes users; a name is given once', async () => {
      const id = await make(' Ann ', ['editor']);
      const { rows } = await client.users.fetch({ key: id });
      const [ann] = rows;
      assert.deepEqual([ann?.name, ann?.roles, ann?.disabled], ['Ann', ['editor'], false]);
      assert.ok(!JSON.stringify(rows).includes('scrypt'), 'no hash is shown');
      await assert.rejects(make('ANN'), { code: 'BEDS_TEMPLATE_CONFLICT', message: 'The name is taken.' });
      assert.equal((await client.users.update(id, { name: 'Anna' })).name, 'Anna');
      assert.deepEqual((await client.users.setRoles({ id, roles: ['admin'] })).roles, ['admin']);
      await client.users.delete(id);
      assert.deepEqual((await client.users.fetch({ key: id })).rows, []);
      await assert.rejects(client.users.delete(id), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
      await assert.rejects(signIn('anna'), WRONG);
      await make('anna');
    });

    it('signs in by name and password, and resolves the token to who that is', async () => {
      const id = await make('bob', ['editor']);
      const grant = await client.sessions.signIn({
        ...{ name: 'Bob', password: PASSWORD, where: { address: '10.0.0.1', device: 'Firefox' } },
      });
      assert.match(grant.token, /^bs_[\w-]{43}$/);
      assert.deepEqual(grant.user, { id, name: 'bob', roles: ['editor'] });
      const found = await resolve(grant.token);
      assert.deepEqual(
        [found?.user, found?.session, found?.expiresAt, found?.idleUntil],
        [grant.user, grant.session, grant.expiresAt, grant.idleUntil],
      );
      assert.equal(await resolve('bs_nobody'), null);
      const [listed] = await client.sessions.list({ user: id });
      assert.deepEqual([listed?.id, listed?.place], [grant.session, { address: '10.0.0.1', device: 'Firefox' }]);
      assert.ok(!JSON.stringify(listed).includes(grant.token));
    });

    it('answers a wrong password, an unknown name and a disabled user alike', async () => {
      const id = await make('carl');
      await assert.rejects(signIn('carl', 'wrong password'), WRONG);
      await assert.rejects(signIn('nobody-of-this-name'), WRONG);
      await client.users.disable({ id });
      await assert.rejects(signIn('carl'), WRONG);
      await client.users.enable({ id });
      await signIn('carl');
    });

    it('slows down guessing at one name, also by many at once and after a restart, and no other name', async () => {
      await make('dora');
      await make('eve');
      const guesses = await Promise.allSettled(
        Array.from({ length: 30 }, (_, index) => signIn('dora', `guess number ${String(index)}`)),
      );
      const messages = guesses.map((guess) => (guess.status === 'rejected' ? String(guess.reason) : 'let in'));
      const tried = messages.filter((message) => message.includes('is wrong')).length;
      assert.ok(tried <= 6, `${String(tried)} of 30 guesses were tried: ${messages.join('; ')}`);
      await signIn('eve');
      // As if there had been more: what is to be waited for then is longer than a restart takes.
      await accounts.setFailures(12);
      await assert.rejects(signIn('dora'), TOO_MANY, 'the right password has to wait as well');
      await accounts.host.stop();
      accounts.host = await accounts.startAgain();
      await assert.rejects(signIn('dora'), TOO_MANY);
    });

    it('gives two tabs that refresh in one moment the same pair, and ends a session whose old token comes back', async () => {
      await make('fred');
      const first = await signIn('fred');
      const [one, other] = await Promise.all([
        client.sessions.refresh({ refresh: first.refresh }),
        client.sessions.refresh({ refresh: first.refresh }),
      ]);
      assert.deepEqual([one.token, one.refresh], [other.token, other.refresh]);
      assert.notEqual(one.token, first.token);
      assert.equal((await resolve(one.token))?.session, first.session);
      assert.equal((await resolve(first.token))?.session, first.session, 'what is under way goes on');
      const second = await client.sessions.refresh({ refresh: one.refresh });
      assert.equal(second.session, first.session);
      await assert.rejects(client.sessions.refresh({ refresh: first.refresh }), ENDED, 'it was replaced twice');
      assert.equal(await resolve(second.token), null, 'whoever has the newest is out as well');
      await assert.rejects(client.sessions.refresh({ refresh: second.refresh }), ENDED);
      await assert.rejects(client.sessions.refresh({ refresh: 'br_made-up' }), ENDED);
    });

    it('ends sessions: by sign-out, by revocation, all of a user, with a new password, with disabling', async () => {
      const id = await make('gina');
      const [a, b, c] = [await signIn('gina'), await signIn('gina'), await signIn('gina')];
      await client.sessions.signOut({ token: a.token });
      assert.equal(await resolve(a.token), null);
      await client.sessions.revoke({ session: b.session });
      assert.equal(await resolve(b.token), null);
      assert.equal((await resolve(c.token))?.user.id, id);
      await client.sessions.revokeAll({ user: id });
      assert.equal(await resolve(c.token), null);
      assert.deepEqual(await client.sessions.list({ user: id }), []);
      const d = await signIn('gina');
      await client.users.setPassword({ id, password: 'another long password' });
      assert.equal(await resolve(d.token), null);
      await assert.rejects(signIn('gina'), WRONG);
      const e = await signIn('gina', 'another long password');
      await client.users.disable({ id });
      assert.equal(await resolve(e.token), null);
      await assert.rejects(client.sessions.refresh({ refresh: e.refresh }), ENDED);
    });
  });
}
