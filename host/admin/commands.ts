import { z } from 'zod';
import { FILE_NAME } from '../deploy/admit/read-drop.js';
import { adminErrors } from '../errors/admin.js';
import type { BundleFiles, Operations, Receipt } from './contract.js';
import type { DeadLetterDesk, LetterOutcome } from './dead-letters.js';
import { fieldHelp, type Definition, type Fields, type InputOf } from './protocol.js';
import type { RolloutStatus } from './rollout-status.js';
import type { DeadLetterDetail } from './shown.js';

/** Bundles in one `deploy`. */
export const MAX_BUNDLES = 32;

export interface BundleLimits {
  /** Bytes of one bundle, all its files together. */
  readonly maxBundleBytes: number;
  /** Files of one bundle. */
  readonly maxFiles: number;
}

/** The dependencies of a command. */
export interface CommandTarget {
  readonly operations: Operations;
  readonly limits: BundleLimits;
  readonly letters: DeadLetterDesk;
  /** Until when whoever asks waits for the answer, in terms of performance.now(). */
  readonly untilMs: number;
}

export interface CommandDefinition<F extends Fields = Fields> extends Definition<F> {
  /** Resolves when the command is accepted. */
  execute(input: InputOf<F>, target: CommandTarget): Promise<readonly Receipt[]>;
  /** Whether a version is in the state that the command asks for. Absent: acceptance by the nodes is enough. */
  isReached?(status: RolloutStatus, input: InputOf<F>): boolean;
}

/** The result of every command. */
export const commandResult = z.object({
  /** ISO 8601 instant, by the node's clock, when it began: later entries of the history are its effects. */
  at: z.string(),
  receipts: z.array(
    z
      .object({
        ...{ domain: z.string(), version: z.string(), hash: z.string(), words: z.string() },
        count: z.int().exactOptional(),
        letter: z.custom<DeadLetterDetail>((value) => typeof value === 'object' && value !== null).exactOptional(),
        notices: z
          .array(z.object({ code: z.string(), message: z.string(), hint: z.string().exactOptional() }))
          .readonly()
          .exactOptional(),
      })
      .readonly(),
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

/** Ids in one order: the audit has room for all of them. */
export const MAX_LETTER_IDS = 100;
/** Letters that one order may be about. */
export const MAX_LETTERS = 10_000;
export const letterId = z.string().regex(/^[0-9a-f]{16}$/, 'is not the id of a dead letter');
const reason = z.string().regex(/^[A-Za-z_]{1,100}$/, 'is not the reason of a dead letter');
const operation = z.string().regex(/^[A-Za-z_$][\w$-]{0,99}$/, 'is not the name of an operation');

/** Which dead letters a message is about. */
export const letterFields = {
  domain: domain.exactOptional().register(fieldHelp, { description: 'Only those of this domain.' }),
  operation: operation.exactOptional().register(fieldHelp, { description: 'Only those of this operation.' }),
  reason: reason.exactOptional().register(fieldHelp, { description: 'Only those with this reason.' }),
};

const letterOrder = {
  ...letterFields,
  ids: z
    .array(letterId)
    .min(1)
    .max(MAX_LETTER_IDS)
    .exactOptional()
    .register(fieldHelp, {
      description: `At most ${MAX_LETTER_IDS} letters, by id. Default: all that the other fields fit.`,
    }),
  most: z.int().min(1).max(MAX_LETTERS).register(fieldHelp, {
    description:
      'At most so many letters, the oldest first: as many as were confirmed, so that none that came since is among them.',
  }),
};

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
    description: `At most ${MAX_BUNDLES} bundles, each an object of file names and contents in base64. Deployed bundles take over together.`,
  });

/** Every command to a node. An entry here puts the command on the wire, on the command line and in the help. */
export const COMMANDS = {
  deploy: command({
    summary: 'Send built domains to the running hosts and follow them until they serve.',
    details:
      'Sends the output of `beds build` over RabbitMQ, so it needs no access to the plugin directory. Several domains take over ' +
      'together or not at all. Without options, [rollout] in the configuration of each host applies. Exits with 0 only when ' +
      'every version serves on every node (with --hold: when it is a canary there; with --no-wait: when it was accepted).',
    fields: {
      bundles,
      canaryPercent: percent.exactOptional().register(fieldHelp, {
        description: 'Percentage of the callers that the new version answers at first: 5%.',
        option: 'canary',
        value: '<percent>',
      }),
      forMs: z.int().min(1).max(MAX_CANARY_MS).exactOptional().register(fieldHelp, {
        description: 'Time that it must stay healthy as a canary: 30s, 5m.',
        option: 'for',
        value: '<time>',
      }),
      shadowPercent: percent.exactOptional().register(fieldHelp, {
        description: 'Percentage of the reads that are also sent to it as copies: 10%.',
        option: 'shadow',
        value: '<percent>',
      }),
      hold: z
        .boolean()
        .exactOptional()
        .register(fieldHelp, { description: 'Stay a canary until `beds promote`.', option: 'hold' }),
      allowBreaking: z.boolean().exactOptional().register(fieldHelp, {
        description: 'Accept changes that break the contract of the serving version.',
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
    summary: 'List everything for which a host would refuse built domains, without deploying them.',
    details:
      'Runs all of admission: bytes, probe, database, and the contract of the serving version. The probe runs their code on the host, so that it is an order like `deploy`.',
    fields: { bundles },
    execute: ({ bundles: sent }, { operations, limits }) => {
      for (const [index, files] of sent.entries()) requireSize(files, index, limits);
      return operations.check(sent);
    },
  }),
  rollback: command({
    summary: 'End a canary, or go back to an earlier version.',
    details:
      'Without a version it ends the canary, or goes back to the version that served before. It needs no plugin ' +
      'directory: each host keeps the last versions (`beds versions <domain>` lists them).',
    fields: {
      domain,
      version: z
        .string()
        .regex(VERSION, 'is not a version')
        .exactOptional()
        .register(fieldHelp, { description: 'A version, or a hash or its first digits. Default: the version before.' }),
    },
    execute: async (input, { operations }) => [await operations.rollback(input.domain, input.version)],
    // The receipt of an ended canary may name the canary.
    isReached: ({ state, findings, changes }) =>
      state === 'active' ||
      findings.some(({ code }) => code === 'BEDS_ROLLOUT_ROLLED_BACK') ||
      // It drains, and its reason is not known yet.
      (state === 'replaced' && !changes.some((change) => change.state === 'active')),
  }),
  promote: command({
    summary: 'Let a canary, or a version that a pause holds back, take over now.',
    details: 'Also ends a pause. Follows the version until it serves on every node.',
    fields: { domain },
    execute: async (input, { operations }) => [await operations.promote(input.domain)],
    isReached: ({ state }) => state === 'active',
  }),
  pause: command({
    summary: 'Freeze a domain: a canary keeps its share, and no new version takes over.',
    details:
      '`beds promote` ends the pause and lets the waiting version take over; `beds rollback` abandons that version.',
    fields: { domain },
    execute: async (input, { operations }) => [await operations.pause(input.domain)],
  }),
  undeploy: command({
    summary: 'Take a domain out of service, after its requests are answered.',
    details:
      'Its file in the plugin directory is ignored until it changes. `beds deploy` or `beds rollback` brings the domain back.',
    fields: { domain },
    execute: async (input, { operations }) => [await operations.undeploy(input.domain)],
  }),
  lift: command({
    summary: 'Lift the quarantine of bundles, as if they had never been tried.',
    fields: {
      name: z
        .union([domain, z.string().regex(/^[0-9a-f]{6,64}$/)], 'is neither a hash nor a domain')
        .register(fieldHelp, {
          description: 'A hash or its first digits (at least 6), or a domain for all its bundles.',
        }),
    },
    execute: (input, { operations }) => operations.lift(input.name),
  }),
  deadLetter: command({
    summary: 'Show one dead letter: its headers and its body, without tokens and passwords.',
    byOneNode: true,
    fields: { id: letterId.register(fieldHelp, { description: 'The id that `dead` gives it.' }) },
    execute: async ({ id }, { letters, untilMs }) => {
      const letter = await letters.look(id, untilMs);
      const { domain: name, reason: why } = letter;
      return [{ domain: name, version: '', hash: '', words: `The letter ${id}: ${why}.`, letter }];
    },
  }),
  deadResend: command({
    summary: 'Send dead letters again, as requests that were made now and that nobody waits for.',
    byOneNode: true,
    fields: letterOrder,
    execute: async (order, { letters, untilMs }) => receiptsOf(await letters.resend(order, untilMs), 'sent again'),
  }),
  deadDrop: command({
    summary: 'Drop dead letters for good.',
    byOneNode: true,
    fields: letterOrder,
    execute: async (order, { letters, untilMs }) => receiptsOf(await letters.drop(order, untilMs), 'dropped'),
  }),
};

export type CommandName = keyof typeof COMMANDS;
export type CommandInput<N extends CommandName> = z.input<z.ZodObject<(typeof COMMANDS)[N]['fields'], z.core.$strict>>;

export type LaneName = 'bundles' | 'orders' | 'letters';

/**
 * What receives bundles takes its time, and may meet a disk or a database that never answers; dead letters may be many. Nothing else
 * waits for these: a rollback must be possible then.
 */
export function laneOf(op: string): LaneName {
  if (!Object.hasOwn(COMMANDS, op)) return 'orders';
  const { fields, byOneNode }: CommandDefinition = COMMANDS[op as keyof typeof COMMANDS];
  if ('bundles' in fields) return 'bundles';
  return byOneNode === true ? 'letters' : 'orders';
}

/** RabbitMQ's own limit before release 4. */
const MAX_MESSAGE_BYTES = 134_217_728;

/** The largest command that can be valid, bytes. */
export function maxCommandBytes({ maxBundleBytes, maxFiles }: BundleLimits): number {
  const names = maxFiles * 160;
  return Math.min(MAX_MESSAGE_BYTES, MAX_BUNDLES * (Math.ceil(maxBundleBytes / 3) * 4 + names) + 4_096);
}

/** One for each domain, one for each reason for which some were not sent, and one for those of which nobody knows. */
function receiptsOf({ done, refused, doubtful }: LetterOutcome, did: string): readonly Receipt[] {
  const receipt = (name: string, count: number, words: string): Receipt => ({
    ...{ domain: name, version: '', hash: '', count },
    words: `${count.toLocaleString('en')} ${count === 1 ? 'letter' : 'letters'}${name === '' ? '' : ` of ${name}`} ${words}`,
  });
  const byDomain = countBy(done.map((letter) => letter.domain));
  const byReason = countBy(refused.map(({ why }) => why));
  return [
    ...[...byDomain].map(([name, count]) => receipt(name, count, `${count === 1 ? 'was' : 'were'} ${did}.`)),
    ...[...byReason].map(([why, count]) => receipt('', count, `cannot be sent again: ${why}.`)),
    ...(doubtful === 0
      ? []
      : [receipt('', doubtful, 'may be there twice: RabbitMQ did not confirm in time that it has what was sent.')]),
    ...(done.length + refused.length + doubtful === 0 ? [receipt('', 0, `were ${did}: none fits.`)] : []),
  ];
}

function countBy(names: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
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
