import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { CommandContext } from './command.js';

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
