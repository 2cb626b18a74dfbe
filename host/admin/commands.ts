import { z } from 'zod';
import { FILE_NAME } from '../deploy/admit/read-drop.js';
import { adminErrors } from '../errors/admin.js';
import type { BundleFiles, Operations, Receipt } from './contract.js';
import { fieldHelp, type Definition, type Fields, type InputOf } from './protocol.js';
import type { RolloutStatus } from './rollout-status.js';

/** Bundles in one `deploy`. */
export const MAX_BUNDLES = 32;

export interface BundleLimits {
  /** Bytes of one bundle, all its files together. */
  readonly maxBundleBytes: number;
  /** Files of one bundle. */
  readonly maxFiles: number;
}

/** What a command is executed with. */
export interface CommandTarget {
  readonly operations: Operations;
  readonly limits: BundleLimits;
}

export interface CommandDefinition<F extends Fields = Fields> extends Definition<F> {
  /** Resolves when the command is accepted. */
  execute(input: InputOf<F>, target: CommandTarget): Promise<readonly Receipt[]>;
  /** Whether a version stands where the command wants it. Absent: it is enough that the nodes accept. */
  isReached?(status: RolloutStatus, input: InputOf<F>): boolean;
}

/** What every command results in. */
export const commandResult = z.object({
  /** ISO 8601 instant, by the node's clock, when it began: what the history has since is the work of the command. */
  at: z.string(),
  receipts: z.array(
    z.object({ domain: z.string(), version: z.string(), hash: z.string(), words: z.string() }).readonly(),
  ),
});
export type CommandResult = z.output<typeof commandResult>;

export const domain = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'is not the name of a domain')
  .register(fieldHelp, { description: 'The domain.' });
/** A version, or a hash or its beginning. */
export const VERSION = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$/;
const percent = z.number().min(0).max(100);
const MAX_CANARY_MS = 86_400_000;

const bundle = z
  .record(z.string().regex(FILE_NAME, 'is not the name of a file'), z.string().refine(isBase64, 'is not in base64'))
  .refine((files) => Object.keys(files).length > 0, 'has no files')
  .transform((files): BundleFiles => {
    const entries = Object.entries(files).map(([name, text]) => [name, Buffer.from(text, 'base64')] as const);
    return new Map(entries);
  });

const bundles = z
  .array(bundle)
  .min(1)
  .max(MAX_BUNDLES)
  .register(fieldHelp, {
    description: `Bundles, in a deploy those that take over together, at most ${MAX_BUNDLES}: file name to content in base64.`,
  });

/** Everything that an operator may have a node do. A command that is added here is on the wire, on the command line and in the help. */
export const COMMANDS = {
  deploy: command({
    summary: 'Send built domains to the running hosts and follow them until they serve.',
    details:
      'Takes what `beds build` wrote, over RabbitMQ: no access to the plugin directory is needed. Several domains take over ' +
      'together or not at all. What no option says comes from [rollout] in the configuration of each host. Exits with 0 only when ' +
      'every version serves on every node (with --hold: is a canary there; with --no-wait: was accepted).',
    fields: {
      bundles,
      canaryPercent: percent.exactOptional().register(fieldHelp, {
        description: 'Share of the callers that it answers at first: 5%.',
        option: 'canary',
        value: '<percent>',
      }),
      forMs: z.int().min(1).max(MAX_CANARY_MS).exactOptional().register(fieldHelp, {
        description: 'How long it must hold as a canary: 30s, 5m.',
        option: 'for',
        value: '<time>',
      }),
      shadowPercent: percent.exactOptional().register(fieldHelp, {
        description: 'Share of the reads that it gets a copy of: 10%.',
        option: 'shadow',
        value: '<percent>',
      }),
      hold: z
        .boolean()
        .exactOptional()
        .register(fieldHelp, { description: 'Stay a canary until `beds promote`.', option: 'hold' }),
      allowBreaking: z.boolean().exactOptional().register(fieldHelp, {
        description: 'Also when it breaks the contract of the version that serves.',
        option: 'allow-breaking',
      }),
    },
    execute: async ({ bundles: sent, ...options }, { operations, limits }) => {
      for (const [index, files] of sent.entries()) requireSize(files, index, limits);
      return operations.deploy(sent, options);
    },
    isReached: ({ state, canary }, { hold }) =>
      state === 'active' || (hold === true && state === 'canary' && canary !== undefined),
  }),
  check: command({
    summary: 'Say what a host would refuse built domains for, without deploying them.',
    details: 'Runs all of admission: bytes, a trial run, the database, and the contract of the version that serves.',
    fields: { bundles },
    execute: ({ bundles: sent }, { operations, limits }) => {
      for (const [index, files] of sent.entries()) requireSize(files, index, limits);
      return operations.check(sent);
    },
  }),
  rollback: command({
    summary: 'End a canary, or go back to a version that served before.',
    details:
      'Without a version it ends a canary, or goes to the version that served before the present one. It needs no plugin ' +
      'directory: each host keeps the last versions (`beds versions <domain>` lists them).',
    fields: {
      domain,
      version: z
        .string()
        .regex(VERSION, 'is not a version')
        .exactOptional()
        .register(fieldHelp, { description: 'A version, or a hash or its beginning. Default: the one before.' }),
    },
    execute: async (input, { operations }) => [await operations.rollback(input.domain, input.version)],
    // The receipt of an ended canary may name the canary.
    isReached: ({ state, findings, changes }) =>
      state === 'active' ||
      findings.some(({ code }) => code === 'BEDS_ROLLOUT_ROLLED_BACK') ||
      // It drains, and the reason is not told yet.
      (state === 'replaced' && !changes.some((change) => change.state === 'active')),
  }),
  promote: command({
    summary: 'Let a canary, or a version that waits because of a pause, take over now.',
    details: 'Ends a pause as well. Follows the version until it serves on every node.',
    fields: { domain },
    execute: async (input, { operations }) => [await operations.promote(input.domain)],
    isReached: ({ state }) => state === 'active',
  }),
  pause: command({
    summary: 'Keep a domain as it is: a canary keeps its share, and no new version takes over.',
    details: '`beds promote` ends the pause and lets what waits take over; `beds rollback` abandons it.',
    fields: { domain },
    execute: async (input, { operations }) => [await operations.pause(input.domain)],
  }),
  undeploy: command({
    summary: 'Take a domain out of service after every request that it has is answered.',
    details:
      'Its file in the plugin directory counts again only when it changes; `beds deploy` or `beds rollback` brings the domain back.',
    fields: { domain },
    execute: async (input, { operations }) => [await operations.undeploy(input.domain)],
  }),
  lift: command({
    summary: 'Allow quarantined bundles again: they count as never tried.',
    fields: {
      name: z
        .union([domain, z.string().regex(/^[0-9a-f]{6,64}$/)], 'is neither a hash nor a domain')
        .register(fieldHelp, {
          description: 'A hash or its first digits (at least 6), or a domain for all of its bundles.',
        }),
    },
    execute: (input, { operations }) => operations.lift(input.name),
  }),
};

export type CommandName = keyof typeof COMMANDS;
export type CommandInput<N extends CommandName> = z.input<z.ZodObject<(typeof COMMANDS)[N]['fields'], z.core.$strict>>;

/** RabbitMQ's own limit before release 4. */
const MAX_MESSAGE_BYTES = 134_217_728;

/** The largest command that can be valid, bytes. */
export function maxCommandBytes({ maxBundleBytes, maxFiles }: BundleLimits): number {
  const names = maxFiles * 160;
  return Math.min(MAX_MESSAGE_BYTES, MAX_BUNDLES * (Math.ceil(maxBundleBytes / 3) * 4 + names) + 4_096);
}

/** Infers the types of a definition. */
function command<F extends Fields>(definition: CommandDefinition<F>): CommandDefinition<F> {
  return definition;
}

/** n.b. no group that repeats: such an expression overflows its stack on megabytes. */
function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

function requireSize(files: BundleFiles, index: number, { maxFiles, maxBundleBytes }: BundleLimits): void {
  const which = `Bundle ${index + 1}`;
  if (files.size > maxFiles) {
    const message = `${which} has ${files.size} files; plugins.maxFiles is ${maxFiles}.`;
    throw adminErrors.make('BEDS_ADMIN_TOO_LARGE', message);
  }
  const bytes = [...files.values()].reduce((sum, content) => sum + content.length, 0);
  if (bytes <= maxBundleBytes) return;
  const message = `${which} has ${bytes} bytes; plugins.maxBundleBytes is ${maxBundleBytes}.`;
  throw adminErrors.make('BEDS_ADMIN_TOO_LARGE', message);
}
