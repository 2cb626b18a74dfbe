import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startAccounts, type Accounts, type AccountsClient, type StoreKind } from './support/accounts.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);

const PASSWORD = 'correct horse battery';
const WRONG = { code: 'BEDS_TEMPLATE_REFUSED', message: 'Name or password is wrong.' };

function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

interface Asked {
  /** Before each round. */
  readonly before?: () => Promise<unknown>;
  readonly ask: (name: string) => Promise<unknown>;
}

/** By how long it takes nobody learns which of two names there is. */
async function assertAlike(names: readonly string[], leastRounds: number, { before, ask }: Asked): Promise<void> {
  const took = names.map((): number[] => []);
  const difference = (): number => {
    const medians = took.map(medianOf);
    return 1 - Math.min(...medians) / Math.max(...medians);
  };
  // What else the machine does is the less in the medians the more rounds there are; a difference that is there stays.
  for (let round = 0; round < leastRounds || (round < 60 && difference() >= 0.05); round += 1) {
    await before?.();
    for (const [index, name] of names.entries()) {
      const askedAtMs = performance.now();
      await ask(name);
      took[index]?.push(performance.now() - askedAtMs);
    }
  }
  const words = took.map((each) => `${medianOf(each).toFixed(1)} ms (${String(each.length)} rounds)`).join(' and ');
  assert.ok(difference() < 0.05, `${names.join(' and ')} take ${words}`);
}

for (const kind of ['mysql', 'mongodb'] as const satisfies readonly StoreKind[]) {
  describe(`whether a name exists, on ${kind}`, { timeout: 240_000 }, () => {
    const endings: (() => unknown)[] = [];
    after(async () => {
      for (const end of endings.toReversed()) await end();
    });
    let accounts: Accounts;
    let client: AccountsClient;
    /** The session of an operator. */
    let operator = { session: '' };
    before(async () => {
      accounts = await startAccounts({ after: (end) => void endings.push(end) }, kind, { services });
      client = await accounts.connect();
      await accounts.makeUser({ name: 'Root', password: PASSWORD, roles: ['operator'] });
      operator = { session: (await signIn('root')).token };
    });
    const make = async (name: string): Promise<string> =>
      (await client.users.create({ name, password: PASSWORD, roles: [] }, operator)).id;
    const signIn = (name: string, password = PASSWORD): ReturnType<AccountsClient['sessions']['signIn']> =>
      client.sessions.signIn({ name, password, where: { address: name } });

    it('is not told by the time of a sign-in: one that nobody has, and who is disabled, take as long as a wrong password', async () => {
      await make('kim');
      await client.users.disable({ id: await make('kurt') }, operator);
      // n.b. each name has some attempts before it has to wait, and the store is not asked to forget in between.
      const before = (): Promise<void> => accounts.setFailures(0);
      const ask = (name: string): Promise<void> =>
        assert.rejects(signIn(name, name === 'kurt' ? PASSWORD : 'wrong password'), WRONG);
      await assertAlike(['kim', 'nobody', 'kurt'], 15, { before, ask });
    });

    it('is not told by the time that it takes to ask for a reset', async () => {
      await make('lisa');
      await client.users.disable({ id: await make('lars') }, operator);
      const before = (): Promise<void> => accounts.setFailures(0);
      await assertAlike(['lisa', 'nobody', 'lars'], 7, { before, ask: (name) => client.users.askReset({ name }) });
    });
  });
}
