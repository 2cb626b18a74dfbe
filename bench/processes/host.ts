import { subscribe } from 'node:diagnostics_channel';
import { EventEmitter, once } from 'node:events';
import type { Config } from '../../host/config/schema.js';
import { type Host, startHost } from '../../host/main.js';
import { lifecycleChannel } from '../../host/observe/channels.js';
import { serveParent, type Step } from '../context/child.js';

/** The host under test, alone in its process as in production. */
let host: Host | undefined;
let steps: Step[] = [];
const events = new EventEmitter<{ step: [] }>();

subscribe(lifecycleChannel.name, (message) => {
  steps.push({ ...(message as Omit<Step, 'at'>), at: performance.now() });
  events.emit('step');
});

serveParent({
  calls: {
    start: async (options: { readonly config: Config; readonly projectRoot: string }) => {
      host = await startHost(options);
    },
    /** Resolves to what was seen since the last time, when a version serves or is refused. */
    served: async ({ version, timeoutMs }: { readonly version: string; readonly timeoutMs: number }) => {
      const signal = AbortSignal.timeout(timeoutMs);
      const isOver = (step: Step): boolean =>
        step.version === version && (step.state === 'active' || step.state === 'rejected');
      while (!steps.some(isOver) && !signal.aborted) await once(events, 'step', { signal }).catch(() => undefined);
      const seen = steps;
      steps = [];
      return seen;
    },
  },
  stop: async () => host?.stop(),
});
