import { z } from 'zod';
import { defineBroker } from '../define.js';

export const definition = defineBroker({
  summary:
    'Publishes the events that domains keep with their records, each at least once, and those of a record in order.',
  consumes:
    'No queue. It asks the domains that its role names: those with the operations `outbox` (takes the events of one record) and `outboxDone` (they are published).',
  keeps: 'Nothing: an event stays in its record until RabbitMQ has confirmed it.',
  settings: {
    everyMs: z
      .int()
      .min(10)
      .max(60_000)
      .default(1_000)
      .describe('Interval at which the domains are asked, besides at once after a write that this thread answered.'),
  },
  metrics: {
    beds_outbox_published_total: 'Events that RabbitMQ confirmed.',
    beds_outbox_failures_total:
      'Attempts to take or publish events that failed; what was not confirmed is published later.',
  },
});
