import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { pickPorts } from './free-port.js';
import { readJson, writePrivateFile } from './private-file.js';

/** What a server keeps from one run to the next, so that its data stay readable and its URL stays the same. */
export interface ServerMemory {
  readonly password: string;
  readonly ports: readonly number[];
}

/** Remembered, or made anew: the password once, the ports again when another program took one. */
export async function recallServer(folder: string, portCount: number): Promise<ServerMemory> {
  const file = join(folder, 'private.json');
  const known = readJson(file) as Partial<ServerMemory> | undefined;
  const memory: ServerMemory = {
    // Letters and digits only: it is written into URLs, SQL and configuration files.
    password: known?.password ?? randomBytes(24).toString('hex'),
    ports: await pickPorts(portCount, known?.ports),
  };
  writePrivateFile(file, JSON.stringify(memory));
  return memory;
}

/** Forgets the ports: the next start picks others. */
export function forgetPorts(folder: string, memory: ServerMemory): void {
  writePrivateFile(join(folder, 'private.json'), JSON.stringify({ password: memory.password }));
}
