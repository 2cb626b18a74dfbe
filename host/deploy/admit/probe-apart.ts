import { fork } from 'node:child_process';
import { type Finding, makeFinding } from '../../template/contract.js';
import { essentialEnvironment, KILLED_PROCESS, onceGone } from '../../threads/handle.js';
import type { ProbeTask, ProbeOptions } from './probe.js';

/** What the process is sent, once. */
export interface ApartTask {
  readonly task: ProbeTask;
  readonly options: ProbeOptions;
}

/** What starting a process and a thread in it may take besides. */
const START_MS = 90_000;

/** Probes like a `Prober`, in a process that only the bundle can end. Does not throw. */
export async function probeApart(
  task: ProbeTask,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
): Promise<readonly Finding[]> {
  if (signal?.aborted === true) return [makeFinding('BEDS_ADMISSION_SUPERSEDED')];
  const child = fork(new URL('./probe-process.js', import.meta.url), [], {
    serialization: 'advanced',
    env: essentialEnvironment(),
    execArgv: [],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  let isEnded = false;
  const end = (): void => {
    isEnded = true;
    child.kill('SIGKILL');
  };
  const timer = setTimeout(end, timeoutMs + START_MS);
  signal?.addEventListener('abort', end, { once: true });
  try {
    return await new Promise<readonly Finding[]>((resolve) => {
      child.once('message', (findings: readonly Finding[]) => resolve(withProof(findings)));
      onceGone(child, (reason) => resolve([isEnded ? makeFinding('BEDS_ADMISSION_PROBE_FAILED') : explain(reason)]));
      const options: ProbeOptions = { timeoutMs, memoryMb: task.memoryMb };
      child.send({ task, options } satisfies ApartTask, () => undefined);
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
    end();
  }
}

/** What takes so much memory that the probe ends it in time here has ended the host there. */
function withProof(findings: readonly Finding[]): readonly Finding[] {
  if (!findings.some(({ code }) => code === 'BEDS_ADMISSION_MEMORY')) return findings;
  const words = 'The host ended while it was probed, and it took too much memory when it was tried apart.';
  return [makeFinding('BEDS_ADMISSION_ENDED_PROCESS', words), ...findings];
}

function explain(reason: string): Finding {
  if (!KILLED_PROCESS.test(reason)) return makeFinding('BEDS_ADMISSION_PROBE_FAILED');
  return makeFinding('BEDS_ADMISSION_ENDED_PROCESS', `It ended the process that tried it: ${reason}.`);
}
