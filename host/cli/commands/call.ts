import { randomUUID } from 'node:crypto';
import { connectBeds } from '@beds/sdk/client';
import { CORE_OPERATIONS, type JsonObject, type RequestEnvelope } from '@beds/sdk';
import { makeNames } from '../../amqp/names.js';
import { cliErrors } from '../../errors/cli.js';
import { EXIT, type Command, type CommandContext } from '../command.js';
import { brokerOf } from '../broker-of.js';
import { timeoutOf, TIMEOUT_OPTION } from '../timeout-option.js';

const MEMBERS = ['payload', 'query', 'key'] as const;

export const callCommand: Command = {
  name: 'call',
  summary: 'Call an operation of a domain and print the reply.',
  usage: 'call <domain>.<operation> [json] [--timeout <ms>]',
  options: { timeout: TIMEOUT_OPTION },
  details:
    'The JSON holds what the envelope takes: {"query": …}, {"key": …}, {"payload": …}. For a custom operation the arguments ' +
    'alone are enough. Example: beds call cities.fetch \'{"query":{"where":{"country":"AD"},"limit":3}}\'',
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

function requestOf(context: CommandContext): RequestEnvelope {
  const [target = '', json = '{}'] = context.args;
  const [domain, op, ...rest] = target.split('.');
  if (domain === undefined || op === undefined || domain === '' || op === '' || rest.length > 0) {
    throw cliErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'The first argument must read <domain>.<operation>.');
  }
  const given = parseObject(json);
  const isEnvelopePart = Object.keys(given).every((name) => (MEMBERS as readonly string[]).includes(name));
  const isCore = (CORE_OPERATIONS as readonly string[]).includes(op);
  const asked = isCore || (isEnvelopePart && Object.keys(given).length > 0) ? given : { payload: given };
  return {
    v: 1,
    id: randomUUID(),
    domain,
    op,
    ...asked,
    meta: { client: 'beds call', deadlineMs: timeoutOf(context) },
  };
}

function parseObject(json: string): JsonObject {
  try {
    const value = JSON.parse(json) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  } catch {
    // Reported below, together with JSON that is no object.
  }
  throw cliErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'The second argument must be a JSON object.');
}
