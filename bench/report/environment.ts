import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, cpus, loadavg, platform, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Services } from '../../host/dev-servers/index.js';
import { peerVersions } from '../bed/peers.js';

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly platform: string;
  /** Of the last 1, 5 and 15 minutes when the run ended: what the machine did, the run itself included. */
  readonly loadAverage: readonly number[];
}

const PACKAGES = ['amqplib', 'mysql2', 'mongodb', 'tinybench'];

export function describeMachine(): Machine {
  const processors = cpus();
  return {
    processor: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${arch()}`,
    loadAverage: loadavg().map((load) => Number(load.toFixed(2))),
  };
}

/** Node, the servers that took part, and the libraries on both sides. */
export function describeVersions({ rabbitmq, mariadb, mongodb }: Services): Readonly<Record<string, string>> {
  const servers = [rabbitmq, mariadb, mongodb].flatMap((server): [string, string][] =>
    server === undefined ? [] : [[server.kind, server.version]],
  );
  return {
    node: process.versions.node,
    ...Object.fromEntries(servers),
    ...Object.fromEntries(PACKAGES.map((name): [string, string] => [name, versionOf(name)])),
    ...peerVersions(),
  };
}

/** The commit that was measured, with `+` where files differ from it; empty outside of a repository. */
export async function describeCommit(projectRoot: string): Promise<string> {
  const git = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)('git', [...args], { cwd: projectRoot, timeout: 5_000 })).stdout.trim();
  try {
    const changed = await git('status', '--porcelain', '--untracked-files=no');
    return `${await git('rev-parse', '--short=12', 'HEAD')}${changed === '' ? '' : '+'}`;
  } catch {
    return '';
  }
}

/** n.b. a package may not export its package.json, so it is looked for where packages lie. */
function versionOf(name: string): string {
  for (const folder of createRequire(import.meta.url).resolve.paths(name) ?? []) {
    try {
      const text = readFileSync(join(folder, name, 'package.json'), 'utf8');
      return (JSON.parse(text) as { version: string }).version;
    } catch {
      continue;
    }
  }
  return 'unknown';
}
