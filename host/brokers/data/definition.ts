import { z } from 'zod';
import { defineBroker } from '../define.js';

const MODES = ['read', 'write'] as const;

export const definition = defineBroker({
  summary: 'Serves domains: every message is a request, and the caller gets the reply.',
  consumes:
    'The read queue or the write queue of every domain of its role. With mode read also `unrouted`: requests to domains that have no queue.',
  keeps: 'Nothing: a domain keeps its data in stores.',
  settings: { mode: z.enum(MODES).describe('Queues of a domain that this broker consumes.') },
  metrics: {},
  domainQueue: ({ mode }) => mode,
  ownQueues: ({ mode }) => (mode === 'read' ? [{ name: 'unrouted', isShared: true }] : []),
  check: (brokers) =>
    MODES.filter((mode) => !brokers.some((broker) => broker.mode === mode && broker.count > 0)).map(
      (mode) => `no role runs a broker of mode ${mode}, so no ${mode} would ever be served.`,
    ),
});
