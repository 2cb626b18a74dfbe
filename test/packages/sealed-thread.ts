import { setFlagsFromString } from 'node:v8';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { BedsError } from '#sdk/template';
import { compileTemplate, disposeTemplate } from '../../host/template/compile.js';
import type { GenerationSource } from '../../host/template/contract.js';
import { sealRealm } from '../../host/template/seal-realm.js';
import { wordsFor } from '../../host/errors/thrown.js';

/** What came of the versions that ran one after the other in one sealed thread. */
export interface SealedRun {
  /** Why one of them failed; empty where all passed. */
  readonly failure: string;
  /** Timers that they left. */
  readonly leftovers: number;
  /** Versions that something still holds in memory. */
  readonly held: number;
}

export type SealedSource = Pick<GenerationSource, 'code' | 'manifest'>;

/** How often memory is collected before something counts as held. */
const COLLECTIONS = 5;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
sealRealm({ classes: [BedsError], isAdmitted: true });
const { source, versions } = workerData as { readonly source: SealedSource; readonly versions: number };
const ended: WeakRef<object>[] = [];
let leftovers = 0;

async function runVersion(): Promise<void> {
  const template = compileTemplate(source);
  try {
    await template.selfTest?.();
  } finally {
    leftovers += disposeTemplate(template).timers;
    ended.push(new WeakRef(template));
  }
}

async function run(): Promise<SealedRun> {
  let failure = '';
  for (let version = 0; version < versions && failure === ''; version += 1) {
    await runVersion().catch((error: unknown) => {
      failure = wordsFor(error);
    });
  }
  for (let time = 0; time < COLLECTIONS; time += 1) {
    await nextTurn();
    collect();
  }
  return { failure, leftovers, held: ended.filter((each) => each.deref() !== undefined).length };
}

parentPort?.postMessage(await run());
