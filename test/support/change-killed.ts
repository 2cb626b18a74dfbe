import { writeSync } from 'node:fs';
import { applyObjects, type ApplyOptions, contractObjects, type DbaProgress } from '../../host/dba/index.js';

/**
 * Changes a database in a process that is lost at a moment where it was not lost before: behind the statements of a step and before they
 * are written down, or behind a batch of rows. Says which one it was.
 */
const [work, options, seen] = process.argv.slice(2).map((text) => JSON.parse(text) as unknown) as [
  'apply' | 'contract',
  ApplyOptions,
  readonly string[],
];

function onProgress(event: DbaProgress): void {
  if (event.type !== 'change') return;
  const { event: change } = event;
  if (change.type !== 'ran' && change.type !== 'rows') return;
  const moment = `${work} ${change.type} ${change.type === 'ran' ? change.number : change.words}`;
  if (seen.includes(moment)) return;
  writeSync(1, moment);
  process.kill(process.pid, 'SIGKILL');
}

await (work === 'apply' ? applyObjects : contractObjects)({ ...options, onProgress });
writeSync(1, 'end');
