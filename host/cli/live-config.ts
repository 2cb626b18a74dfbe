import { resolve } from 'node:path';
import type { Config } from '../config/schema.js';
import { readRuntimeAccounts } from '../dba/index.js';
import { cliErrors } from '../errors/cli.js';
import { readServices } from '../services/index.js';
import type { CommandContext } from './command.js';
import { resolveConfig } from './resolve-config.js';

/** Where private servers, staged bundles and the history of this checkout live. */
export function servicesDirectory(context: Pick<CommandContext, 'projectRoot' | 'config'>): string {
  return resolve(context.projectRoot, context.config().services.directory);
}

/** The configuration with the URLs of the private servers that run now. */
export function liveConfig(context: CommandContext): Config {
  const directory = servicesDirectory(context);
  return resolveConfig(context.config(), readServices(directory) ?? {}, readRuntimeAccounts(directory));
}

/** Where to reach the hosts. Throws BEDS_CLI_BROKER_UNKNOWN when neither the configuration nor a running server says. */
export function brokerOf(context: CommandContext): { readonly url: string; readonly prefix: string } {
  const { url, prefix } = context.config().broker;
  const brokerUrl = url === '' ? readServices(servicesDirectory(context))?.rabbitmq?.url : url;
  if (brokerUrl === undefined) throw cliErrors.make('BEDS_CLI_BROKER_UNKNOWN');
  return { url: brokerUrl, prefix };
}
