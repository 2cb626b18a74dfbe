import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError } from '@beds/sdk';
import { connect } from 'amqplib';
import { familyOf, newPair, sha256 } from '../plugins/sessions/tokens.js';
import { told } from '../plugins/users/outbox.js';
import { type Accounts, type AccountsClient, startAccounts } from './support/accounts.js';
import { type BundleOptions, writeBundle } from './support/bundles.js';
import { eventually } from './support/eventually.js';
import { type HostProcess, startHostProcess } from './support/host-process.js';
import { lastFirst, sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

/** n.b. `BEDS_CROWD_SECONDS=300` makes it the five minutes of a release. */
const SECONDS = Number(process.env['BEDS_CROWD_SECONDS'] ?? 14);
const CALLERS = 200;
const USERS = 40;
/** A revocation that was heard is in force after this time. */
const IN_FORCE_MS = 100;
/** A node that serves again has its queues and is heard of. */
const BACK_MS = 1_000;
/** And as long again as it was away: by then all who waited for it have been answered. Both say how busy the machine is. */
const ANSWERED_MS = 3_000;
const DEADLINE_MS = 15_000;
const LEAST_OUTAGES = 2;
/** So often somebody who is out tries his old token. */
const TRIES_OUT = 3;
/** What somebody may be told while the node of the sessions is away. */
const AWAY: ReadonlySet<unknown> = new Set([
  'BEDS_REQUEST_SESSION_UNAVAILABLE',
  'BEDS_REQUEST_DEADLINE_EXCEEDED',
  'BEDS_REQUEST_ROLE_ABSENT',
]);

/** Until when something holds: it may end from when that was asked, and has ended when it was heard. */
interface Ending {
  askedAtMs: number;
  heardAtMs: number;
}

interface Person extends Ending {
  readonly id: string;
}

interface SignedIn extends Ending {
  readonly session: string;
  readonly token: string;
  readonly user: Person;
}

interface Outage {
  readonly fromMs: number;
  toMs: number;
}

function lasting(): Ending {
  return { askedAtMs: Infinity, heardAtMs: Infinity };
}

function isIn({ askedAtMs }: Ending): boolean {
  return askedAtMs === Infinity;
}

function anyOf<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)] as T;
}

/** Users and sessions as the store has them; no password is hashed for them. */
class People {
  readonly users: Person[] = [];
  readonly sessions: SignedIn[] = [];
  readonly #accounts: Accounts;

  constructor(accounts: Accounts) {
    this.#accounts = accounts;
  }

  async addUser(roles: readonly string[] = []): Promise<Person> {
    const id = randomUUID();
    const at = Date.now();
    const event = told(at, ['user.created', { user: id, name: id }]);
    const made = { id, name: id, name_key: id, roles, password: '', created_at: at, event };
    await this.#accounts.write('user_insert', made);
    return { id, ...lasting() };
  }

  async addSession(user: Person): Promise<SignedIn> {
    const [{ token, refresh }, session, now] = [newPair(), randomUUID(), Date.now()];
    const hashes = { family_hash: familyOf(refresh) ?? '', token_hash: sha256(token), refresh_hash: sha256(refresh) };
    const until = now + 3_600_000;
    const times = { created_at: now, token_until: until, idle_until: until, expires_at: until };
    await this.#accounts.write('session_insert', { id: session, user_id: user.id, place: {}, ...hashes, ...times });
    return { session, token, user, ...lasting() };
  }

  /** Somebody else who signs in. */
  async newcomer(): Promise<SignedIn> {
    const made = await this.addSession(anyOf(this.users.filter(isIn)));
    this.sessions.push(made);
    return made;
  }

  /** Hears of revocations, as any program may. */
  async listen(teardown: Teardown): Promise<void> {
    const model = await connect(this.#accounts.amqpUrl);
    teardown.after(() => model.close());
    const channel = await model.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, `${this.#accounts.prefix}.events`, 'session.revoked');
    await channel.consume(
      queue,
      (message) => {
        const { data } = JSON.parse(message?.content.toString() ?? '') as { data: Record<string, unknown> };
        const { session, user } = data;
        const found =
          session === undefined
            ? this.users.find(({ id }) => id === user)
            : this.sessions.find((each) => each.session === session);
        if (found !== undefined) found.heardAtMs = Math.min(found.heardAtMs, performance.now());
      },
      { noAck: true },
    );
  }
}

/** What 200 of them were answered, and what of it should not have been. */
class Crowd {
  readonly outages: Outage[] = [];
  readonly wrong: string[] = [];
  readonly refusals: { readonly code: string; readonly askedAtMs: number; readonly atMs: number }[] = [];
  answered = 0;
  turnedAway = 0;
  longestWaitMs = 0;
  /** Who has no answer yet. */
  readonly #waitingSinceMs = new Map<SignedIn, number>();
  readonly #client: AccountsClient;

  constructor(client: AccountsClient) {
    this.#client = client;
  }

  /** Calls for somebody, and after he is out for somebody else. */
  async call(people: People, first: SignedIn, goesOn: () => boolean): Promise<void> {
    let [who, triesOut] = [first, 0];
    while (goesOn()) {
      const waitingSinceMs = this.#waitingSinceMs.get(first) ?? performance.now();
      this.#waitingSinceMs.set(first, waitingSinceMs);
      const outcome = await this.ask(who);
      if (outcome !== 'refused') {
        this.longestWaitMs = Math.max(this.longestWaitMs, performance.now() - waitingSinceMs);
        this.#waitingSinceMs.delete(first);
      }
      if (outcome === 'out' && (triesOut += 1) === TRIES_OUT) [who, triesOut] = [await people.newcomer(), 0];
      await delay(300 + Math.random() * 400);
    }
  }

  async ask(who: SignedIn): Promise<'in' | 'out' | 'refused'> {
    const { token, session, user } = who;
    const askedAtMs = performance.now();
    const view = Math.random() < 0.5 ? {} : { view: 'shared' };
    try {
      const { rows } = await this.#client.domain('mine').fetch({ limit: 50, ...view }, { session: token });
      this.answered += 1;
      const outForMs = askedAtMs - Math.min(who.heardAtMs, user.heardAtMs);
      if (outForMs > IN_FORCE_MS) this.wrong.push(`let in ${outForMs.toFixed(0)} ms after it was heard that he is out`);
      if (rows.some((row) => row['user_id'] !== user.id))
        this.wrong.push(`rows of somebody else: ${JSON.stringify(rows)}`);
      if (isIn(who) && isIn(user) && !rows.some(({ id }) => id === session)) this.wrong.push(`his own row is missing`);
      return 'in';
    } catch (error) {
      const [code, atMs] = [isBedsError(error) ? error.code : String(error), performance.now()];
      if (code === 'BEDS_REQUEST_SIGN_IN') {
        if (Math.min(who.askedAtMs, user.askedAtMs) > atMs) this.wrong.push('who is signed in is told to sign in');
        this.turnedAway += 1;
        return 'out';
      }
      if (AWAY.has(code)) this.refusals.push({ code, askedAtMs, atMs });
      else this.wrong.push(`an answer that is none: ${String(error)}`);
      return 'refused';
    }
  }

  /** Whether everybody has an answer who waited for one at that time. */
  hasAnswered(atMs: number): boolean {
    return [...this.#waitingSinceMs.values()].every((sinceMs) => sinceMs > atMs);
  }

  /** Refusals at times at which the node of the sessions was there. */
  refusedWithoutReason(): readonly string[] {
    return this.refusals.flatMap(({ code, askedAtMs, atMs }) => {
      const isAway = this.outages.some(({ fromMs, toMs }) => atMs >= fromMs && atMs <= toMs + BACK_MS);
      return isAway ? [] : [`${code} after ${(atMs - askedAtMs).toFixed(0)} ms`];
    });
  }
}

/** Ends sessions and disables users, also while nobody is there to do so: it is done when the node is back, or fails. */
async function turnOut(client: AccountsClient, people: People, goesOn: () => boolean): Promise<void> {
  const { token: session } = await people.addSession(await people.addUser(['operator']));
  const asked: Promise<unknown>[] = [];
  const ask = (who: Ending, asking: Promise<unknown>): void => {
    who.askedAtMs = performance.now();
    // n.b. who was killed while he did it has not said whether it is done: what is heard does.
    asked.push(asking.catch(() => undefined));
  };
  for (let turn = 1; goesOn(); turn += 1) {
    if (turn % 4 === 0) {
      const user = anyOf(people.users.filter(isIn));
      ask(user, client.users.disable({ id: user.id }, { session }));
      people.users.push(await people.addUser());
    } else {
      // n.b. an outage on a busy machine may outlast all of them: nobody takes their places before it is over.
      const those = people.sessions.slice(-CALLERS).filter((each) => isIn(each) && isIn(each.user));
      if (those.length > 0) {
        const who = anyOf(those);
        ask(who, client.sessions.revoke({ session: who.session }, { session }));
      }
    }
    await delay(250);
  }
  await Promise.all(asked);
}

/** Deploys one version after the other. Returns the last one. */
async function swap(pluginsDirectory: string, goesOn: () => boolean): Promise<string> {
  let version = '';
  for (let patch = 1; goesOn(); patch += 1) {
    version = `1.0.${String(patch)}`;
    await writeBundle(pluginsDirectory, { ...MINE, version });
    await delay(1_500);
  }
  return version;
}

const columns = { id: { type: 'string' }, user_id: { type: 'string' } };
const view = { kind: 'view', name: 'session_list', columns, where: { user_id: 'user.id' } };
/** Whoever is signed in sees where he is. */
const MINE: BundleOptions = {
  ...{ form: 'file', domain: 'mine', name: 'mine.mjs', store: 'main' },
  objects: { fetch: view, shared: { ...view, share: true, fetchable: true } },
  body: { fetchRecords: `return ctx.view('fetch', query);` },
  operations: { version: { mode: 'read', run: 'return VERSION;' } },
  access: { fetch: 'signed-in' },
};

describe('200 who are signed in', { timeout: (SECONDS + 120) * 1_000 }, () => {
  it('get what is theirs until they are out, whatever happens to the node that knows them', async (t) => {
    const teardown: Teardown = { after: (work) => lastFirst(t, work) };
    // n.b. sessions are asked for again and again, so that some are whenever the node is away.
    const accounts = await startAccounts(teardown, 'mysql', { services, security: { sessionCacheMs: 3_000 } });
    await accounts.host.stop();
    const place = { config: accounts.config, pluginsDirectory: join(accounts.projectRoot, 'plugins') };
    let tercero: HostProcess = startHostProcess(teardown, place);
    await writeBundle(place.pluginsDirectory, MINE);
    await tercero.serving;
    const client = await accounts.connect({ defaultDeadlineMs: DEADLINE_MS });
    await eventually('mine is served', () =>
      client
        .domain('mine')
        .call('version', {})
        .then(
          () => true,
          () => false,
        ),
    );
    const people = new People(accounts);
    for (let count = 0; count < USERS; count += 1) people.users.push(await people.addUser());
    await people.listen(teardown);

    const crowd = new Crowd(client);
    const first: SignedIn[] = [];
    while (first.length < CALLERS) {
      const some = await Promise.all(Array.from({ length: 20 }, () => people.newcomer()));
      for (const outcome of await Promise.all(some.map((who) => crowd.ask(who)))) assert.equal(outcome, 'in');
      first.push(...some);
    }
    const untilMs = performance.now() + SECONDS * 1_000;
    let isKilling = true;
    // Until it has seen what it is about, on a busy machine too.
    const goesOn = (): boolean => isKilling || performance.now() < untilMs;
    const killing = async (): Promise<void> => {
      while (crowd.outages.length < LEAST_OUTAGES || performance.now() + 4_000 < untilMs) {
        await delay(2_500);
        const outage = { fromMs: performance.now(), toMs: Infinity };
        crowd.outages.push(outage);
        await tercero.kill();
        tercero = startHostProcess(teardown, place);
        await tercero.serving;
        const toMs = performance.now();
        outage.toMs = toMs;
        // n.b. somebody who meets two of them in a row waits for both.
        await eventually('all who waited are answered', () => crowd.hasAnswered(toMs), 2 * DEADLINE_MS);
      }
      isKilling = false;
    };
    const [version] = await Promise.all([
      swap(place.pluginsDirectory, goesOn),
      turnOut(client, people, goesOn),
      killing(),
      ...first.map((who) => crowd.call(people, who, goesOn)),
    ]);

    const awayMs = crowd.outages.map(({ fromMs, toMs }) => Math.round(toMs - fromMs));
    const heard = [...people.sessions, ...people.users].filter(({ heardAtMs }) => heardAtMs < Infinity).length;
    const { answered, turnedAway, longestWaitMs, wrong } = crowd;
    const refused = crowd.refusals.length;
    t.diagnostic(JSON.stringify({ answered, turnedAway, heard, refused, awayMs, longestWaitMs, version }));
    assert.deepEqual(wrong.slice(0, 10), []);
    assert.deepEqual(crowd.refusedWithoutReason(), []);
    assert.ok(longestWaitMs < 2 * Math.max(...awayMs) + ANSWERED_MS, `one waited for ${longestWaitMs.toFixed(0)} ms`);
    await eventually(
      'the last version serves',
      async () => (await client.domain('mine').call('version', {})) === version,
    );
    assert.ok(version !== '1.0.1' && heard >= SECONDS && turnedAway >= SECONDS);
    assert.ok(answered > 50 * SECONDS, `${String(answered)} answers`);
  });
});
