import type { Config } from '../../host/config/schema.js';
import { type BundleOptions, writeBundle } from './bundles.js';
import { eventually, startTestHost, type TestHost, type TransitionLine } from './host.js';
import { notesBundle } from './notes-domain.js';
import { Administrator } from './administrator.js';
import type { Teardown } from './services.js';
import type { Services } from '../../host/dev-servers/index.js';

/** A host that serves `notes` 1.0.0, and its operator. */
export interface CanaryHost {
  readonly host: TestHost;
  readonly admin: Administrator;
  /** Resolves with the newest line of a version that reached the state. */
  reached(version: string, state: string, withinMs?: number): Promise<TransitionLine>;
  /** Resolves when the candidate is under observation. */
  observed(version: string): Promise<TransitionLine>;
}

export interface CanaryHostOptions {
  readonly services: Services;
  readonly rollout?: Partial<Config['rollout']>;
  readonly config?: Readonly<Record<string, unknown>>;
  /** What is dropped before the test begins. Default: 1.0.0 of `notes`. */
  readonly serving?: readonly BundleOptions[];
}

export async function startCanaryHost(t: Teardown, options: CanaryHostOptions): Promise<CanaryHost> {
  const { services, rollout = {}, config = {}, serving = [noteVersion('1.0.0')] } = options;
  const host = await startTestHost(t, { services, config: { rollout, ...config } });
  for (const bundle of serving) {
    await writeBundle(host.pluginsDirectory, bundle);
    await host.active(bundle.domain ?? 'notes', bundle.version ?? '1.0.0');
  }
  const reached: CanaryHost['reached'] = async (version, state, withinMs) => {
    const find = (): TransitionLine | undefined =>
      host.transitions().findLast((line) => line.version === version && line.state === state);
    const saw = (): string => JSON.stringify(host.transitions().filter((line) => line.version === version));
    await eventually(
      () => `${version} is ${state}; it was ${saw()}`,
      () => find() !== undefined,
      withinMs,
    );
    return find() as TransitionLine;
  };
  return { host, admin: new Administrator(host), reached, observed: (version) => reached(version, 'canary') };
}

/** A version of `notes` whose operation `version` runs this code; `asked` counts its requests in a thread. */
export function noteVersion(version: string, run = 'return VERSION;', options: BundleOptions = {}): BundleOptions {
  const counted = { mode: 'read', run: `asked += 1; ${run}` } as const;
  return notesBundle({
    ...{ version, head: 'let asked = 0;' },
    ...options,
    operations: { version: counted, ...options.operations },
  });
}

/** One request in five fails. */
export const FAILS = `if (asked % 5 === 0) throw new Error('broken'); return VERSION;`;
