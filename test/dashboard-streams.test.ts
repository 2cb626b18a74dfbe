import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { dashboardErrors } from '../host/errors/dashboard.js';
import { Board } from '../host/dashboard/board.js';
import type { Person } from '../host/dashboard/identities.js';
import { Streams } from '../host/dashboard/streams.js';
import { eventually } from './support/eventually.js';
import { lastFirst } from './support/services.js';

const COOKIE = `bs_${'a'.repeat(43)}.br_${'a'.repeat(64)}`;
const HALF_AN_HOUR_MS = 1_800_000;

interface Browser {
  readonly socket: Socket;
  readonly text: () => string;
}

interface Stand {
  readonly board: Board;
  readonly streams: Streams;
  readonly responses: ServerResponse[];
  readonly person: Person;
  ended: boolean;
  watch(): Promise<Browser>;
}

async function stand(t: TestContext): Promise<Stand> {
  const board = new Board();
  const responses: ServerResponse[] = [];
  const now = Date.now();
  const times = { expiresAtMs: now + HALF_AN_HOUR_MS, checkedAtMs: now, rolesAtMs: now };
  const person: Person = { me: { id: 'u-1', name: 'ann', role: 'viewer' }, cookie: COOKIE, ...times, isEnded: false };
  const check = (): Promise<void> =>
    all.ended ? Promise.reject(dashboardErrors.make('BEDS_DASHBOARD_SIGNED_OUT')) : Promise.resolve();
  const streams = new Streams(board, { check }, () => undefined);
  const server = createServer((_, response) => {
    responses.push(response);
    streams.open(response, person, undefined);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  lastFirst(t, () => {
    streams.close();
    server.closeAllConnections();
    server.close();
  });
  const all: Stand = {
    ...{ board, streams, responses, person, ended: false },
    watch: async () => {
      const socket = connect(address.port, '127.0.0.1');
      lastFirst(t, () => void socket.destroy());
      let text = '';
      socket.setEncoding('utf8').on('data', (more: string) => (text += more));
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      const before = responses.length;
      socket.write('GET /api/stream HTTP/1.1\r\nhost: localhost\r\n\r\n');
      await eventually('its stream is open', () => responses.length > before);
      return { socket, text: () => text };
    },
  };
  return all;
}

/** A large part, of which each is another one. */
function parts(revision: number): ReadonlyMap<string, unknown> {
  return new Map([['domain:cities', { revision, text: 'x'.repeat(200_000) }]]);
}

describe('a browser that does not read', () => {
  it('costs one event, holds up no other one, and is given the newest state when it reads again', async (t) => {
    const { board, streams, responses, watch } = await stand(t);
    const slow: Browser[] = [];
    for (let n = 0; n < 25; n += 1) slow.push(await watch());
    for (const { socket } of slow) socket.pause();
    const quick: Browser[] = [];
    for (let n = 0; n < 25; n += 1) quick.push(await watch());
    const last = 300;
    for (let revision = 1; revision <= last; revision += 1) {
      board.replace(parts(revision));
      streams.changed();
      streams.sample({ at: revision, requestsPerSecond: 1, failuresPerSecond: 0 });
      if (revision % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const has = ({ text }: Browser): boolean => text().includes(`"revision":${String(last)},`);
    await eventually('whoever reads has the newest state', () => quick.every(has), 30_000);
    const waiting = responses.slice(0, slow.length).map(({ writableLength }) => writableLength);
    assert.ok(Math.max(...waiting) > 0, 'they do not read');
    assert.ok(Math.max(...waiting) < 2 * 200_500, `${String(Math.max(...waiting))} bytes wait for one of them`);
    assert.ok(slow.every((browser) => !has(browser)));
    for (const { socket } of slow) socket.resume();
    await eventually('they have the newest state as well', () => slow.every(has), 30_000);
    const events = slow.map(({ text }) => [...text().matchAll(/^event: change/gm)].length);
    assert.ok(Math.max(...events) < last / 2, `${String(Math.max(...events))} events of ${String(last)}`);
  });

  it('is let go after some time, and others are not', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.now() });
    const { board, streams, watch } = await stand(t);
    const slow = await watch();
    slow.socket.pause();
    const quick = await watch();
    for (let revision = 1; revision <= 100; revision += 1) {
      board.replace(parts(revision));
      streams.changed();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually('one of them reads', () => quick.text().includes('"revision":100,'), 30_000);
    for (let beat = 0; beat < 6; beat += 1) t.mock.timers.tick(5_000);
    await eventually('it is let go', () => streams.size === 1);
    slow.socket.resume();
    await eventually('it sees that', () => slow.socket.destroyed || slow.socket.closed);
    t.mock.timers.tick(5_000);
    await eventually('the other one is told', () => quick.text().includes('event: beat'));
    assert.equal(quick.socket.destroyed, false);
  });
});

describe('a browser that only listens', () => {
  it('is made to come back before its token ends, so that it is exchanged, and is not said to be signed out', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.now() });
    const { streams, watch } = await stand(t);
    const browser = await watch();
    t.mock.timers.tick(HALF_AN_HOUR_MS - 400_000);
    await eventually('it is told something', () => browser.text().includes('event: beat'));
    assert.equal(streams.size, 1);
    t.mock.timers.tick(105_000);
    await eventually('its stream has ended', () => streams.size === 0);
    await eventually('in order', () => browser.text().endsWith('0\r\n\r\n'));
    assert.doesNotMatch(browser.text(), /signed-out/);
  });

  it('is told that it is signed out when its session has ended', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.now() });
    const all = await stand(t);
    const browser = await all.watch();
    all.ended = true;
    t.mock.timers.tick(5_000);
    await eventually('it is told', () => browser.text().includes('event: signed-out'));
    assert.equal(all.streams.size, 0);
  });
});
