import { Bench } from 'tinybench';
import { serveParent } from '../context/child.js';
import { PAYLOAD } from '../context/serve-echo.js';
import { BATCH, makeClientProbe } from '../probes/client-probe.js';
import { makeDispatchProbe } from '../probes/dispatch-probe.js';
import { gate, GATE_BODIES } from '../probes/gate-bodies.js';

/** Nanoseconds of one operation, and of `JSON` alone with the same bytes. */
export interface DispatchSample {
  readonly dispatch: readonly [ns: number, jsonNs: number];
  readonly client: readonly [ns: number, jsonNs: number];
  /** By about the size of the body in bytes. */
  readonly gate: Readonly<Record<number, readonly [ns: number, jsonNs: number]>>;
}

/** Operations that begin together, as messages of one read of the socket do. */
const BURST = 100;
/** Shares of a slice that each side of a pair gets. */
const SHARES = { dispatch: 1 / 4, client: 1 / 8, gate: 1 / 16 };

const probe = await makeDispatchProbe();
const client = await makeClientProbe();
const replyText = JSON.stringify({ v: 1, id: 'bench-1', ok: true, data: PAYLOAD });

/** Times both, one after the other; each runs its operation `count` times. */
async function pair(
  durationMs: number,
  count: number,
  sides: { readonly ours: () => unknown; readonly json: () => unknown },
): Promise<readonly [number, number]> {
  const bench = new Bench({ time: durationMs, warmup: false, throws: true });
  const first = sides.ours();
  const isAsync = first instanceof Promise;
  await first;
  bench.add('ours', () => sides.ours(), { async: isAsync });
  bench.add('json', () => sides.json(), { async: false });
  const [ours = 0, json = 0] = (await bench.run()).map(({ result }) =>
    'latency' in result ? (result.latency.p50 * 1e6) / count : Number.NaN,
  );
  return [ours, json];
}

function repeat(count: number, work: () => unknown): () => unknown {
  return () => {
    let last: unknown;
    for (let n = 0; n < count; n++) last = work();
    return last;
  };
}

async function run(durationMs: number): Promise<DispatchSample> {
  const gates: Record<number, readonly [number, number]> = {};
  for (const { bytes, body } of GATE_BODIES) {
    // n.b. the clock is too coarse for one small body.
    const count = Math.max(1, Math.round(20_000 / bytes));
    gates[bytes] = await pair(durationMs * SHARES.gate, count, {
      ours: repeat(count, () => gate(body)),
      json: repeat(count, (): unknown => JSON.parse(body.toString('utf8'))),
    });
  }
  return {
    dispatch: await pair(durationMs * SHARES.dispatch, BURST, {
      ours: () => probe.burst(BURST),
      json: repeat(BURST, () => JSON.stringify(JSON.parse(probe.body.toString('utf8')))),
    }),
    client: await pair(durationMs * SHARES.client, BATCH, {
      ours: () => client.burst(),
      json: repeat(BATCH, () => JSON.stringify(PAYLOAD) + String(JSON.parse(replyText))),
    }),
    gate: gates,
  };
}

serveParent({
  calls: { run: ({ durationMs }: { durationMs: number }) => run(durationMs) },
  stop: () => client.stop(),
});
