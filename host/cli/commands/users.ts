import { commandErrors, EXIT } from '#sdk/cli';
import { isBedsError } from '@beds/sdk';
import { newUser } from '../../../plugins/users/new-user.js';
import { urlOfStore } from '../../author/resolve-config.js';
import { readRuntimeAccounts } from '../../dba/index.js';
import { readServices } from '../../dev-servers/index.js';
import { cliErrors } from '../../errors/cli.js';
import type { StoreAdapter } from '../../stores/contract.js';
import { loadAdapters } from '../../stores/factory.js';
import { stateDirectory } from '../broker-of.js';
import type { Command, CommandContext } from '../command.js';
import { readPassword } from './login.js';

const STORE = 'accounts';
const INSERT = 'user_insert';
const CALL_MS = 10_000;
const CLOSE_MS = 1_000;

/** n.b. not over RabbitMQ: nobody is there yet whom a host could let do this, and whoever has the account of the store can anyway. */
export const usersCommand: Command = {
  name: 'users',
  summary: 'Create a user with roles, such as the first operator, in the store of the users.',
  usage: 'users create <name> [--role <role>]...',
  options: {
    role: { type: 'string', multiple: true, value: '<role>', description: 'A role of the user. May be given again.' },
  },
  details:
    'Asks for the password at the terminal and shows nothing of it; where standard input is no terminal, its first line is the password. ' +
    'It works on the database itself, so it needs what a node of the role tercero has: the URL of the store accounts. ' +
    'No user exists before, and there is no default password. Operators make the others: beds call users.create.',
  run: async (context) => {
    const [verb, name, ...rest] = context.args;
    if (verb !== 'create' || name === undefined || rest.length > 0) {
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'Write: beds users create <name> --role operator');
    }
    const given = context.options['role'];
    const roles = Array.isArray(given) ? given.map(String) : [];
    const adapter = await openStore(context);
    try {
      const object = (await adapter.describe([INSERT])).get(INSERT);
      if (object === undefined) {
        throw cliErrors.make(
          'BEDS_CLI_SERVER_MISSING',
          `The store ${STORE} has no ${INSERT}: run beds db apply users.`,
        );
      }
      const { id, ...made } = await newUser(
        { name, password: await readPassword(context, 'Password (at least 8 characters; it is not shown):'), roles },
        context.signal,
      );
      await adapter.call(object, { id, ...made }, { timeoutMs: CALL_MS, mode: 'write' });
      if (context.json) context.out.value({ id, name: made.name, roles });
      else context.out.line(`user ${made.name} (${id}), roles: ${roles.join(', ') || 'none'}`);
      return EXIT.ok;
    } catch (error) {
      if (isBedsError(error) && error.code === 'BEDS_STORE_CONFLICT') {
        throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'The name is taken.');
      }
      throw error;
    } finally {
      await adapter.close(CLOSE_MS);
    }
  },
};

async function openStore(context: CommandContext): Promise<StoreAdapter> {
  const settings = context.config().stores[STORE];
  const directory = stateDirectory(context);
  const running = readServices(directory);
  const { BEDS_MARIADB_ADMIN_URL: mariadb, BEDS_MONGODB_URL: mongodb } = context.env;
  const servers = {
    mariadb: mariadb === undefined ? running?.mariadb : { url: mariadb },
    mongodb: mongodb === undefined ? running?.mongodb : { url: mongodb },
  };
  const accounts = readRuntimeAccounts(directory);
  const url = settings === undefined ? undefined : urlOfStore(STORE, settings, { servers, accounts });
  if (settings === undefined || url === undefined) {
    const words = `The store ${STORE} has no url here: set BEDS_STORES_ACCOUNTS_URL, or run this where tercero runs.`;
    throw cliErrors.make('BEDS_CLI_SERVER_MISSING', words);
  }
  const make = await loadAdapters({ [STORE]: { ...settings, url } });
  const adapter = make((config) => config).get(STORE);
  if (adapter === undefined) throw new TypeError('unreachable: the store was given');
  await adapter.open();
  return adapter;
}
