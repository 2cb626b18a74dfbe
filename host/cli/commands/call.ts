import { commandErrors, EXIT } from '#sdk/cli';
import { randomUUID } from 'node:crypto';
import { connectBeds } from '@beds/sdk/client';
import type { JsonObject } from '@beds/sdk';
import { CORE_OPERATIONS, type RequestEnvelope } from '#sdk/template';
import { makeNames } from '../../amqp/names.js';
import type { Command, CommandContext } from '../command.js';
import { brokerOf } from '../broker-of.js';
import { timeoutOf, TIMEOUT_OPTION } from '../options.js';

const MEMBERS = ['payload', 'query', 'key'] as const;

export const callCommand: Command = {
  name: 'call',
  summary: 'Call an operation of a domain and print the reply.',
  usage: 'call <domain>.<operation> [json] [--timeout <ms>]',
  options: { timeout: TIMEOUT_OPTION },
  details:
    'The JSON has the members of the envelope: {"query": …}, {"key": …}, {"payload": …}. For a custom operation the arguments ' +
    'alone are enough. If one of them is itself named payload, query or key, wrap them: {"payload":{"payload":…}}. ' +
    '"meta" may be given as well: {"payload":…,"meta":{"idempotencyKey":"…"}}. Example: beds call cities.fetch \'{"query":{"where":{"country":"AD"},"limit":3}}\'',
  run: async (context) => {
    const request = requestOf(context);
    const { url, prefix } = brokerOf(context);
    const client = await connectBeds({ url, name: 'beds call', exchange: makeNames(prefix).requests });
    try {
      const reply = await client.request(request, context.signal);
      context.out.value(reply);
      return reply.ok ? EXIT.ok : EXIT.failed;
    } finally {
      await client.close();
    }
  },
};

/** What the command line asks for. Throws BEDS_CLI_ARGUMENT_INVALID. */
export function requestOf(context: Pick<CommandContext, 'args' | 'options'>): RequestEnvelope {
  const [target = '', json = '{}'] = context.args;
  const [domain, op, ...rest] = target.split('.');
  if (domain === undefined || op === undefined || domain === '' || op === '' || rest.length > 0) {
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'The first argument must be <domain>.<operation>.');
  }
  const given = parseObject(json);
  const isCore = (CORE_OPERATIONS as readonly string[]).includes(op);
  const { meta = {}, ...asked } = isCore || isEnvelopePart(given) ? given : { payload: given };
  if (!isObject(meta)) throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'The member meta must be a JSON object.');
  return {
    v: 1,
    id: randomUUID(),
    domain,
    op,
    ...asked,
    meta: { client: 'beds call', deadlineMs: timeoutOf(context), ...meta },
  };
}

/** Without another member, `meta` is an argument. */
function isEnvelopePart(given: JsonObject): boolean {
  const names = Object.keys(given).filter((name) => name !== 'meta');
  return names.length > 0 && names.every((name) => (MEMBERS as readonly string[]).includes(name));
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseObject(json: string): JsonObject {
  try {
    const value = JSON.parse(json) as unknown;
    if (isObject(value)) return value;
  } catch {
    // Reported below, together with JSON that is no object.
  }
  throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'The second argument must be a JSON object.');
}
