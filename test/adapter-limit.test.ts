import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';
import type { StoreStatus } from '../host/adapter/contract.js';
import { Deadline } from '../host/adapter/deadline.js';
import { Slots } from '../host/adapter/mongodb/slots.js';
import type { Connector } from '../host/adapter/mysql/connector.js';
import { Pool } from '../host/adapter/mysql/pool.js';
import type { Session } from '../host/adapter/mysql/session.js';
import type { Use } from '../host/adapter/waiting-line.js';

const MOST = 16;
const CALLERS = 40;
const NEVER = 1e9;
const options = {
  ...{ poolSize: MOST, adaptive: true, queueLimit: 1_000, acquireTimeoutMs: NEVER },
  onLimit: () => undefined,
};

// n.b. for the whole file: there is one ticker, and it goes on with what earlier tests left.
let nowMs = 0;
mock.timers.enable({ apis: ['setInterval'] });
mock.method(performance, 'now', () => nowMs);

/** What the adapters of both databases have in front of their connections. */
interface Gate {
  readonly counts: Omit<StoreStatus['connections'], 'idle'>;
  take(use: Use): boolean;
  wait(use: Use): Promise<unknown>;
  end(use: Use): void;
}

const deadline = (): Deadline => new Deadline({ timeoutMs: NEVER });

function slots(): Gate {
  const all = new Slots(options);
  return {
    get counts() {
      return all.counts;
    },
    take: (use) => all.take(use),
    wait: (use) => all.wait(deadline(), use),
    end: (use) => all.release(use, use === 'call' ? 'done' : 'unknown'),
  };
}

/** Sessions that are opened at once and never need cleaning. */
function pool(): Gate {
  const connection = { on: () => undefined };
  const open = (): Promise<Session> =>
    Promise.resolve({ connection, alive: true, needsReset: false, mode: 'write' } as unknown as Session);
  const all = new Pool({ ...options, connector: { open } as unknown as Connector });
  const lent: Session[] = [];
  return {
    get counts() {
      return all.counts;
    },
    take: (use) => {
      const session = all.take('write', use);
      if (session !== undefined) lent.push(session);
      return session !== undefined;
    },
    wait: async (use) => lent.push(await all.wait(deadline(), use)),
    end: (use) => {
      const [session] = lent.splice(
        lent.findIndex((one) => one.use === use),
        1,
      );
      if (session !== undefined) all.release(session, use === 'call' ? 'done' : 'unknown');
    },
  };
}

/** A gate whose time is played. Calls keep all that they may have, so that others always wait. */
class Played {
  readonly gate: Gate;
  calls = 0;

  constructor(gate: Gate) {
    this.gate = gate;
    for (let caller = 0; caller < CALLERS; caller += 1) this.call();
  }

  call(): void {
    const began = (): void => {
      this.calls += 1;
    };
    if (this.gate.take('call')) began();
    else this.gate.wait('call').then(began, began);
  }

  end(): void {
    this.calls -= 1;
    this.gate.end('call');
  }

  /** Each call more that is under way keeps others from ending, unless none ends. */
  async run(ticks: number, ends = (calls: number): number => 20 - calls): Promise<void> {
    for (let tick = 0; tick < ticks; tick += 1) {
      // n.b. who is served begins a moment later: no more may end than have begun.
      for (let count = Math.min(this.calls, ends(this.calls)); count > 0; count -= 1) {
        this.end();
        this.call();
      }
      nowMs += 10;
      mock.timers.tick(10);
      await settled();
    }
  }

  async lower(): Promise<void> {
    await this.run(1_500);
    const { limit, inUse, waiting } = this.gate.counts;
    assert.ok(limit < MOST, `${limit}`);
    assert.ok(inUse < MOST && waiting > 0, `${inUse} ${waiting}`);
  }
}

for (const make of [slots, pool]) {
  describe(`the limit of calls, in front of ${make.name}`, () => {
    it('leaves everything else to transactions, and lets calls go on beside them', async () => {
      const played = new Played(make());
      const { gate } = played;
      await played.lower();
      const { inUse } = gate.counts;
      let transactions = 0;
      while (gate.take('transaction')) transactions += 1;
      assert.equal(transactions, MOST - inUse);
      assert.equal(gate.counts.inUse, MOST);
      // What a transaction gives back is not one call more than the limit.
      gate.end('transaction');
      assert.equal(gate.counts.inUse, MOST - 1);
      assert.ok(gate.take('transaction'));
      // What ends makes room for the calls that wait.
      const before = gate.counts.waiting;
      played.end();
      assert.equal(gate.counts.waiting, before - 1);
    });

    it('serves a transaction that waits in its turn', async () => {
      const played = new Played(make());
      const { gate } = played;
      await settled();
      const waited = gate.wait('transaction');
      for (let ended = 0; ended <= CALLERS - MOST; ended += 1) {
        played.end();
        await settled();
      }
      await waited;
      assert.equal(gate.counts.waiting, 0);
      assert.equal(gate.counts.inUse, MOST);
    });

    it('gives all that is there to those who wait when nothing ends', async () => {
      const played = new Played(make());
      await played.lower();
      await played.run(60, () => 0);
      const { inUse, limit } = played.gate.counts;
      assert.deepEqual({ inUse, limit }, { inUse: MOST, limit: MOST });
    });
  });
}
