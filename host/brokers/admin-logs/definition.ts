import { z } from 'zod';
import { defineBroker } from '../define.js';

const days = (byDefault: number, what: string): z.ZodDefault<z.ZodInt> =>
  z.int().min(1).max(3_660).default(byDefault).describe(`Number of days for which ${what} are kept.`);

export const definition = defineBroker({
  summary: 'Keeps the log lines of all nodes, for `beds logs` and `beds faults`.',
  consumes:
    'Its queue `logs`: what nodes publish as `log.<level>.<node>`. Beyond 64 MiB the oldest lines are left out.',
  keeps: 'Lines in the domain `logs`, by level and age.',
  settings: {
    debugDays: days(1, 'lines of the level debug and below'),
    infoDays: days(14, 'lines of the level info'),
    warnDays: days(90, 'lines of the level warn'),
    errorDays: days(366, 'lines of the level error and above'),
  },
  metrics: {
    beds_admin_logs_kept_total: 'Log lines that were kept.',
    beds_admin_logs_refused_total:
      'Messages that were not log lines of a node, or that RabbitMQ does not say a host has sent, and lines that the domain refused.',
    beds_admin_logs_failures_total: 'Attempts to keep lines that failed; they are tried again.',
    beds_admin_logs_removed_total: 'Lines that were removed for their age.',
  },
  ownQueues: () => [{ name: 'logs', bindings: { events: ['log.#'] }, lossyBytes: 67_108_864 }],
});
