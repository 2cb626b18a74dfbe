import { setImmediate as nextTurn } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import { isBedsError } from '@beds/sdk';
import { BedsError } from '#sdk/template';
import { checkTemplate } from '../../template/check-contract.js';
import { generationFile, loadConverted, makeCodeCache } from '../../template/compile.js';
import { type Finding, makeFinding } from '../../template/contract.js';
import { firstPlace, stackOf, type MappedFile } from '../../template/map-stack.js';
import { sealRealm } from '../../template/seal-realm.js';
import { admissionErrors, type AdmissionCode } from '../../errors/admission.js';
import type { FromProbe, ProbePhase, ProbeTask, ToProbe } from './probe.js';

/*
 * Entry of the probe thread: code that nobody has run before runs here first, and the thread is thrown away afterwards.
 * Time and heap are limited from outside.
 */

let files: readonly MappedFile[] = [];
let phase: ProbePhase = 'load';

const failureOf = { load: 'BEDS_ADMISSION_LOAD_THROWS', 'self-test': 'BEDS_ADMISSION_SELF_TEST_THROWS' } as const;

function send(message: FromProbe): void {
  parentPort?.postMessage(message);
}

function finish(findings: readonly Finding[]): void {
  send({ type: 'done', v: 1, findings });
}

/** What it means for the version that its code threw this. */
function judge(error: unknown): Finding {
  const hasExited = isBedsError(error) && error.message.includes('process.exit()');
  return describe(hasExited ? 'BEDS_ADMISSION_EXITED' : failureOf[phase], error);
}

/** The catalogue's sentence, what was thrown, and where in the author's own file. */
function describe(code: AdmissionCode, error: unknown): Finding {
  const sentence = admissionErrors.specs[code].message.replace(/\.$/, '');
  const place = firstPlace(stackOf(error), files);
  return makeFinding(code, `${sentence}: ${messageOf(error)}${place === undefined ? '' : ` (${place})`}.`);
}

function messageOf(error: unknown): string {
  try {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return text.slice(0, 300).replace(/\.$/, '');
  } catch {
    return 'a value that cannot be shown';
  }
}

/** Broker threads start from it, so that none of them stands still to read the code. What is wrong with the code shows later. */
function compile(task: ProbeTask): ProbeTask {
  try {
    const codeCache = makeCodeCache(task);
    if (codeCache === undefined) return task;
    send({ type: 'compiled', v: 1, codeCache });
    return { ...task, codeCache };
  } catch {
    return task;
  }
}

async function probe(given: ProbeTask): Promise<readonly Finding[]> {
  const task = compile(given);
  const template = loadConverted(task)['default'];
  const findings = checkTemplate(template, task.manifest);
  if (findings.length > 0) return findings;
  phase = 'self-test';
  send({ type: 'phase', v: 1, phase });
  await (template as { selfTest?(): unknown }).selfTest?.();
  // Rejections that nobody handles are announced at the end of a turn.
  await nextTurn();
  return checkBuffers(task.memoryMb);
}

/** Buffers live outside the heap and outside its limit. */
function checkBuffers(limitMb: number): readonly Finding[] {
  const usedMb = Math.round(process.memoryUsage().arrayBuffers / 1_048_576);
  if (usedMb <= limitMb) return [];
  const message = `The code holds ${usedMb} MB in buffers; plugins.probeMemoryMb is ${limitMb}.`;
  return [makeFinding('BEDS_ADMISSION_MEMORY', message)];
}

sealRealm({ classes: [BedsError], isAdmitted: false });
process.on('unhandledRejection', (reason) => finish([describe('BEDS_ADMISSION_UNHANDLED_REJECTION', reason)]));
process.on('uncaughtException', (error) => finish([judge(error)]));
parentPort?.on('message', ({ task }: ToProbe) => {
  files = [{ file: generationFile(task.manifest), sourceMap: task.sourceMap }];
  send({ type: 'phase', v: 1, phase });
  probe(task).then(finish, (error: unknown) => finish([judge(error)]));
});
send({ type: 'ready', v: 1 });
