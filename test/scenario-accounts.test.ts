import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { JsonObject } from '@beds/sdk';
import { connect } from 'amqplib';
import { startAccounts, type Accounts, type AccountsClient, type StoreKind } from './support/accounts.js';
import { eventually } from './support/eventually.js';
import { startHostProcess } from './support/host-process.js';
import { installPika } from './support/pika-caller.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);

const PASSWORD = 'correct horse battery';
const WRONG = { code: 'BEDS_TEMPLATE_REFUSED', message: 'Name or password is wrong.' };
const TOO_MANY = { code: 'BEDS_TEMPLATE_REFUSED', message: /^Too many attempts\. Try again in \d+ s\.$/ };
const ENDED = { code: 'BEDS_TEMPLATE_REFUSED', message: 'The session has ended. Sign in again.' };

for (const kind of ['mysql', 'mongodb'] as const satisfies readonly StoreKind[]) {
  describe(`users and sessions, on ${kind}`, { timeout: 240_000 }, () => {
    const endings: (() => unknown)[] = [];
    after(async () => {
      for (const end of endings.toReversed()) await end();
    });
    let accounts: Accounts;
    let client: AccountsClient;
    before(async () => {
      accounts = await startAccounts({ after: (end) => void endings.push(end) }, kind, { services });
      client = await accounts.connect();
    });
    /** The session of an operator. */
    let operator = { session: '' };
    before(async () => {
      await accounts.makeUser({ name: 'Root', password: PASSWORD, roles: ['operator'] });
      operator = { session: (await signIn('root')).token };
    });
    const make = async (name: string, roles: readonly string[] = []): Promise<string> =>
      (await client.users.create({ name, password: PASSWORD, roles }, operator)).id;
    /** Who a domain sees by a token; null: nobody. */
    const seen = async (token: string): Promise<{ readonly id: string; readonly session: string } | null> => {
      try {
        return (await client.domain('seen').call('who', {}, { session: token })) as never;
      } catch (error) {
        assert.equal((error as { readonly code?: unknown }).code, 'BEDS_REQUEST_SIGN_IN');
        return null;
      }
    };
    const signIn = (name: string, password = PASSWORD): ReturnType<AccountsClient['sessions']['signIn']> =>
      client.sessions.signIn({ name, password, where: { address: name } });

    it('makes, shows, changes and removes users; a name is given once', async () => {
      const id = await make(' Ann ', ['editor']);
      const { rows } = await client.users.fetch({ key: id }, operator);
      const [ann] = rows;
      assert.deepEqual([ann?.name, ann?.roles, ann?.disabled], ['Ann', ['editor'], false]);
      assert.ok(!JSON.stringify(rows).includes('scrypt'), 'no hash is shown');
      await assert.rejects(make('ANN'), { code: 'BEDS_TEMPLATE_CONFLICT', message: 'The name is taken.' });
      assert.equal((await client.users.update(id, { name: 'Anna' }, operator)).name, 'Anna');
      assert.deepEqual((await client.users.setRoles({ id, roles: ['admin'] }, operator)).roles, ['admin']);
      await client.users.delete(id, operator);
      assert.deepEqual((await client.users.fetch({ key: id }, operator)).rows, []);
      await assert.rejects(client.users.delete(id, operator), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
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
      assert.deepEqual(await seen(grant.token), { ...grant.user, session: grant.session });
      assert.equal(await seen('bs_nobody'), null);
      const [listed] = await client.sessions.list({ user: id }, operator);
      assert.deepEqual([listed?.id, listed?.place], [grant.session, { address: '10.0.0.1', device: 'Firefox' }]);
      assert.ok(!JSON.stringify(listed).includes(grant.token));
    });

    it('answers a wrong password, an unknown name and a disabled user alike', async () => {
      const id = await make('carl');
      await assert.rejects(signIn('carl', 'wrong password'), WRONG);
      await assert.rejects(signIn('nobody-of-this-name'), WRONG);
      await client.users.disable({ id }, operator);
      await assert.rejects(signIn('carl'), WRONG);
      await client.users.enable({ id }, operator);
      await signIn('carl');
    });

    it('sends so many resets for a name and no more, says nothing of that, and keeps the last token good', async () => {
      const events = await listen(accounts);
      endings.push(() => events.close());
      const [id] = [await make('rosa'), await make('rolf')];
      await accounts.setFailures(0);
      const ask = (name: string, address = 'rosa'): Promise<unknown> => client.users.askReset({ name, address });
      for (let time = 0; time < 3; time += 1) assert.deepEqual(await ask('ROSA'), {});
      // As if there had been more: what is to be waited for then is longer than this test takes.
      const tokens: string[] = [];
      for (let time = 0; time < 3; time += 1) {
        const { data } = await events.next(
          ({ topic, data }) => topic === 'password.reset-asked' && data['user'] === id,
        );
        tokens.push(String(data['token']));
      }
      await accounts.setFailures(12);
      const many = Array.from({ length: 8 }, () => Promise.all([ask('rosa'), ask('nobody of this name', 'x')]));
      for (const answers of await Promise.all(many)) assert.deepEqual(answers, [{}, {}]);
      await accounts.setFailures(0);
      await ask('rolf');
      await events.next(({ topic, data }) => topic === 'password.reset-asked' && data['name'] === 'rolf');
      assert.deepEqual(
        events.heard(({ topic, data }) => topic === 'password.reset-asked' && data['user'] === id),
        [],
      );
      await client.users.reset({ token: tokens[2] ?? '', password: 'a password by mail' });
      await accounts.setFailures(107);
      await assert.rejects(ask('another'), TOO_MANY, 'a caller is told');
      await accounts.setFailures(0);
      await signIn('rosa', 'a password by mail');
    });

    it('knows names apart, and as the same, however long their common form is', async () => {
      // n.b. each of these letters becomes eighteen.
      const long = (last: string): string => `${'\ufdfa'.repeat(99)}${last}`;
      const [one, other] = [await make(long('a')), await make(long('b'))];
      assert.notEqual(one, other);
      await assert.rejects(make(long('A')), { code: 'BEDS_TEMPLATE_CONFLICT' });
      const spelledOut = (await signIn(long('A'))).user;
      assert.deepEqual([spelledOut.id, spelledOut.name], [one, long('a')]);
      assert.equal((await signIn(long('b'))).user.id, other);
      await client.users.update(one, { name: 'short again' }, operator);
      await assert.rejects(signIn(long('a')), WRONG);
      assert.equal((await signIn('SHORT again')).user.id, one);
    });

    it('ends all sessions of a user, whatever clock the host had that began them, and none that begins later', async () => {
      const id = await make('mia');
      const token = `bs_${'m'.repeat(40)}mia`;
      const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
      const [ahead, later] = [Date.now() + 30_000, Date.now() + 1_800_000];
      await accounts.write('session_insert', {
        ...{ id: randomUUID(), user_id: id, place: { address: null, device: null } },
        ...{
          family_hash: sha256(`family ${kind}`),
          token_hash: sha256(token),
          refresh_hash: sha256(`refresh ${kind}`),
        },
        ...{ created_at: ahead, token_until: later, idle_until: later, expires_at: later },
      });
      assert.equal((await seen(token))?.id, id);
      const before = await signIn('mia');
      await client.sessions.revokeAll({ user: id }, operator);
      assert.deepEqual([await seen(token), await seen(before.token)], [null, null]);
      for (let time = 0; time < 2; time += 1) {
        const since = await signIn('mia');
        assert.equal((await seen(since.token))?.id, id, 'who signs in after that is in');
        assert.equal((await client.sessions.list({ user: id }, operator)).length, 1);
        await client.sessions.revokeAll({ user: id }, operator);
        assert.equal(await seen(since.token), null);
      }
    });

    it('brings no session back because the clock of who ends all of them last is behind', async () => {
      const id = await make('otis');
      const change = (changes: JsonObject): Promise<void> =>
        accounts.write('user_change', { ...NO_CHANGE, id, ...changes });
      const ahead = Date.now() + 300_000;
      await change({ sessions_after: ahead });
      const first = await signIn('otis');
      await change({ sessions_after: ahead + 1 });
      await change({ sessions_after: Date.now() });
      assert.equal(await seen(first.token), null, 'after a change');
      const second = await signIn('otis');
      const reset_hash = createHash('sha256').update(`reset ${kind}`).digest('hex');
      await change({ sessions_after: ahead + 2, reset_hash, reset_until: ahead });
      const now = Date.now();
      const event = JSON.stringify({ id: 'otis-1', topic: 'user.changed', at: now, data: { user: id } });
      await accounts.write('user_reset', { reset_hash, now, password: 'none', sessions_after: now, event });
      assert.equal(await seen(second.token), null, 'after a reset');
    });

    it('takes a role away from who is signed in, at once', async () => {
      const id = await make('nora', ['operator']);
      const nora = { session: (await signIn('nora')).token };
      await client.users.fetch({}, nora);
      await client.users.setRoles({ id, roles: [] }, operator);
      await eventually(
        'she may do it no more',
        async () => {
          const asked = client.users.fetch({}, nora).then(
            () => 'done',
            (error: unknown) => (error as { readonly code?: unknown }).code,
          );
          return (await asked) === 'BEDS_REQUEST_FORBIDDEN';
        },
        2_000,
      );
      assert.equal((await seen(nora.session))?.id, id, 'and is signed in');
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

    it('slows down who tries one password for many names, also by many at once', async () => {
      const guess = (name: string): Promise<string> =>
        client.sessions
          .signIn({ name, password: 'summer 2026', where: { address: '192.0.2.77' } })
          .then(() => 'let in', String);
      assert.match(await guess('name'), /is wrong/);
      // As if there had been more: three more are free.
      await accounts.setFailures(27);
      const beganMs = performance.now();
      const said = await Promise.all(Array.from({ length: 60 }, (_, index) => guess(`name ${String(index)}`)));
      const tried = said.filter((words) => words.includes('is wrong')).length;
      // n.b. one may be under way in the other thread when the last free one fails; then each has to wait twice as long as the one before.
      const most = 4 + Math.ceil(Math.log2(1 + (performance.now() - beganMs) / 1_000));
      assert.ok(tried >= 3 && tried <= most, `${String(tried)} of 60 guesses were tried: ${said.join('; ')}`);
      assert.equal(said.filter((words) => words.includes('Too many attempts')).length, 60 - tried);
      await accounts.setFailures(0);
    });

    it('takes over no token that whoever signs in brings with him, and leaves all other sessions as they are', async () => {
      const [olga, mallory] = [await make('olga'), await make('mallory')];
      const theirs = await signIn('mallory');
      const before = await signIn('olga');
      const asked = { name: 'olga', password: PASSWORD };
      const grant = await client.sessions.signIn(asked, { session: theirs.token });
      const all = [grant, before, theirs].flatMap(({ token, refresh, session }) => [token, refresh, session]);
      assert.equal(new Set(all).size, 9, 'each session has tokens of its own');
      assert.equal((await seen(grant.token))?.id, olga);
      assert.deepEqual((await seen(theirs.token))?.id, mallory, 'what was brought is whose it was');
      assert.equal((await seen(before.token))?.session, before.session, 'and the other session of the user goes on');
      const next = await client.sessions.refresh({ refresh: grant.refresh }, { session: theirs.token });
      assert.deepEqual([next.session, next.user.id], [grant.session, olga]);
      assert.equal((await seen(theirs.token))?.session, theirs.session);

      const madeUp = `bs_${'F'.repeat(43)}`;
      await assert.rejects(client.sessions.signIn(asked, { session: madeUp }), { code: 'BEDS_REQUEST_SIGN_IN' });
      for (const brought of [
        { token: madeUp },
        { refresh: `br_${'F'.repeat(64)}` },
        { session: theirs.session },
        { id: theirs.session },
        { where: { address: 'x', token: madeUp } },
      ]) {
        const refused = client.sessions.signIn({ ...asked, ...brought });
        await assert.rejects(refused, { code: 'BEDS_REQUEST_INVALID' }, JSON.stringify(brought));
      }
      assert.equal(await seen(madeUp), null);
      assert.equal((await client.sessions.list({ user: olga }, operator)).length, 2);
    });

    it('gives tabs that refresh on two nodes in one moment the same pair, and ends the session whose old token comes back', async (t) => {
      const second = startHostProcess(
        t,
        { ...accounts, pluginsDirectory: join(accounts.projectRoot, 'plugins') },
        { node: { name: `${accounts.prefix}-2`, roles: ['tercero'] }, state: { directory: '.beds-2' } },
      );
      await second.serving;
      const tabs = await Promise.all(Array.from({ length: 4 }, () => accounts.connect({ batching: false })));
      await make('frida');
      let rounds = 0;
      const refreshed = async (
        refresh: string,
      ): Promise<readonly { token: string; node: string; refresh: string }[]> => {
        rounds += 1;
        const replies = await Promise.all(
          tabs.map((tab, index) =>
            tab.request({
              ...{ v: 1, id: `${String(rounds)}-${String(index)}`, domain: 'sessions', op: 'refresh' },
              ...{ payload: { refresh }, meta: { deadlineMs: 20_000 } },
            }),
          ),
        );
        return replies.map((reply) => {
          assert.ok(reply.ok, JSON.stringify(reply));
          const { token, refresh: next } = reply.data as { readonly token: string; readonly refresh: string };
          return { token, refresh: next, node: reply.by.node };
        });
      };
      let first = await signIn('frida');
      let answers = await refreshed(first.refresh);
      for (; new Set(answers.map(({ node }) => node)).size < 2 && rounds < 30;) {
        first = await signIn('frida');
        answers = await refreshed(first.refresh);
      }
      assert.equal(new Set(answers.map(({ node }) => node)).size, 2, 'both nodes refreshed it');
      assert.equal(new Set(answers.map(({ token, refresh }) => `${token} ${refresh}`)).size, 1);
      const { token = '', refresh = '' } = answers[0] ?? {};
      assert.equal((await seen(token))?.session, first.session);
      const later = await client.sessions.refresh({ refresh });
      await assert.rejects(client.sessions.refresh({ refresh: first.refresh }), ENDED);
      for (const ended of [token, later.token, first.token]) assert.equal(await seen(ended), null);
      await assert.rejects(client.sessions.refresh({ refresh: later.refresh }), ENDED);
      await second.stop();
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
      assert.equal((await seen(one.token))?.session, first.session);
      assert.equal((await seen(first.token))?.session, first.session, 'what is under way goes on');
      const second = await client.sessions.refresh({ refresh: one.refresh });
      assert.equal(second.session, first.session);
      await assert.rejects(client.sessions.refresh({ refresh: first.refresh }), ENDED, 'it was replaced twice');
      assert.equal(await seen(second.token), null, 'whoever has the newest is out as well');
      await assert.rejects(client.sessions.refresh({ refresh: second.refresh }), ENDED);
      await assert.rejects(client.sessions.refresh({ refresh: 'br_made-up' }), ENDED);
    });

    it('ends sessions: by sign-out, by revocation, all of a user, with a new password, with disabling', async () => {
      const id = await make('gina');
      const [a, b, c] = [await signIn('gina'), await signIn('gina'), await signIn('gina')];
      await client.sessions.signOut({ token: a.token });
      assert.equal(await seen(a.token), null);
      await client.sessions.revoke({ session: b.session }, operator);
      assert.equal(await seen(b.token), null);
      assert.equal((await seen(c.token))?.id, id);
      await client.sessions.revokeAll({ user: id }, operator);
      assert.equal(await seen(c.token), null);
      assert.deepEqual(await client.sessions.list({ user: id }, operator), []);
      const d = await signIn('gina');
      await client.users.setPassword({ id, password: 'another long password' }, operator);
      assert.equal(await seen(d.token), null);
      await assert.rejects(signIn('gina'), WRONG);
      const own = await signIn('gina', 'another long password');
      const change = (old: string): Promise<unknown> =>
        client.users.changePassword({ old, password: 'a password of her own' }, { session: own.token });
      await assert.rejects(change(PASSWORD), WRONG);
      await change('another long password');
      assert.equal(await seen(own.token), null);
      const e = await signIn('gina', 'a password of her own');
      await client.users.disable({ id }, operator);
      assert.equal(await seen(e.token), null);
      await assert.rejects(client.sessions.refresh({ refresh: e.refresh }), ENDED);
    });

    it('has its first operator made at a terminal, with a password that is read and never shown', async () => {
      const made = await createUser(accounts, { name: 'Boss', password: PASSWORD });
      assert.equal(made.code, 0, made.printed);
      assert.ok(!made.printed.includes(PASSWORD));
      const { user } = await signIn('boss');
      assert.deepEqual(user.roles, ['operator', 'editor']);
      const again = await createUser(accounts, { name: 'BOSS', password: PASSWORD });
      assert.deepEqual([again.code, again.printed.includes('The name is taken.')], [64, true], again.printed);
      const short = await createUser(accounts, { name: 'another', password: '1234567' });
      assert.notEqual(short.code, 0);
      assert.match(short.printed, /at least 8 characters/);
    });

    it('shows nothing of a password that is typed at a terminal', async () => {
      const { code, printed } = await createUser(accounts, { name: 'terry', password: PASSWORD, isTyped: true });
      assert.equal(code, 0, printed);
      assert.match(printed, /it is not shown[^]*user terry /);
      for (const part of PASSWORD.split(' ')) assert.ok(!printed.includes(part), printed);
      await signIn('terry');
    });

    it('lets nobody do what is not his: neither without a session, nor with one that has no role', async () => {
      const id = await make('hans');
      const { token: session } = await signIn('hans');
      const other = await make('ina');
      const hers = await signIn('ina');
      await assert.rejects(client.users.create({ name: 'x', password: PASSWORD }), { code: 'BEDS_REQUEST_SIGN_IN' });
      for (const refused of [
        () => client.users.create({ name: 'x', password: PASSWORD, roles: ['operator'] }, { session }),
        () => client.users.setRoles({ id, roles: ['operator'] }, { session }),
        () => client.users.verify({ name: 'ina', password: PASSWORD }, { session }),
        () => client.users.fetch({}, { session }),
        () => client.users.outbox({}, operator),
        () => client.sessions.resolve({ tokenHash: 'a' }, operator),
        () => client.sessions.list({ user: other }, { session }),
        () => client.sessions.revokeAll({ user: other }, { session }),
      ]) {
        await assert.rejects(refused(), { code: 'BEDS_REQUEST_FORBIDDEN' });
      }
      await make('dagmar', ['dba', 'viewer', 'Operator']);
      const dba = { session: (await signIn('dagmar')).token };
      for (const refused of [
        () => client.users.create({ name: 'x', password: PASSWORD }, dba),
        () => client.users.fetch({}, dba),
        () => client.sessions.revokeAll({ user: other }, dba),
      ]) {
        await assert.rejects(refused(), { code: 'BEDS_REQUEST_FORBIDDEN' }, 'a dba is no operator by that');
      }
      const unknown = { code: 'BEDS_TEMPLATE_NOT_FOUND', message: 'There is no such session.' };
      await assert.rejects(client.sessions.revoke({ session: hers.session }, { session }), unknown);
      await assert.rejects(client.sessions.revoke({ session: 'made-up' }, { session }), unknown);
      assert.equal((await client.sessions.list({ user: id }, { session })).length, 1);
    });

    it('signs in, goes on with the next token and signs out in Python', async (t) => {
      const pika = await installPika(temporaryDirectory(t));
      if ('whyNot' in pika) {
        t.skip(pika.whyNot);
        return;
      }
      const name = `python ${kind}`;
      const id = await make(name, ['editor']);
      const clients = fileURLToPath(new URL('../../sdk/docs/clients/', import.meta.url));
      const args = ['-c', IN_PYTHON, accounts.amqpUrl, `${accounts.prefix}.request`, name, PASSWORD];
      const env = { ...process.env, PYTHONPATH: `${pika.packages}:${clients}`, PYTHONDONTWRITEBYTECODE: '1' };
      const { stdout } = await promisify(execFile)('python3', args, { env, timeout: 60_000 });
      assert.deepEqual(JSON.parse(stdout), { id, name, roles: ['editor'] });
      assert.deepEqual(await client.sessions.list({ user: id }, operator), [], 'the session has ended');
    });

    it('answers who ends a session once more as the first time, and tells others once', async () => {
      const events = await listen(accounts);
      endings.push(() => events.close());
      await make('kay');
      await make('lou');
      const [own, other] = [await signIn('kay'), await signIn('kay')];
      const stranger = { session: (await signIn('lou')).token };
      const { session } = other;
      // n.b. as RabbitMQ delivers again what a host had carried out when it was lost.
      for (let time = 0; time < 3; time += 1) {
        assert.deepEqual(await client.sessions.revoke({ session }, { session: own.token }), {});
        assert.deepEqual(await client.sessions.revoke({ session }, operator), {});
      }
      const unknown = { code: 'BEDS_TEMPLATE_NOT_FOUND', message: 'There is no such session.' };
      await assert.rejects(client.sessions.revoke({ session }, stranger), unknown);
      // Also who ended his own session by that, and is nobody by now; nobody else learns of it.
      const [mine, later] = [await signIn('kay'), await signIn('kay')];
      const refusal = { code: 'BEDS_REQUEST_SIGN_IN' };
      for (let time = 0; time < 3; time += 1) {
        assert.deepEqual(await client.sessions.revoke({ session: mine.session }, { session: mine.token }), {});
      }
      for (const session of [later.session, own.session, 'no such session'])
        await assert.rejects(client.sessions.revoke({ session }, { session: mine.token }), refusal);
      await assert.rejects(
        client.sessions.revoke({ session: mine.session }, { session: `bs_${'A'.repeat(43)}` }),
        refusal,
      );
      await assert.rejects(client.sessions.revokeAll({ user: mine.user.id }, { session: mine.token }), refusal);
      await assert.rejects(client.sessions.list({ user: mine.user.id }, { session: mine.token }), refusal);
      for (let time = 0; time < 3; time += 1) {
        const again = { session: later.token };
        assert.deepEqual(await client.sessions.revokeAll({ user: later.user.id }, again), {});
      }
      const since = await signIn('kay');
      assert.deepEqual(await client.sessions.revokeAll({ user: later.user.id }, { session: later.token }), {});
      await assert.doesNotReject(
        client.sessions.list({ user: since.user.id }, { session: since.token }),
        'what began since goes on',
      );
      await client.sessions.revoke({ session: own.session }, operator);
      await events.next(({ data }) => data['session'] === own.session);
      assert.equal(events.heard(({ data }) => data['session'] === session).length, 1);
    });

    it('tells others what happened, from where it is kept with the records, and a revocation within 100 ms', async () => {
      const events = await listen(accounts);
      endings.push(() => events.close());
      const id = await make('judy');
      const created = await events.next(({ topic, data }) => topic === 'user.created' && data['user'] === id);
      assert.deepEqual(created.data, { user: id, name: 'judy' });
      await assert.rejects(make('JUDY'), { code: 'BEDS_TEMPLATE_CONFLICT' });
      await client.users.askReset({ name: 'nobody-of-this-name' });
      await client.users.askReset({ name: 'JUDY' });
      const asked = await events.next(({ topic }) => topic === 'password.reset-asked');
      const token = String(asked.data['token']);
      assert.deepEqual([asked.data['user'], asked.data['name']], [id, 'judy']);
      const before = await signIn('judy');
      await client.users.reset({ token, password: 'brand new password' });
      await assert.rejects(client.users.reset({ token, password: 'brand new password' }), /was used/);
      assert.equal(await seen(before.token), null);
      const changed = await events.next(({ topic }) => topic === 'user.changed');
      assert.deepEqual(changed.data, { user: id, what: 'password' });
      await events.next(({ topic, data: { user } }) => topic === 'session.revoked' && user === id);
      const others = events.heard(({ topic }) => topic === 'user.created' || topic === 'password.reset-asked');
      assert.deepEqual(others, [], 'nothing is told of what was refused or came to nothing');
      const took: number[] = [];
      for (let round = 0; round < 5; round += 1) {
        const { session, token: given } = await signIn('judy', 'brand new password');
        assert.equal((await seen(given))?.session, session, 'it is known from then on');
        const heard = events.next(({ topic, data }) => topic === 'session.revoked' && data['session'] === session);
        await client.sessions.revoke({ session }, operator);
        const repliedAtMs = performance.now();
        await heard;
        took.push(performance.now() - repliedAtMs);
        await eventually('it is in force', async () => (await seen(given)) === null, 100);
      }
      assert.ok(Math.min(...took) < 100, `heard after ${took.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    });

    it('tells once what a record keeps before something that is no event, and at once what other records keep, however many have such', async () => {
      const events = await listen(accounts);
      endings.push(() => events.close());
      const write = (id: string, event: string): Promise<void> =>
        accounts.write('user_change', { ...NO_CHANGE, id, event, outbox_at: Date.now() });
      const line = (topic: string): string =>
        JSON.stringify({ id: topic, topic, at: 1, data: {}, of: 'a later version' });
      const none = ['[]', '{', 'no JSON', '{"topic":"user.x"}', line(`user.${'x'.repeat(255)}`), '"a\u2028text"'];
      const ids = await Promise.all(none.map((_, index) => make(`outbox ${String(index)}`)));
      const first = ids[0] ?? '';
      await write(first, line('user.before'));
      for (const [index, id] of ids.entries()) await write(id, none[index] ?? '');
      await write(first, line('user.behind'));
      // n.b. each of them was looked at by then, and will be again.
      for (let round = 0; round < 3; round += 1) {
        const askedAtMs = performance.now();
        const name = `outbox other ${String(round)}`;
        const other = await make(name);
        await events.next(({ topic, data }) => topic === 'user.created' && data['user'] === other);
        const tookMs = performance.now() - askedAtMs;
        assert.ok(tookMs < 3_000, `told after ${tookMs.toFixed(0)} ms`);
        await delay(2_600);
      }
      assert.equal(events.heard(({ topic }) => topic === 'user.before').length, 1, 'it is told once');
      assert.equal(events.heard(({ topic }) => topic === 'user.behind').length, 0, 'order holds within a record');
      for (const id of ids) await accounts.clearOutbox(id);
      const { token, session } = await signIn('root');
      await accounts.write('session_end', { id: session, ended_at: Date.now(), event: 'no JSON' });
      await client.sessions.signOut({ token });
      const another = await signIn('root');
      await client.sessions.signOut({ token: another.token });
      await events.next(({ topic, data }) => topic === 'session.revoked' && data['session'] === another.session);
    });

    it('tells others after the next start what was kept and not published when the host was killed, and says why it was not, also where what is kept is no event', async (t) => {
      await accounts.host.stop();
      const life = (): ReturnType<typeof startHostProcess> =>
        startHostProcess(t, { ...accounts, pluginsDirectory: join(accounts.projectRoot, 'plugins') });
      const first = life();
      await first.serving;
      const saysWhy = (code: string): Promise<unknown> =>
        first.logged(code, ({ msg, error }) => {
          return msg === 'fault in outbox of users' && JSON.stringify(error).includes(code);
        });
      await accounts.write('user_change', { ...NO_CHANGE, id: await make('ines'), event: '[]', outbox_at: Date.now() });
      await saysWhy('BEDS_AMQP_EVENT_INVALID');
      const unblock = await refuseEvents(accounts, 'user.created');
      endings.push(unblock);
      const [ida, ira] = [await make('ida'), await make('ira')];
      await saysWhy('BEDS_AMQP_EVENT_REFUSED');
      await first.kill();
      await unblock();
      const events = await listen(accounts);
      endings.push(() => events.close());
      const second = life();
      for (const [id, name] of [
        [ida, 'ida'],
        [ira, 'ira'],
      ]) {
        const { data } = await events.next(({ topic, data: { user } }) => topic === 'user.created' && user === id);
        assert.deepEqual(data, { user: id, name });
      }
      await second.serving;
      await second.stop();
      accounts.host = await accounts.startAgain();
    });
  });
}

/** Uses the client that is to be copied as a program does; prints who it was. */
const IN_PYTHON = `
import json, sys, time
from beds import Beds, BedsError

url, exchange, name, password = sys.argv[1:]
beds = Beds(url, client="python", exchange=exchange, deadline_ms=30_000)

def refused(work, *codes):
    try:
        work()
    except BedsError as error:
        assert error.code in codes, error
        assert password not in str(error)
    else:
        raise SystemExit("not refused")

who = lambda: beds.call("seen", "who")
assert who() is None
refused(lambda: beds.sign_in(name, "wrong password"), "BEDS_TEMPLATE_REFUSED")
tokens = beds.sign_in(name, password)
first = who()
# As if its time were over: the next one is taken, in the same session.
beds.resume({"token": "bs_" + "A" * 43, "refresh": tokens["refresh"]})
assert who() == first
beds.sign_out()
assert who() is None
beds.resume(tokens)
# Another node hears of the end a moment later.
for _ in range(50):
    try:
        who()
    except BedsError:
        break
    time.sleep(0.1)
refused(who, "BEDS_REQUEST_SIGN_IN", "BEDS_TEMPLATE_REFUSED")
print(json.dumps({part: first[part] for part in ("id", "name", "roles")}))
`;

/** What `user_change` is given where nothing shall be another. */
const NO_CHANGE = {
  ...{ name: null, name_key: null, roles: null, disabled: null, password: null, password_at: null },
  ...{ sessions_after: null, reset_hash: null, reset_until: null, event: null, outbox_at: null },
};

interface Created {
  readonly name: string;
  readonly password: string;
  /** At a terminal, when it is asked for; otherwise it is the standard input. */
  readonly isTyped?: boolean;
}

/** Runs `beds users create` as a process of its own. */
async function createUser(
  { config, projectRoot }: Accounts,
  { name, password, isTyped = false }: Created,
): Promise<{ readonly code: number | null; readonly printed: string }> {
  const { url = '', kind = 'mysql' } = config.stores['accounts'] ?? {};
  const args = ['users', 'create', name, '--role', 'operator', '--role', 'editor'];
  const cli = pathToFileURL(join(import.meta.dirname, '..', 'host', 'cli', 'main.js')).href;
  const script = join(projectRoot, 'users.mjs');
  writeFileSync(join(projectRoot, 'beds.toml'), `[stores.accounts]\nkind = "${kind}"\n`);
  writeFileSync(
    script,
    `import { main } from ${JSON.stringify(cli)};
    const root = ${JSON.stringify(projectRoot)};
    process.exitCode = await main({ args: ${JSON.stringify(args)}, projectRoot: root, cwd: root, env: process.env });`,
  );
  const env = { ...process.env, BEDS_CONFIG: projectRoot, BEDS_STORES_ACCOUNTS_URL: url, NODE_TEST_CONTEXT: undefined };
  // n.b. `script` gives what it runs a terminal, and prints what that shows.
  const command = isTyped
    ? ['script', '-qec', `'${process.execPath}' '${script}'`, '/dev/null']
    : [process.execPath, script];
  const [program = '', ...rest] = command;
  const child = spawn(program, rest, { env, stdio: ['pipe', 'pipe', 'pipe'] });
  let printed = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (printed += text));
  if (isTyped) await eventually('it asks for the password', () => printed.includes('it is not shown'));
  child.stdin.write(`${password}\n`);
  if (!isTyped) child.stdin.end();
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, printed };
}

/** A queue that is full takes no event of this topic, so RabbitMQ confirms none; until the function is called that comes back. */
async function refuseEvents({ amqpUrl, prefix }: Accounts, topic: string): Promise<() => Promise<void>> {
  const model = await connect(amqpUrl);
  const channel = await model.createConfirmChannel();
  const full = { exclusive: true, arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } };
  const { queue } = await channel.assertQueue('', full);
  channel.sendToQueue(queue, Buffer.from('it is full'));
  await channel.waitForConfirms();
  await channel.bindQueue(queue, `${prefix}.events`, topic);
  let closing: Promise<void> | undefined;
  return () => (closing ??= model.close());
}

interface Told {
  readonly topic: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Events {
  /** What is heard so far, and was not given. */
  heard(fits: (event: Told) => boolean): readonly Told[];
  /** The first that fits, also one from before; each is given once. */
  next(fits: (event: Told) => boolean): Promise<Told>;
  close(): Promise<void>;
}

async function listen({ amqpUrl, prefix }: Accounts): Promise<Events> {
  const model = await connect(amqpUrl);
  const channel = await model.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  for (const topics of ['user.#', 'session.#', 'password.#'])
    await channel.bindQueue(queue, `${prefix}.events`, topics);
  const heard: Told[] = [];
  const waiting = new Set<() => void>();
  await channel.consume(
    queue,
    (message) => {
      heard.push(JSON.parse(message?.content.toString() ?? '') as Told);
      for (const look of waiting) look();
    },
    { noAck: true },
  );
  return {
    heard: (fits) => heard.filter(fits),
    next: (fits) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = heard.findIndex(fits);
          if (found === -1) return;
          waiting.delete(look);
          resolve(heard.splice(found, 1)[0] as Told);
        };
        waiting.add(look);
        look();
      }),
    close: () => model.close(),
  };
}
