import { join } from 'node:path';
import { Child } from '../bed/child.js';
import type { Question } from '../contract.js';
import type { Rounds } from '../measure/interleave.js';
import { toRow } from '../measure/to-row.js';
import type { DispatchSample } from '../processes/dispatch.js';

/** The least time a round needs to say anything. */
const LEAST_MS = 50;

/** What the host itself does for an operation, without any I/O. */
export const dispatchQuestion: Question = {
  name: 'dispatch',
  words: 'decode, dispatch and encode of one operation without I/O, against JSON.parse and JSON.stringify of its body',
  need: [],
  longestMs: 90_000,
  run: async (bed) => {
    const child = new Child({ program: 'dispatch', logFile: join(bed.folder, 'dispatch.log') });
    bed.atEnd(() => child.stop());
    bed.say('the request path alone');
    const samples: DispatchSample[] = [];
    for (let round = 0; round <= bed.effort.rounds; round++) {
      bed.signal.throwIfAborted();
      const sample = await child.call<DispatchSample>('run', { durationMs: Math.max(LEAST_MS, bed.effort.sliceMs) });
      if (round > 0) samples.push(sample);
    }
    const rounds: Rounds<number> = {
      subject: samples.map(({ dispatchNs }) => dispatchNs),
      against: samples.map(({ jsonNs }) => jsonNs),
    };
    const names = { question: 'dispatch', case: 'one operation', subject: 'BEDS, request path', unit: 'ns' };
    const of = (nanoseconds: number): number => nanoseconds;
    return [toRow(rounds, { ...names, against: 'JSON alone', of, target: { valueAtMost: 3_000 } })];
  },
};
