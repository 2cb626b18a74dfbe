import { z } from 'zod';
import { defineBroker } from '../define.js';

export const definition = defineBroker({
  summary:
    'Sends what an operator must not miss to a syslog server (RFC 5424): a thread that ended, a store that is lost, a version in quarantine or rolled back by the guard, dead letters.',
  consumes:
    'Its queue `syslog`, where a host is set: what nodes publish as `alert.<kind>.<node>`. Beyond 16 MiB the oldest are left out.',
  keeps: 'Messages that the server has not taken, up to `maxWaiting`. They stay with RabbitMQ until they are sent.',
  settings: {
    host: z.string().default('').describe('Host of the syslog server. Empty: nothing is sent.'),
    port: z.int().min(1).max(65_535).default(514).describe('Its port; 6514 is usual for TLS.'),
    transport: z
      .enum(['udp', 'tcp', 'tls'])
      .default('udp')
      .describe(
        'How messages are sent: a datagram each, or by TCP or TLS with their length before them (octet counting).',
      ),
    caFile: z
      .string()
      .default('')
      .describe('File with the certificates that the server is checked by. Empty: those of Node.'),
    facility: z.int().min(0).max(23).default(16).describe('Facility of the messages: 16 is local0.'),
    enterpriseNumber: z
      .int()
      .min(1)
      .default(32_473)
      .describe(
        'Private enterprise number in the name of the structured data, beds@<number>. 32473 is the one for examples.',
      ),
    maxMessageBytes: z
      .int()
      .min(480)
      .max(65_000)
      .default(2_048)
      .describe('Maximum size of a message; the text is cut to fit. Every server takes 480, and should take 2048.'),
    maxWaiting: z
      .int()
      .min(1)
      .max(1_900)
      .default(150)
      .describe(
        'Messages that wait for the server; beyond them the oldest is dropped and counted. Less than prefetch.',
      ),
  },
  metrics: {
    beds_admin_syslog_sent_total: 'Messages that were sent.',
    beds_admin_syslog_dropped_total: 'Messages that were dropped because too many waited.',
    beds_admin_syslog_refused_total:
      'Messages that were no alerts of a node, or that RabbitMQ does not say a host has sent.',
    beds_admin_syslog_failures_total: 'Connections to the server that failed, and datagrams that could not be sent.',
    beds_admin_syslog_waiting: 'Messages that wait for the server.',
  },
  ownQueues: ({ host }) =>
    host === '' ? [] : [{ name: 'syslog', bindings: { events: ['alert.#'] }, lossyBytes: 16_777_216 }],
});
