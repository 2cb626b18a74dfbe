import { z } from 'zod';
import { fieldHelp, type Definition } from './protocol.js';

const place = z.object({ seq: z.number(), hash: z.string() });
const text = z.string();

/** A part of the audit, and where that ends. */
export const auditPage = z.object({
  records: z.array(
    z.object({
      ...{ ...place.shape, id: text, order_id: text, step: text, at: z.number(), node: text, previous: text },
      ...{ user_id: text, user_name: text, source: text, op: text, target: text, outcome: text, words: text },
    }),
  ),
  last: place,
});
export type AuditPage = z.output<typeof auditPage>;

/** Records in one answer. */
export const AUDIT_PAGE = 200;

/** What all nodes shall run, what they have reported, and where that differs. */
export const fleetView = z.object({
  revision: z.number(),
  desired: z.record(text, z.object({ hash: text, version: text, state: text, at: z.number(), revision: z.number() })),
  members: z.array(z.looseObject({ node: text, at: z.number(), roles: z.array(text) })),
  drift: z.array(z.object({ node: text, domain: text, shall: text, does: text })),
});
export type FleetView = z.output<typeof fleetView>;

/** Orders that an admin node carries out itself. */
export const DESK_ORDERS = {
  forget: {
    summary: 'Forget a node that does not come back.',
    fields: {
      name: z.string().min(1).max(200).register(fieldHelp, { description: 'The name of the node.' }),
    },
    role: 'operator',
  },
} as const satisfies Readonly<Record<string, Definition>>;

/** What is kept of all nodes, by the question: the domain that has it, and its operation for this. */
export const KEPT = {
  logs: { domain: 'logs', op: 'searchForDesk' },
  faults: { domain: 'logs', op: 'faultsForDesk' },
  series: { domain: 'metrics', op: 'seriesForDesk' },
  overview: { domain: 'metrics', op: 'overviewForDesk' },
  objects: { domain: 'metrics', op: 'objectsForDesk' },
} as const;
export type KeptName = keyof typeof KEPT;

/** What an admin node answers itself. */
export const DESK_QUERIES = {
  kept: {
    summary: 'Show what is kept of all nodes: log lines, faults by cause, samples over time, the use of objects.',
    fields: {
      what: z
        .enum(Object.keys(KEPT) as KeptName[])
        .register(fieldHelp, { description: 'Which of them: logs, faults, series, overview or objects.' }),
      input: z.record(z.string().max(100), z.json()).register(fieldHelp, {
        description:
          'The input of `logs.search`, `logs.faults`, `metrics.series`, `metrics.overview` or `metrics.objects`.',
      }),
    },
  },
  fleet: { summary: 'Show what all nodes shall run, and which of them deviate.', fields: {} },
  audit: {
    summary: 'Show who ordered what, and what came of it.',
    fields: {
      after: z.int().min(0).exactOptional().register(fieldHelp, {
        description: 'Records behind this one, the oldest first. Default: the newest, oldest first.',
      }),
      limit: z
        .int()
        .min(1)
        .max(AUDIT_PAGE)
        .exactOptional()
        .register(fieldHelp, { description: 'At most so many. Default 200.' }),
    },
  },
} as const satisfies Readonly<Record<string, Definition>>;
