import { GLOBAL_OPTIONS } from './options.js';
import { type Command, type CommandOption, EXIT } from './command.js';
import type { Output } from './output.js';

/** What the help says of a command. */
type Described = Pick<Command, 'name' | 'summary' | 'usage' | 'options' | 'details'>;

interface Frame {
  readonly before: readonly string[];
  readonly after: string;
}

const EXIT_CODES = [
  `${String(EXIT.ok)} all is well`,
  `${String(EXIT.failed)} it failed, or something is wrong`,
  `${String(EXIT.changes)} all is well, and something is to be done (db plan, db status)`,
  `${String(EXIT.usage)} the command line is wrong`,
  `${String(EXIT.config)} the configuration is wrong`,
];

/** The list of commands. */
export function overviewText(
  commands: readonly Described[],
  { before, after }: Frame,
  { paint, width }: Output,
): string {
  const widest = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(
    ({ name, summary }) => `  ${paint('bold', name.padEnd(widest))}  ${wrapped(summary, width, widest + 4)}`,
  );
  const codes = `Exit codes: ${EXIT_CODES.join('; ')}.`;
  const whole = (text: string): string => wrapped(text, width);
  return [...before.map(whole), '', ...lines, '', whole(after), '', whole(codes)].join('\n');
}

/** All about one command. */
export function commandText(command: Described, { paint, width: columns }: Output): string {
  const options = { ...command.options, ...GLOBAL_OPTIONS };
  const labels = Object.entries(options).map(([name, option]) => optionLabel(name, option));
  const width = Math.max(...labels.map((label) => label.length));
  const lines = Object.values(options).map(
    ({ description }, index) =>
      `  ${paint('bold', (labels[index] ?? '').padEnd(width))}  ${wrapped(description, columns, width + 4)}`,
  );
  return [
    wrapped(command.summary, columns),
    '',
    `Usage: ${paint('bold', wrapped(`beds ${command.usage}`, columns, 'Usage: '.length))}`,
    ...(command.details === undefined ? [] : ['', wrapped(command.details, columns)]),
    '',
    'Options:',
    ...lines,
  ].join('\n');
}

/** A new line between words where the terminal ends, with `indent` spaces before it. */
function wrapped(text: string, width: number, indent = 0): string {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line: string | undefined;
    for (const word of paragraph.split(' ')) {
      const longer = line === undefined ? word : `${line} ${word}`;
      if (line === undefined || indent + longer.length <= width) line = longer;
      else {
        lines.push(line);
        line = word;
      }
    }
    lines.push(line ?? '');
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}

function optionLabel(name: string, { short, value, type }: CommandOption): string {
  const long = `--${name}${type === 'string' ? ` ${value ?? '<value>'}` : ''}`;
  return short === undefined ? `    ${long}` : `-${short}, ${long}`;
}
