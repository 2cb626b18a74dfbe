import { EXIT, findCommand, type Command } from '../command.js';
import { commandText, overviewText } from '../help-text.js';

export const helpCommand: Command = {
  name: 'help',
  summary: 'List the commands, or explain one.',
  usage: 'help [command]',
  options: {},
  run: async ({ args: [name], commands: registry, out, json }) => {
    const loading = name === undefined ? [...registry.values()].map((load) => load()) : [findCommand(name, registry)];
    const commands = await Promise.all(loading);
    if (json)
      out.value(
        commands.map(({ name: command, summary, usage, options }) => ({ name: command, summary, usage, options })),
      );
    else if (name === undefined) out.line(overviewText(commands, out));
    else out.line(commands.map((command) => commandText(command, out)).join('\n'));
    return EXIT.ok;
  },
};
