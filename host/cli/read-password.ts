import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { CommandContext } from './command.js';

/** The first line of standard input. A terminal shows nothing of it. */
export async function readPassword({ signal, out }: CommandContext, prompt: string): Promise<string> {
  const { stdin } = process;
  const isTerminal = stdin.isTTY;
  if (isTerminal) out.note(prompt);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: silent, terminal: isTerminal });
  signal.addEventListener('abort', () => lines.close(), { once: true });
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
  }
}
