import { GLOBAL_OPTIONS } from './options.js';
import type { Command, CommandOption } from './command.js';
import type { Output } from './output.js';

/** What the help says of a command. */
type Described = Pick<Command, 'name' | 'summary' | 'usage' | 'options' | 'details'>;

interface Frame {
  readonly before: readonly string[];
  readonly after: string;
}

/** The list of commands. */
export function overviewText(commands: readonly Described[], { before, after }: Frame, { paint }: Output): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, summary }) => `  ${paint('bold', name.padEnd(width))}  ${summary}`);
  return [...before, '', ...lines, '', after].join('\n');
}

/** All about one command. */
export function commandText(command: Described, { paint }: Output): string {
  const options = { ...command.options, ...GLOBAL_OPTIONS };
  const labels = Object.entries(options).map(([name, option]) => optionLabel(name, option));
  const width = Math.max(...labels.map((label) => label.length));
  const lines = Object.values(options).map(
    ({ description }, index) => `  ${paint('bold', (labels[index] ?? '').padEnd(width))}  ${description}`,
  );
  return [
    command.summary,
    '',
    `Usage: ${paint('bold', `beds ${command.usage}`)}`,
    ...(command.details === undefined ? [] : ['', command.details]),
    '',
    'Options:',
    ...lines,
  ].join('\n');
}

function optionLabel(name: string, { short, value, type }: CommandOption): string {
  const long = `--${name}${type === 'string' ? ` ${value ?? '<value>'}` : ''}`;
  return short === undefined ? `    ${long}` : `-${short}, ${long}`;
}
