import type { Config } from '../../config/schema.js';
import { cliErrors } from '../../errors/cli.js';
import { startServices, type Services } from '../../dev-servers/index.js';
import { askNodes } from '../../admin/client.js';
import type { CommandContext } from '../command.js';
import { neededServers } from '../needed-servers.js';
import type { Endings } from './endings.js';
import type { Narrator } from './narrator.js';

const ANSWER_TIMEOUT_MS = 500;

export interface ServersStage {
  readonly context: CommandContext;
  readonly narrator: Narrator;
  readonly endings: Endings;
  readonly directory: string;
}

/** The servers that the configuration leaves to this checkout. Throws BEDS_SERVICES_*, BEDS_CLI_HOST_RUNNING. */
export async function startServers(settings: Config, stage: ServersStage): Promise<Services> {
  const { context, narrator, endings, directory } = stage;
  const { env: environment, signal } = context;
  let services: Services | undefined;
  await narrator.step('Servers: RabbitMQ, MariaDB and MongoDB, private to this checkout', async () => {
    const need = neededServers(settings);
    if (need.length === 0) return 'all of them are configured by URL';
    const onProgress = ({ words }: { readonly words: string }): void => narrator.say(words);
    const started = await startServices({ directory, need, environment, signal, onProgress });
    services = started;
    endings.push(() => started.close());
    await refuseSecondHost(settings, started, signal);
    return need.length === 3 ? 'all three are up' : `${need.join(' and ')} up`;
  });
  return services ?? { close: () => Promise.resolve() };
}

/** Two hosts of one checkout would take the bundles away from under each other. */
async function refuseSecondHost({ amqp }: Config, { rabbitmq }: Services, signal: AbortSignal): Promise<void> {
  if (rabbitmq === undefined || rabbitmq.owned || rabbitmq.source === 'configured') return;
  const asking = { url: rabbitmq.url, prefix: amqp.prefix, timeoutMs: ANSWER_TIMEOUT_MS, signal };
  const answers = await askNodes('status', {}, asking).catch(() => []);
  const [node] = answers.map((answer) => answer.node);
  if (node === undefined) return;
  throw cliErrors.make('BEDS_CLI_HOST_RUNNING', `A host of this checkout is running already: ${node}.`);
}
