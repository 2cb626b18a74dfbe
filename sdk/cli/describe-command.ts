import { connectBeds } from '../client/beds-client.js';
import { type DomainDescription, DESCRIBE } from '../wire/description.js';
import { asyncApiOf, typesOf } from '../wire/write-description.js';
import type { AuthorContext } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';

const URL_OPTION = {
  type: 'string',
  value: '<url>',
  description: 'AMQP URL of RabbitMQ. Default: amqp.url of the configuration, or BEDS_AMQP_URL.',
} as const;
const EXCHANGE_OPTION = {
  type: 'string',
  value: '<name>',
  description: 'Exchange of the requests. Default: <amqp.prefix>.request.',
} as const;

const FORMATS = ['json-schema', 'asyncapi'] as const;

export const describeCommand: Command<AuthorContext> = {
  name: 'describe',
  summary: 'Print the contract of a live domain, as JSON Schema or AsyncAPI.',
  usage: 'describe <domain> [--format json-schema|asyncapi] [--url <url>] [--exchange <name>]',
  options: {
    format: { type: 'string', value: '<format>', description: `${FORMATS.join(' or ')}. Default ${FORMATS[0]}.` },
    url: URL_OPTION,
    exchange: EXCHANGE_OPTION,
  },
  details:
    'The serving version answers: operations with their modes, arguments and results, the columns of its views, and the errors ' +
    'of its replies. The account needs permission to publish <domain>.describe.',
  run: async (context) => {
    const format = context.options['format'] ?? FORMATS[0];
    if (!FORMATS.some((known) => known === format)) {
      throw commandErrors.make('BEDS_CLI_OPTION_INVALID', `--format must be ${FORMATS.join(' or ')}.`);
    }
    const { description, exchange } = await ask(context);
    context.out.value(format === 'asyncapi' ? asyncApiOf(description, exchange) : description);
    return EXIT.ok;
  },
};

export const typesCommand: Command<AuthorContext> = {
  name: 'types',
  summary: 'Print the TypeScript types of a live domain, for callers without its source.',
  usage: 'types <domain> [--url <url>] [--exchange <name>]',
  options: { url: URL_OPTION, exchange: EXCHANGE_OPTION },
  details:
    'Prints a module to keep beside the calling code: `beds types cities > cities.ts`, then ' +
    '`connectBeds<{ cities: Cities }>(…)`, or `peer<Cities>()` in a domain of your own.',
  run: async (context) => {
    const { description } = await ask(context);
    const text = typesOf(description);
    if (context.json) context.out.value({ types: text });
    else for (const line of text.trimEnd().split('\n')) context.out.line(line);
    return EXIT.ok;
  },
};

async function ask(context: AuthorContext): Promise<{ description: DomainDescription; exchange: string }> {
  const [domain, ...rest] = context.args;
  if (domain === undefined || rest.length > 0) {
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'Name exactly one domain.');
  }
  const given = { url: context.options['url'], exchange: context.options['exchange'] };
  const broker = given.url === undefined ? (await context.tools()).broker() : undefined;
  const url = given.url ?? broker?.url;
  if (typeof url !== 'string') {
    throw commandErrors.make('BEDS_CLI_OPTION_INVALID', 'No RabbitMQ is known: give --url, or set BEDS_AMQP_URL.');
  }
  const exchange = typeof given.exchange === 'string' ? given.exchange : `${broker?.prefix ?? 'beds'}.request`;
  const beds = await connectBeds({ url, exchange, name: `beds ${DESCRIBE}` });
  try {
    return { description: await beds.domain(domain).describe({ signal: context.signal }), exchange };
  } finally {
    await beds.close();
  }
}
