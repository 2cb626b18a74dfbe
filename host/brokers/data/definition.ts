import { z } from 'zod';
import { defineBroker } from '../define.js';

const MODES = ['read', 'write'] as const;

/** Which of the two queues of a domain a broker of this mode consumes. */
function queuesOf(mode: (typeof MODES)[number] | 'both'): readonly (typeof MODES)[number][] {
  return mode === 'both' ? MODES : [mode];
}

export const definition = defineBroker({
  summary: 'Serves domains: every message is a request, and the caller gets the reply.',
  consumes:
    'The read queue, the write queue or both of every domain of its own. Where it consumes reads also `unrouted`: requests to domains that have no queue.',
  keeps: 'Nothing: a domain keeps its data in stores.',
  settings: {
    mode: z.enum([...MODES, 'both']).describe('Queues of a domain that this broker consumes.'),
    domains: z
      .array(z.string())
      .default(['*'])
      .describe('Domains that this broker serves, of those of its role. * means every one.'),
  },
  metrics: {},
  domainQueues: ({ mode }) => queuesOf(mode),
  domains: ({ domains }) => domains,
  ownQueues: ({ mode }) => (mode === 'write' ? [] : [{ name: 'unrouted', isShared: true }]),
  check: (brokers) =>
    MODES.filter((queue) => !brokers.some(({ mode, count }) => queuesOf(mode).includes(queue) && count > 0)).map(
      (mode) => `no role runs a broker of mode ${mode}, so no ${mode} would ever be served`,
    ),
});
