import { z } from 'zod';
import { didYouMean } from '#sdk/nearest';
import { adminErrors } from '../errors/admin.js';
import type { Finding } from '../template/contract.js';

/** Version of the messages. A node answers any other one with BEDS_ADMIN_UNSUPPORTED_VERSION. */
export const ADMIN_VERSION = 2;

export type Fields = Readonly<Record<string, z.ZodType>>;
export type InputOf<F extends Fields> = z.output<z.ZodObject<F, z.core.$strict>>;

/** What operators may, each all of the one before: a viewer asks, an operator rolls out, a dba decides about databases. */
export const OPERATOR_ROLES = ['viewer', 'operator', 'dba'] as const;
export type OperatorRole = (typeof OPERATOR_ROLES)[number];

/** A command or a query: the messages, the command line and the documents are made of this one entry. */
export interface Definition<F extends Fields = Fields> {
  /** One sentence, for the help and for PROTOCOL.md. */
  readonly summary: string;
  /** Further sentences of the help. */
  readonly details?: string;
  /** What the message holds beside the envelope. */
  readonly fields: F;
  /** It is about what all nodes share, so one of them is asked. */
  readonly byOneNode?: true;
  /** The least role that may, where an admin node runs. Default: of a query `viewer`, of a command `operator`. */
  readonly role?: OperatorRole;
}

/** What the help and PROTOCOL.md say of a field, and how the command line takes it. */
export interface FieldHelp {
  readonly description: string;
  /** Name of its option; absent: an argument by its position. */
  readonly option?: string;
  /** What a value is called, and so how it is read: `<percent>`, `<time>`; absent: the option is a switch. */
  readonly value?: '<percent>' | '<time>';
}

export const fieldHelp = z.registry<FieldHelp>();

/** What every message holds, beside `v` and `op`. */
export const ENVELOPE = {
  node: z
    .string()
    .max(200)
    .exactOptional()
    .register(fieldHelp, { description: 'Only this node acts and answers. Default: all.' }),
  by: z
    .string()
    .max(200)
    .exactOptional()
    .register(fieldHelp, { description: 'The name of the sender, as the sender states it.' }),
  order: z
    .strictObject({
      id: z.string().regex(/^[A-Za-z0-9-]{8,36}$/, 'is not an id'),
      at: z.number().exactOptional(),
      until: z.number().exactOptional(),
      revision: z.number().exactOptional(),
    })
    .exactOptional()
    .register(fieldHelp, {
      description:
        'Of a command to or from an admin node: its `id`, under which it is carried out once; when it was given (`at`) and when it is too late (`until`), milliseconds since 1970; and its place among all orders (`revision`).',
    }),
};

/** What a message to an admin node may hold beside that. */
export const DESK_ENVELOPE = {
  ...ENVELOPE,
  session: z
    .string()
    .max(10_000)
    .exactOptional()
    .register(fieldHelp, { description: 'To an admin node: the token of the session of who asks.' }),
  wait: z
    .strictObject({
      forMs: z.int().min(1).max(60_000),
      expected: z.int().min(1).max(10_000).exactOptional(),
      nodes: z.array(z.string().max(200)).min(1).max(1_000).exactOptional(),
    })
    .exactOptional()
    .register(fieldHelp, {
      description:
        'To an admin node: how long the nodes may take for their first answer (`forMs`, 3,000 without it), how many are there (`expected`), or which (`nodes`).',
    }),
};

/** What an admin node answers. */
export const deskAnswer = z.union([
  z.looseObject({
    ok: z.literal(true),
    /** As they came from the nodes. */
    answers: z.array(z.unknown()),
    /** Of a command: the nodes that it was given to, and how many there are. */
    asked: z.array(z.string()),
    nodeCount: z.number(),
  }),
  z.looseObject({
    ok: z.literal(false),
    node: z.string(),
    error: z.looseObject({ code: z.string(), message: z.string(), hint: z.string().exactOptional() }),
  }),
]);
export type DeskAnswer = z.output<typeof deskAnswer>;

/** Who asks. */
export interface Asker {
  /** Empty: it is not known. */
  readonly name: string;
  /** RabbitMQ checked the name, which is the account (AMQP `user-id`), or an admin node did. False: it is what the message says in `by`. */
  readonly verified: boolean;
}

interface AnswerBase {
  readonly v: number;
  /** Empty where the message named none. */
  readonly op: string;
  readonly node: string;
  readonly asker: Asker;
}

/** The answer of a node that did what it was asked. */
export interface Answer<R> extends AnswerBase {
  readonly ok: true;
  readonly result: R;
}

/** The answer of a node that refuses. */
export interface Refusal extends AnswerBase {
  readonly ok: false;
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint?: string;
    readonly findings?: readonly Finding[];
  };
}

/** The JSON object of a message. Throws BEDS_ADMIN_INVALID. */
export function parseMessage(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value = JSON.parse(body.toString('utf8')) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Reported below, together with JSON that is no object.
  }
  throw adminErrors.make('BEDS_ADMIN_INVALID', 'The message is not a JSON object.');
}

/** What one exchange takes. */
export interface Door<D extends Definition> {
  readonly definitions: Readonly<Record<string, D>>;
  /** Where a message is sent that this door does not know but the other one does. */
  readonly otherwise: { readonly exchange: string; readonly definitions: Readonly<Record<string, Definition>> };
}

/** A message of which every field was checked. */
export interface Checked<D extends Definition> {
  readonly op: string;
  readonly definition: D;
  readonly input: Readonly<Record<string, unknown>>;
  /** Of the envelope. */
  readonly node?: string;
  readonly by?: string;
}

/**
 * Checks a message against the definition that it names. Throws BEDS_ADMIN_UNSUPPORTED_VERSION, BEDS_ADMIN_UNKNOWN_COMMAND,
 * or BEDS_ADMIN_INVALID that names every field that is wrong, missing or unknown.
 */
export function checkMessage<D extends Definition>(
  message: Readonly<Record<string, unknown>>,
  door: Door<D>,
  envelope: Fields = ENVELOPE,
): Checked<D> {
  const { v, op, ...rest } = message;
  if (v !== ADMIN_VERSION) {
    const spoken = v === undefined ? 'The field "v" is missing' : `Version ${quote(v)} is not supported`;
    throw adminErrors.make('BEDS_ADMIN_UNSUPPORTED_VERSION', `${spoken}; this node supports version ${ADMIN_VERSION}.`);
  }
  if (typeof op !== 'string' || !Object.hasOwn(door.definitions, op)) throw unknown(op, door);
  const definition = door.definitions[op] as D;
  const checked = z.strictObject({ ...envelope, ...definition.fields }).safeParse(rest);
  if (!checked.success) throw invalid(op, rest, checked.error.issues);
  const { node, by, ...said } = checked.data as Readonly<Record<string, unknown>>;
  const input = Object.fromEntries(Object.entries(said).filter(([name]) => !Object.hasOwn(envelope, name)));
  return {
    ...{ op, definition, input },
    ...(typeof node === 'string' ? { node } : {}),
    ...(typeof by === 'string' ? { by } : {}),
  };
}

function unknown(op: unknown, { definitions, otherwise }: Door<Definition>): Error {
  const known = Object.keys(definitions);
  if (op === undefined) return adminErrors.make('BEDS_ADMIN_UNKNOWN_COMMAND', 'The field "op" is missing.');
  const name = typeof op === 'string' ? op.slice(0, 40) : '';
  const instead = Object.hasOwn(otherwise.definitions, name)
    ? ` Send it to the exchange ${otherwise.exchange}.`
    : `${didYouMean(name, known)} Known: ${known.join(', ')}.`;
  return adminErrors.make('BEDS_ADMIN_UNKNOWN_COMMAND', `This exchange takes no ${quote(op)}.${instead}`);
}

const MAX_PROBLEMS = 10;

function invalid(op: string, message: unknown, issues: readonly z.core.$ZodIssue[]): Error {
  const problems = issues.flatMap((issue) => problemsOf(issue, message));
  const hidden = problems.length - MAX_PROBLEMS;
  const shown = [...problems.slice(0, MAX_PROBLEMS), ...(hidden > 0 ? [`and ${hidden} more`] : [])];
  return adminErrors.make('BEDS_ADMIN_INVALID', `${op}: ${shown.join('; ')}.`);
}

function problemsOf(issue: z.core.$ZodIssue, message: unknown): readonly string[] {
  const field = quote(issue.path.map(String).join('.'));
  if (issue.code === 'unrecognized_keys') {
    const inside = issue.path.length === 0 ? '' : ` in ${field}`;
    return issue.keys.map((key) => `the field ${quote(key)}${inside} is unknown`);
  }
  if (issue.code === 'invalid_type' && valueAt(message, issue.path) === undefined)
    return [`the field ${field} is missing`];
  return [`the field ${field} ${issue.message.replace(/^Invalid input: expected/, 'must be')}`];
}

function valueAt(message: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Readonly<Record<PropertyKey, unknown>>)[key], message);
}

/** As JSON, so that it can steer no terminal; and never long. */
function quote(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
