import { Bench } from 'tinybench';
import { serveParent } from '../bed/serve-parent.js';
import { makeDispatchProbe } from '../bed/dispatch-probe.js';

export interface DispatchSample {
  /** Nanoseconds of one operation. */
  readonly dispatchNs: number;
  readonly jsonNs: number;
}

/** Operations that begin together, as messages of one read of the socket do. */
const BURST = 100;

const probe = await makeDispatchProbe();

function parseAndWrite(): number {
  let length = 0;
  for (let n = 0; n < BURST; n++) length += JSON.stringify(JSON.parse(probe.body.toString('utf8'))).length;
  return length;
}

/** One slice of both, one after the other. */
async function run(durationMs: number): Promise<DispatchSample> {
  const bench = new Bench({ time: durationMs / 2, warmup: false, throws: true });
  bench.add('dispatch', () => probe.burst(BURST), { async: true });
  bench.add('json', parseAndWrite, { async: false });
  const [dispatch = 0, json = 0] = (await bench.run()).map(({ result }) =>
    'latency' in result ? (result.latency.p50 * 1e6) / BURST : Number.NaN,
  );
  return { dispatchNs: dispatch, jsonNs: json };
}

serveParent({
  calls: { run: ({ durationMs }: { durationMs: number }) => run(durationMs) },
  stop: async () => undefined,
});
