import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { CallerCount } from '../host/request/observations.js';
import type { FaultEvent } from '../host/observe/channels.js';
import {
  openCallerLedger,
  type CallerLedgerOptions,
  type CallerLedger,
} from '../host/deploy/compatibility/caller-ledger.js';

import { temporaryDirectory } from './support/admission.js';
import { eventually } from './support/eventually.js';

const DAY_MS = 86_400_000;
const MONDAY_MS = Date.parse('2026-11-23T00:00:00Z');

/** A clock that a test sets. */
class Clock {
  ms = MONDAY_MS;
  readonly now = (): number => this.ms;
}

interface Opened {
  readonly ledger: CallerLedger;
  readonly clock: Clock;
  readonly directory: string;
  reopen(more?: Partial<CallerLedgerOptions>): Promise<CallerLedger>;
}

async function open(t: TestContext, more: Partial<CallerLedgerOptions> = {}): Promise<Opened> {
  const directory = more.directory ?? (await temporaryDirectory(t));
  const clock = new Clock();
  const reopen = async (other: Partial<CallerLedgerOptions> = {}): Promise<CallerLedger> => {
    const ledger = await openCallerLedger({ days: 14, nowMs: clock.now, ...more, directory, ...other });
    t.after(() => ledger.close());
    return ledger;
  };
  return { ledger: await reopen(), clock, directory, reopen };
}

function calls(client: string, count: number, operation = 'lookup'): CallerCount {
  return { domain: 'cities', operation, client, calls: count };
}

function recordFaults(t: TestContext): FaultEvent[] {
  const faults: FaultEvent[] = [];
  const listen = (event: unknown): number => faults.push(event as FaultEvent);
  subscribe('beds:fault', listen);
  t.after(() => unsubscribe('beds:fault', listen));
  return faults;
}

describe('the count of callers', () => {
  it('adds up by domain, operation and client, the busiest first', async (t) => {
    const { ledger } = await open(t);
    ledger.add([calls('web', 3), calls('billing', 10), calls('', 5)]);
    ledger.add([calls('web', 4), calls('web', 100, 'fetch'), { ...calls('web', 1_000), domain: 'countries' }]);
    assert.deepEqual(ledger.callersOf('cities', 'lookup'), [
      { client: 'billing', callsPerDay: 10 },
      { client: 'web', callsPerDay: 7 },
      { client: '', callsPerDay: 5 },
    ]);
    assert.deepEqual(ledger.callersOf('cities', 'fetch'), [{ client: 'web', callsPerDay: 100 }]);
    assert.deepEqual(ledger.callersOf('cities', 'nobody'), []);
    assert.deepEqual(ledger.callersOf('nowhere', 'lookup'), []);
  });

  it('is there again after a restart, with names that mean something to JavaScript', async (t) => {
    const { ledger, reopen } = await open(t);
    ledger.add([calls('__proto__', 7), calls('toString', 6), calls('a "name"\n', 5)]);
    const before = ledger.callersOf('cities', 'lookup');
    await Promise.all([ledger.close(), ledger.close()]);
    const again = await reopen();
    assert.deepEqual(again.callersOf('cities', 'lookup'), before);
    again.add([calls('toString', 6)]);
    assert.deepEqual(again.callersOf('cities', 'lookup')[0], { client: 'toString', callsPerDay: 12 });
  });

  it('takes an hour for a day at least, and days that have passed for what they are', async (t) => {
    const { ledger, clock } = await open(t);
    clock.ms += 3_600_000;
    ledger.add([calls('web', 600)]);
    assert.deepEqual(ledger.callersOf('cities', 'lookup'), [{ client: 'web', callsPerDay: 600 }]);
    clock.ms = MONDAY_MS + 2.5 * DAY_MS;
    ledger.add([calls('web', 400), calls('new', 50, 'added')]);
    assert.deepEqual(ledger.callersOf('cities', 'lookup'), [{ client: 'web', callsPerDay: 400 }]);
    assert.deepEqual(ledger.callersOf('cities', 'added'), [{ client: 'new', callsPerDay: 50 }]);
  });

  it('forgets days that are older than it keeps, in memory and on disk', async (t) => {
    const { ledger, clock, reopen, directory } = await open(t, { days: 3 });
    ledger.add([calls('old', 90), calls('steady', 30)]);
    clock.ms += DAY_MS;
    ledger.add([calls('steady', 30)]);
    clock.ms += DAY_MS;
    assert.deepEqual(
      ledger.callersOf('cities', 'lookup').map(({ client }) => client),
      ['old', 'steady'],
    );
    clock.ms += DAY_MS;
    assert.deepEqual(ledger.callersOf('cities', 'lookup'), [{ client: 'steady', callsPerDay: 15 }]);
    await ledger.close();
    assert.deepEqual((await readdir(join(directory, 'callers'))).sort(), ['2026-11-24.jsonl', '2026-11-26.jsonl']);
    clock.ms += 2 * DAY_MS;
    assert.deepEqual((await reopen()).callersOf('cities', 'lookup'), []);
  });

  it('names the clients of each domain, busiest first over all days and operations, and no more than asked for', async (t) => {
    const { ledger, clock } = await open(t);
    ledger.add([calls('shop', 5), calls('desk', 7)]);
    clock.ms += DAY_MS;
    ledger.add([calls('shop', 4, 'rename'), calls('audit', 1, 'rename'), { ...calls('', 1), domain: 'orders' }]);
    assert.deepEqual(
      [...ledger.clientsByDomain(2)],
      [
        ['cities', ['shop', 'desk']],
        ['orders', ['']],
      ],
    );
  });

  it('says over how many days it counted, over restarts and also when nobody called', async (t) => {
    const { ledger, clock, reopen } = await open(t);
    assert.equal(ledger.countedDays(), 0);
    await ledger.flush();
    clock.ms += DAY_MS / 4;
    await ledger.close();
    const again = await reopen();
    assert.equal(again.countedDays(), 0.25);
    clock.ms += 100 * DAY_MS;
    assert.equal(again.countedDays(), 14);
  });

  it('counts clients and operations beyond its bounds together or not, and says so once', async (t) => {
    const faults = recordFaults(t);
    const { ledger } = await open(t, { maxClientsPerOperation: 2, maxOperations: 3, maxClients: 4 });
    ledger.add([calls('a', 1), calls('b', 2), calls('c', 3), calls('d', 4), calls('a', 10)]);
    assert.deepEqual(ledger.callersOf('cities', 'lookup'), [
      { client: 'a', callsPerDay: 11 },
      { client: '*', callsPerDay: 7 },
      { client: 'b', callsPerDay: 2 },
    ]);
    ledger.add([calls('a', 1, 'second'), calls('b', 1, 'second'), calls('a', 1, 'third')]);
    assert.deepEqual(
      ledger.callersOf('cities', 'second').map(({ client }) => client),
      ['*', 'a'],
    );
    assert.deepEqual(ledger.callersOf('cities', 'third'), [{ client: '*', callsPerDay: 1 }]);
    assert.deepEqual(faults, []);
    ledger.add([calls('a', 1, 'fourth'), calls('a', 1, 'fifth')]);
    ledger.add([calls('a', 1, 'sixth')]);
    assert.deepEqual(ledger.callersOf('cities', 'fourth'), []);
    assert.deepEqual(
      faults.map(({ error }) => (error as { code?: unknown }).code),
      ['BEDS_ROLLOUT_CALLERS_FULL'],
    );
  });

  it('makes room again when days go', async (t) => {
    const { ledger, clock } = await open(t, { days: 1, maxOperations: 1, maxClients: 1 });
    ledger.add([calls('a', 1, 'first')]);
    clock.ms += DAY_MS;
    ledger.add([calls('b', 1, 'second')]);
    assert.deepEqual(ledger.callersOf('cities', 'second'), [{ client: 'b', callsPerDay: 1 }]);
  });
});

describe('the files of callers, one a day,', () => {
  const MONDAY = join('callers', '2026-11-23.jsonl');

  it('are written by themselves, some time after calls were added', async (t) => {
    const { ledger, directory } = await open(t, { writeEveryMs: 20 });
    ledger.add([calls('web', 1)]);
    await eventually('the file names the caller', async () =>
      (await readFile(join(directory, MONDAY), 'utf8').catch(() => '')).includes('web'),
    );
  });

  it('are private, and are written at their interval or on demand', async (t) => {
    const { ledger, directory } = await open(t);
    ledger.add([calls('web', 1)]);
    await assert.rejects(stat(join(directory, MONDAY)), { code: 'ENOENT' });
    await ledger.flush();
    assert.equal((await stat(join(directory, MONDAY))).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(directory, 'callers')), ['2026-11-23.jsonl']);
  });

  it('take nothing in after close', async (t) => {
    const { ledger, directory } = await open(t);
    await ledger.close();
    ledger.add([calls('late', 1)]);
    await ledger.flush();
    assert.equal(await readFile(join(directory, MONDAY), 'utf8'), '2026-11-23T00:00:00.000Z\n');
  });

  it('grow by what is new, and are folded before they say everything many times', async (t) => {
    const { ledger, directory, reopen } = await open(t);
    const lines = async (): Promise<number> => (await readFile(join(directory, MONDAY), 'utf8')).split('\n').length - 1;
    for (const expected of [2, 3, 4]) {
      ledger.add([calls('web', 2)]);
      await ledger.flush();
      assert.equal(await lines(), expected);
    }
    for (let added = 0; added < 2_000; added += 1) ledger.add([calls('web', 1)]);
    await ledger.flush();
    assert.equal(await lines(), 2);
    await ledger.close();
    assert.deepEqual((await reopen()).callersOf('cities', 'lookup'), [{ client: 'web', callsPerDay: 2_006 }]);
  });

  it('lose at most the last line to a host that was killed while it wrote, at whatever byte', async (t) => {
    const faults = recordFaults(t);
    const { ledger, directory, reopen } = await open(t);
    for (const client of ['first', 'second']) {
      ledger.add([calls(client, 2)]);
      await ledger.flush();
    }
    await ledger.close();
    const path = join(directory, MONDAY);
    const whole = await readFile(path, 'utf8');
    for (let length = 0; length < whole.length; length += 1) {
      await writeFile(path, whole.slice(0, length));
      const again = await reopen();
      const known = whole.slice(0, length).split('\n').slice(1, -1);
      assert.deepEqual(
        again.callersOf('cities', 'lookup').map(({ client }) => client),
        ['first', 'second'].slice(0, known.length),
      );
      again.add([calls('third', 1)]);
      await again.close();
      const mended = (await reopen()).callersOf('cities', 'lookup');
      assert.equal(mended.at(-1)?.client, 'third');
      assert.equal(mended.length, known.length + 1);
    }
    assert.deepEqual(faults, []);
  });

  it('survive a draft that was torn by a crash', async (t) => {
    const { ledger, directory, reopen } = await open(t);
    ledger.add([calls('web', 2)]);
    await ledger.close();
    await writeFile(join(directory, `${MONDAY}.draft`), '2026-11-2');
    assert.deepEqual((await reopen()).callersOf('cities', 'lookup'), [{ client: 'web', callsPerDay: 2 }]);
  });

  const SINCE = '2026-11-23T00:00:00.000Z';
  const damages: readonly (readonly [string, string])[] = [
    ['null', 'null\n'],
    ['without a beginning', '["cities","lookup","web",1]\n'],
    ['with a line that is torn in the middle', `${SINCE}\n["cities","loo\n["cities","lookup","web",1]\n`],
    ['of an operation without a name', `${SINCE}\n["cities",null,"web",1]\n`],
    ['of calls that are no number', `${SINCE}\n["cities","lookup","web","1"]\n`],
  ];
  for (const [what, text] of damages) {
    it(`are set aside with a fault when one is ${what}, and its day is counted anew`, async (t) => {
      const faults = recordFaults(t);
      const directory = await temporaryDirectory(t);
      await mkdir(join(directory, 'callers'));
      await writeFile(join(directory, MONDAY), text);
      const { ledger, reopen } = await open(t, { directory });
      assert.equal(faults.length, 1);
      const [aside = ''] = await readdir(join(directory, 'callers'));
      assert.match(aside, /^2026-11-23\.jsonl\.damaged-\d+$/);
      assert.equal(await readFile(join(directory, 'callers', aside), 'utf8'), text);
      assert.equal(ledger.countedDays(), 0);
      ledger.add([calls('web', 1)]);
      await ledger.close();
      assert.deepEqual((await reopen()).callersOf('cities', 'lookup'), [{ client: 'web', callsPerDay: 1 }]);
    });
  }

  it('may be impossible to write: that is a fault, counting goes on, and nothing is lost once writing works again', async (t) => {
    const faults = recordFaults(t);
    const parent = await temporaryDirectory(t);
    await writeFile(join(parent, 'file'), '');
    const directory = join(parent, 'file', 'state');
    const { ledger, reopen } = await open(t, { directory });
    ledger.add([calls('web', 1)]);
    await ledger.flush();
    assert.equal((faults[0]?.error as { code?: unknown } | undefined)?.code, 'BEDS_ROLLOUT_STATE_UNWRITABLE');
    assert.deepEqual(ledger.callersOf('cities', 'lookup'), [{ client: 'web', callsPerDay: 1 }]);
    await rm(join(parent, 'file'));
    await ledger.close();
    assert.deepEqual((await reopen()).callersOf('cities', 'lookup'), [{ client: 'web', callsPerDay: 1 }]);
  });

  it('make their directory', async (t) => {
    const { ledger, directory } = await open(t, { directory: join(await temporaryDirectory(t), 'a', 'b', 'c') });
    await ledger.close();
    assert.deepEqual(await readdir(join(directory, 'callers')), ['2026-11-23.jsonl']);
  });
});
