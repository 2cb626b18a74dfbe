import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { startServices } from '../../host/dev-servers/index.js';
import type { ServiceName, Services, StartOptions } from '../../host/dev-servers/index.js';

/** Where the test runner keeps the servers that it starts once for the whole run. */
const SHARED_DIRECTORY_VARIABLE = 'BEDS_TEST_SERVICES_DIR';

/** A test's context, or `{ after }` of node:test for a whole file. */
export interface Teardown {
  after(work: () => Promise<void> | void): void;
}

/** The end of the whole file, before which its shared servers do not end. For what is started at the top level of the file. */
export const wholeFile: Teardown = { after };

/**
 * The servers of the whole test run, or, for a file that is run alone, servers of its own that end with the file.
 * Call it at the top level of a test file. Do not stop these: other files use them.
 */
export async function sharedServices(need: readonly ServiceName[]): Promise<Services> {
  const services = await startServices({ directory: runDirectory(), need });
  lastFirst(wholeFile, () => services.close());
  return services;
}

let ownDirectory: string | undefined;

/** A folder of the whole test run, or, for a file that is run alone, of that file. */
export function runDirectory(): string {
  const shared = process.env[SHARED_DIRECTORY_VARIABLE] ?? '';
  return shared === '' ? (ownDirectory ??= temporaryDirectory(wholeFile)) : shared;
}

/** Servers for one test (or file) alone, which it may stop, kill and start. Configured URLs are not used for these. */
export async function privateServices(
  teardown: Teardown,
  need: readonly ServiceName[],
  options: Partial<StartOptions> = {},
): Promise<Services> {
  const directory = options.directory ?? temporaryDirectory(teardown);
  const services = await startServices({ directory, need, environment: {}, ...options });
  lastFirst(teardown, () => services.close());
  return services;
}

/** An empty folder that goes with the test, after the servers in it. n.b. processes of a host that was killed may write for a moment. */
export function temporaryDirectory(teardown: Teardown): string {
  const directory = mkdtempSync(join(tmpdir(), 'beds-test-'));
  lastFirst(teardown, () => rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }));
  return directory;
}

const stacks = new WeakMap<Teardown, (() => Promise<void> | void)[]>();

/**
 * Registers work for the end of a test (or file), of which the last registered is done first. n.b. node:test runs its
 * `after` hooks in the order in which they were registered: a folder would go before the server or host that uses it.
 */
export function lastFirst(teardown: Teardown, work: () => Promise<void> | void): void {
  const known = stacks.get(teardown);
  if (known !== undefined) {
    known.push(work);
    return;
  }
  const stack = [work];
  stacks.set(teardown, stack);
  teardown.after(async () => {
    for (const each of stack.toReversed()) await each();
  });
}
