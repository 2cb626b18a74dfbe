import { commandErrors, EXIT } from '#sdk/cli';
import { hostname } from 'node:os';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { type BedsClient, connectBeds } from '@beds/sdk/client';
import { makeNames } from '../../amqp/names.js';
import { keepLogin, type KeptSession, type Login, readLogin } from '../../author/operator.js';
import { loginOf } from '../broker-of.js';
import type { Command, CommandContext } from '../command.js';

const CALL_MS = 30_000;

interface Granted extends Omit<KeptSession, 'name' | 'roles'> {
  readonly user: { readonly name: string; readonly roles: readonly string[] };
}

export const loginCommand: Command = {
  name: 'login',
  summary: 'Sign in as an operator: orders and questions go through the admin node as this user.',
  usage: 'login <name>',
  options: {},
  details:
    'Asks for the password at the terminal and shows nothing of it; where standard input is no terminal, its first line is the password. ' +
    "The session is kept in a file that only you can read, for each RabbitMQ and prefix, below $XDG_CONFIG_HOME or ~/.config, in beds/logins.json. It is that of the domain sessions: it ends after 14 days without use, and `beds logout` ends it at once. BEDS_SESSION, a token, comes before it. Without either, whoever can read the key of this checkout's admin node orders as its owner.",
  run: async (context) => {
    const [name, ...rest] = context.args;
    if (name === undefined || rest.length > 0) {
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'Write: beds login <name>');
    }
    const login = loginOf(context);
    const password = await readPassword(context, 'Password (it is not shown):');
    const granted = await withClient(login, async (client) => {
      const asked = { name, password, where: { device: `beds on ${hostname()}`.slice(0, 200) } };
      const terms = { session: null, deadlineMs: CALL_MS, signal: context.signal };
      return (await client.domain('sessions').call('signIn', asked, terms)) as unknown as Granted;
    });
    const { token, refresh, expiresAt, idleUntil, user } = granted;
    keepLogin(login, { name: user.name, roles: user.roles, token, refresh, expiresAt, idleUntil });
    if (context.json) context.out.value({ name: user.name, roles: user.roles });
    else context.out.line(`signed in as ${user.name}, roles: ${user.roles.join(', ') || 'none'}`);
    return EXIT.ok;
  },
};

export const logoutCommand: Command = {
  name: 'logout',
  summary: 'End the session of `beds login`.',
  usage: 'logout',
  options: {},
  run: async (context) => {
    const login = loginOf(context);
    const kept = readLogin(login);
    if (kept !== undefined) {
      // n.b. forgotten here first: whatever becomes of the other, nobody finds it in the file.
      keepLogin(login, undefined);
      await withClient(login, (client) => {
        const terms = { session: null, deadlineMs: CALL_MS, signal: context.signal };
        return client.domain('sessions').call('signOut', { token: kept.token }, terms);
      });
    }
    if (context.json) context.out.value({ name: kept?.name ?? null });
    else context.out.line(kept === undefined ? 'nobody was signed in' : `signed out: ${kept.name}`);
    return EXIT.ok;
  },
};

async function withClient<T>({ url, prefix }: Login, work: (client: BedsClient) => Promise<T>): Promise<T> {
  const client = await connectBeds({ url, name: 'beds login', exchange: makeNames(prefix).requests });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** The first line of standard input. A terminal shows nothing of it. */
export async function readPassword({ signal, out }: CommandContext, prompt: string): Promise<string> {
  const { stdin } = process;
  const isTerminal = stdin.isTTY;
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: silent, terminal: isTerminal });
  // n.b. the terminal shows nothing from here on: whoever reads this may type at once.
  if (isTerminal) out.note(prompt);
  signal.addEventListener('abort', () => lines.close(), { once: true });
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
  }
}
