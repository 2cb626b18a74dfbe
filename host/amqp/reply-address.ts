import type { ChannelModel } from 'amqplib';

/**
 * Where a reply may be sent. A reply address is chosen by the caller, and the host publishes with rights of its own, so an
 * address that could name a request queue would let a caller write where it may not.
 *
 * - a direct reply-to address, as RabbitMQ rewrites it: https://www.rabbitmq.com/docs/direct-reply-to
 * - a queue named by the server (`amq.gen-…`): no request queue has such a name
 * - a durable reply queue, `<prefix>.reply.<name>`
 * - a queue whose name begins as the operator allows in `amqp.replyPrefixes`
 */
const DIRECT_PREFIX = 'amq.rabbitmq.reply-to.';
const DIRECT = /^amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/=_.-]{16,200}$/;
const SERVER_NAMED = /^amq\.gen-[A-Za-z0-9_-]{16,64}$/;

export interface ReplyAddress {
  readonly queue: string;
  /**
   * Whether RabbitMQ should give the message back when nobody has that queue. Never for direct reply-to: 3.10 delivers
   * such a reply and returns it as well.
   */
  readonly mandatory: boolean;
  /** Of a direct reply-to address. */
  readonly direct?: DirectReplyTo;
}

/**
 * What a direct reply-to address names. RabbitMQ before 4.2 closes the connection of whoever publishes to an address whose node is not
 * of its cluster, or whose process cannot be.
 */
export interface DirectReplyTo {
  /** As RabbitMQ writes it, `reply@` and a number for the node; undefined where the address has another form than it makes. */
  readonly node: string | undefined;
  /** Whether the process has numbers that every release takes. */
  readonly isOrdinary: boolean;
}

/** The address as given, or undefined when replies may not be sent there. `allowed`: beginnings of other names. */
export function parseReplyAddress(
  replyTo: string,
  prefix: string,
  allowed: readonly string[] = [],
): ReplyAddress | undefined {
  if (DIRECT.test(replyTo)) return { queue: replyTo, mandatory: false, direct: parseDirect(replyTo) };
  if (SERVER_NAMED.test(replyTo)) return { queue: replyTo, mandatory: true };
  for (const beginning of [`${prefix}.reply.`, ...allowed]) {
    if (replyTo.startsWith(beginning) && /^[A-Za-z0-9_.-]{1,128}$/.test(replyTo.slice(beginning.length))) {
      return { queue: replyTo, mandatory: true };
    }
  }
  return undefined;
}

const OTHER_FORM: DirectReplyTo = { node: undefined, isOrdinary: false };
// Tags of Erlang's external term format: https://www.erlang.org/doc/apps/erts/erl_ext_dist.html
const [FORMAT, NEW_PID, ATOM_UTF8, SMALL_ATOM_UTF8] = [131, 88, 118, 119];
/** Id, serial and creation, 32 bits each. */
const NUMBERS_BYTES = 12;
/** 15 and 13 bits: what Erlang takes in all releases. Newer ones number processes beyond. */
const [MAX_ID, MAX_SERIAL] = [0x7fff, 0x1fff];

/** `<process>.<key>`, both base64: the process as Erlang writes it, with the hash of the node's name in place of the name. */
function parseDirect(queue: string): DirectReplyTo {
  const [text = ''] = queue.slice(DIRECT_PREFIX.length).split('.');
  const bytes = Buffer.from(text, 'base64');
  // n.b. Node reads much that Erlang does not.
  if (bytes.length < NUMBERS_BYTES || bytes.toString('base64') !== text) return OTHER_FORM;
  if (bytes[0] !== FORMAT || bytes[1] !== NEW_PID) return OTHER_FORM;
  const nameAt = bytes[2] === ATOM_UTF8 ? 5 : 4;
  if (bytes[2] !== ATOM_UTF8 && bytes[2] !== SMALL_ATOM_UTF8) return OTHER_FORM;
  const nameBytes = bytes.length - nameAt - NUMBERS_BYTES;
  if (nameBytes !== bytes.readUIntBE(3, nameAt - 3)) return OTHER_FORM;
  const node = bytes.toString('latin1', nameAt, nameAt + nameBytes);
  // n.b. RabbitMQ looks at the number alone, so other letters and leading zeros would make many names of one node.
  if (!/^reply@(0|[1-9][0-9]{0,9})$/.test(node)) return OTHER_FORM;
  const [id, serial] = [bytes.readUInt32BE(nameAt + nameBytes), bytes.readUInt32BE(nameAt + nameBytes + 4)];
  return { node, isOrdinary: id <= MAX_ID && serial <= MAX_SERIAL };
}

/** A name that no queue has: RabbitMQ gives such queues names of 22 letters. */
const NOBODY = 'amq.gen-nobody';

/**
 * How direct reply-to addresses name the node that `model` is connected to; undefined where they do not. RabbitMQ writes the address into a
 * message, and a message that nobody gets comes back.
 */
export async function askNode(model: ChannelModel): Promise<string | undefined> {
  const channel = await model.createConfirmChannel();
  let replyTo = '';
  channel.on('error', () => undefined);
  channel.on('return', (message) => {
    replyTo = String(message.properties.replyTo);
  });
  await channel.consume('amq.rabbitmq.reply-to', () => undefined, { noAck: true });
  channel.publish('', NOBODY, Buffer.alloc(0), { mandatory: true, replyTo: 'amq.rabbitmq.reply-to' });
  await channel.waitForConfirms();
  await channel.close();
  return parseReplyAddress(replyTo, '')?.direct?.node;
}
