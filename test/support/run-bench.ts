import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';

export interface BenchEnd {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface BenchPlaces {
  readonly projectRoot?: string;
  readonly temporaryFiles: string;
}

const LONGEST_MS = 400_000;

/** `npm run bench -- …` without the compiler in front of it. */
export async function runBench(
  t: TestContext,
  args: readonly string[],
  { projectRoot = process.cwd(), temporaryFiles }: BenchPlaces,
): Promise<BenchEnd> {
  const url = pathToFileURL(resolve('dist/bench/main.js')).href;
  const run = { args, projectRoot, cwd: process.cwd(), env: {} };
  const code = `const { main } = await import(${JSON.stringify(url)}); process.exitCode = await main(${JSON.stringify(run)});`;
  const env = { ...process.env, TMPDIR: temporaryFiles };
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], { env, timeout: LONGEST_MS });
  t.after(() => child.kill('SIGKILL'));
  const printed = Promise.all([text(child.stdout), text(child.stderr)]);
  const [exitCode] = (await once(child, 'exit')) as [number | null];
  const [out, err] = await printed;
  return { code: exitCode, out, err };
}
