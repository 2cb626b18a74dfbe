import { defineBroker } from '../define.js';

export const definition = defineBroker({
  summary:
    'Keeps samples of all nodes for graphs, and how much objects of stores are used, for `beds graph` and `beds objects`.',
  consumes:
    'Its queue `metrics`: what nodes publish every 5 s as `sample.<node>`, and every minute as `usage.<node>`. Beyond 32 MiB the oldest are left out.',
  keeps:
    'Samples in the domain `metrics`: of 5 s for a day, of a minute for 8 days, of five minutes for 32, of an hour for a year.',
  settings: {},
  metrics: {
    beds_admin_graph_kept_total: 'Messages with samples or usage that were kept.',
    beds_admin_graph_refused_total: 'Messages that were neither, or that RabbitMQ does not say a host has sent.',
    beds_admin_graph_failures_total: 'Attempts to keep samples that failed; they are tried again.',
  },
  ownQueues: () => [{ name: 'metrics', bindings: { events: ['sample.#', 'usage.#'] }, lossyBytes: 33_554_432 }],
});
