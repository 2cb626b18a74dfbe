import { directoriesOf } from '../config/load.js';
import { type Login, operatorSession } from '../author/operator.js';
import { cliErrors } from '../errors/cli.js';
import { readServices } from '../dev-servers/index.js';
import type { CommandContext } from './command.js';

/** Where private servers, staged bundles and the history of this checkout live. */
export function stateDirectory(context: Pick<CommandContext, 'projectRoot' | 'config'>): string {
  return directoriesOf(context.projectRoot, context.config()).state;
}

/** Where to reach the hosts. Throws BEDS_CLI_BROKER_UNKNOWN when neither the configuration nor a running server says. */
export function brokerOf(context: CommandContext): { readonly url: string; readonly prefix: string } {
  const { url, prefix } = context.config().amqp;
  const brokerUrl = url === '' ? runningBroker(context) : url;
  if (brokerUrl === undefined) throw cliErrors.make('BEDS_CLI_BROKER_UNKNOWN');
  return { url: brokerUrl, prefix };
}

function runningBroker(context: CommandContext): string | undefined {
  return context.env['BEDS_RABBITMQ_URL'] ?? readServices(stateDirectory(context))?.rabbitmq?.url;
}

/** Where to reach the hosts, and as whom. */
export function operatorOf(context: CommandContext): Login & { readonly session: () => Promise<string | undefined> } {
  const login = loginOf(context);
  return { ...login, session: operatorSession(login) };
}

/** What says which session is meant. */
export function loginOf(context: CommandContext): Login {
  const { env, signal } = context;
  return { ...brokerOf(context), env, signal, config: context.config(), directory: stateDirectory(context) };
}
