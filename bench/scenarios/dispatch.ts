import { join } from 'node:path';
import { Child } from '../context/child.js';
import type { Scenario, Row, Target } from '../contract.js';
import { type Rounds, toRow } from '../measure/rounds.js';
import type { DispatchSample } from '../processes/dispatch.js';

/** The least time a round needs to say anything. */
const LEAST_MS = 50;
const TARGET: Target = { valueAtMost: 3_000 };

type Timed = (sample: DispatchSample) => readonly [ns: number, jsonNs: number];

/** What the host itself does for an operation, without any I/O; and what the client does. */
export const dispatchScenario: Scenario = {
  name: 'dispatch',
  description: 'decode, dispatch and encode without I/O; the client alone; the gate by body size: against JSON alone',
  need: [],
  timeLimitMs: 90_000,
  run: async (context) => {
    const child = new Child({ program: 'dispatch', logFile: join(context.folder, 'dispatch.log') });
    context.atEnd(() => child.stop());
    context.say('the request path, the client and the gate, each alone');
    const samples: DispatchSample[] = [];
    for (let round = 0; round <= context.effort.rounds; round++) {
      context.signal.throwIfAborted();
      const sample = await child.call<DispatchSample>('run', {
        durationMs: Math.max(LEAST_MS, context.effort.sliceMs),
      });
      if (round > 0) samples.push(sample);
    }
    const row = toRows(samples);
    const sizes = Object.keys(samples[0]?.gate ?? {}).map(Number);
    return [
      row('one operation', 'BEDS, request path', { of: ({ dispatch }) => dispatch, target: TARGET }),
      row('one operation of a batch', 'BEDS, client', { of: ({ client }) => client }),
      ...sizes.map((bytes) =>
        row(`a body of ${bytes.toLocaleString('en')} bytes`, 'BEDS, gate', {
          of: ({ gate }) => gate[bytes] ?? [Number.NaN, Number.NaN],
        }),
      ),
    ];
  },
};

/** Makes the row of one thing that was timed beside JSON alone. */
function toRows(samples: readonly DispatchSample[]) {
  return (what: string, subject: string, { of, target }: { readonly of: Timed; readonly target?: Target }): Row => {
    const rounds: Rounds<number> = {
      subject: samples.map((sample) => of(sample)[0]),
      against: samples.map((sample) => of(sample)[1]),
    };
    const names = { scenario: 'dispatch', case: what, subject, against: 'JSON alone', unit: 'ns' };
    return toRow(rounds, { ...names, of: (nanoseconds) => nanoseconds, ...(target && { target }) });
  };
}
