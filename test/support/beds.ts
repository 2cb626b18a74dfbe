import { resolve } from 'node:path';
import { main } from '../../host/cli/main.js';

/** What a command wrote, and its exit code. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Given {
  readonly projectRoot?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly tty?: boolean;
  /** Of the terminal. Default 100. */
  readonly columns?: number;
}

/** Runs one `beds` command in this process. */
export async function beds(
  args: readonly string[],
  { projectRoot = resolve('.'), cwd, env = {}, tty, columns = 100 }: Given = {},
): Promise<Ran> {
  const written = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof written): { isTTY: boolean; columns: number; write: (text: string) => void } => ({
    isTTY: tty === true,
    columns,
    write: (text) => {
      written[name] += text;
    },
  });
  const streams = { stdout: stream('stdout'), stderr: stream('stderr') };
  const code = await main({ args, projectRoot, cwd: cwd ?? projectRoot, env, streams });
  return { code, ...written };
}
