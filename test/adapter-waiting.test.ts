import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';
import type { StoreStatus } from '../host/stores/contract.js';
import type { ResultHolder } from '../host/stores/result-budget.js';
import { Deadline } from '../host/stores/deadlines.js';
import { Slots } from '../host/stores/mongodb/client.js';
import { type Connector, Pool } from '../host/stores/mysql/pool.js';
import type { Session } from '../host/stores/mysql/session.js';

const MOST = 4;
const NEVER = 1e9;
const options = { poolSize: MOST, queueLimit: 3, acquireTimeoutMs: 2_000 };

// n.b. for the whole file: there is one timer wheel, and it goes on with what earlier tests left.
let nowMs = 0;
mock.timers.enable({ apis: ['setInterval'] });
mock.method(performance, 'now', () => nowMs);

/** n.b. deadlines are told at most two ticks of 10 ms late. */
function pass(ms: number): void {
  nowMs += ms + 20;
  mock.timers.tick(ms + 20);
}

/** What the adapters of both databases have in front of their connections. */
interface Gate {
  readonly counts: Omit<StoreStatus['connections'], 'idle'>;
  take(): boolean;
  wait(timeoutMs?: number, holder?: ResultHolder): Promise<unknown>;
  end(): void;
}

const deadline = (timeoutMs = NEVER, holder?: ResultHolder): Deadline =>
  new Deadline({ timeoutMs, ...(holder === undefined ? {} : { holder }) });

function slots(): Gate {
  const all = new Slots(options);
  return {
    get counts() {
      return all.counts;
    },
    take: () => all.take(),
    wait: (timeoutMs, holder) => all.wait(deadline(timeoutMs, holder)),
    end: () => all.release(),
  };
}

/** Sessions that are opened at once and never need cleaning. */
function pool(): Gate {
  const connection = { on: () => undefined };
  const open = (): Promise<Session> =>
    Promise.resolve({ connection, isAlive: true, isDirty: false, uses: 0, mode: 'write' } as unknown as Session);
  const all = new Pool({ ...options, connector: { open } as unknown as Connector, stop: () => Promise.resolve() });
  const lent: Session[] = [];
  return {
    get counts() {
      return all.counts;
    },
    take: () => {
      const session = all.take('write');
      if (session !== undefined) lent.push(session);
      return session !== undefined;
    },
    wait: async (timeoutMs, holder) => lent.push(await all.wait(deadline(timeoutMs, holder))),
    end: () => {
      const session = lent.shift();
      if (session !== undefined) all.release(session);
    },
  };
}

/** As many under way as there may be. */
async function fill(gate: Gate): Promise<void> {
  for (let count = 0; count < MOST; count += 1) if (!gate.take()) await gate.wait();
  assert.deepEqual([gate.counts.inUse, gate.counts.waiting], [MOST, 0]);
}

/** Serves those who wait, one after the other. */
async function passThrough(gate: Gate, waits: readonly Promise<unknown>[]): Promise<void> {
  for (const wait of waits) {
    gate.end();
    await wait;
  }
}

for (const make of [slots, pool]) {
  describe(`who waits for a connection, in front of ${make.name}`, () => {
    it('is served in turn, and before who comes later', async () => {
      const gate = make();
      await fill(gate);
      const served: string[] = [];
      const waits = ['first', 'second'].map((name) => gate.wait().then(() => served.push(name)));
      assert.equal(gate.counts.waiting, 2);
      for (const expected of [['first'], ['first', 'second']]) {
        gate.end();
        assert.ok(!gate.take(), 'it went to one who waits');
        assert.equal(gate.counts.inUse, MOST);
        await settled();
        assert.deepEqual(served, expected);
      }
      await Promise.all(waits);
      gate.end();
      assert.deepEqual([gate.counts.inUse, gate.counts.waiting], [MOST - 1, 0]);
      assert.ok(gate.take());
      assert.ok(!gate.take(), 'poolSize is the bound');
    });

    it('is refused at once where queueLimit wait already', async () => {
      const gate = make();
      await fill(gate);
      const waits = Array.from({ length: options.queueLimit }, () => gate.wait());
      await assert.rejects(gate.wait(), { code: 'BEDS_STORE_OVERLOADED' });
      waits.forEach(() => gate.end());
      await Promise.all(waits);
    });

    it('is counted by requests: those that make many calls at once are no more than the others', async () => {
      const gate = make();
      await fill(gate);
      const requests = Array.from({ length: options.queueLimit }, (): ResultHolder => ({ hold: () => undefined }));
      const waits = requests.flatMap((request) => Array.from({ length: 48 }, () => gate.wait(NEVER, request)));
      assert.equal(gate.counts.waiting, 48 * options.queueLimit);
      await assert.rejects(gate.wait(NEVER, { hold: () => undefined }), { code: 'BEDS_STORE_OVERLOADED' });
      await passThrough(gate, waits.slice(0, 48));
      const next = gate.wait(NEVER, { hold: () => undefined });
      await passThrough(gate, [...waits.slice(48), next]);
    });

    it('is refused where one request alone makes more calls than anybody means to', async () => {
      const gate = make();
      await fill(gate);
      const request: ResultHolder = { hold: () => undefined };
      const waits = Array.from({ length: 1_000 }, () => gate.wait(NEVER, request));
      await assert.rejects(gate.wait(NEVER, request), { code: 'BEDS_STORE_OVERLOADED' });
      await passThrough(gate, waits);
    });

    it('leaves the line after acquireTimeoutMs or at its deadline, and is given nothing then', async () => {
      const gate = make();
      await fill(gate);
      const late = assert.rejects(gate.wait(1_000), { code: 'BEDS_STORE_TIMEOUT' });
      const inVain = assert.rejects(gate.wait(), { code: 'BEDS_STORE_OVERLOADED' });
      pass(1_000);
      await late;
      assert.equal(gate.counts.waiting, 1);
      pass(1_000);
      await inVain;
      assert.equal(gate.counts.waiting, 0);
      gate.end();
      assert.equal(gate.counts.inUse, MOST - 1);
    });
  });
}
