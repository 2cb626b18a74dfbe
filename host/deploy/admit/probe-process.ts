import type { ApartTask } from './probe-apart.js';
import { openProber } from './probe.js';

/* Entry of a process that probes one bundle, because that may end the process it runs in. */

process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.once('message', ({ task, options }: ApartTask) => {
  void openProber(options)
    .probe(task)
    .then((findings) => process.send?.(findings));
});
