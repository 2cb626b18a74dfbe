import { generationFile } from '../../template/compile.js';
import type { Generation, State, ThreadLoss } from '../state.js';

/** Ends that name no culprit by themselves: whose code was entered last did it. */
const BY_LAST_ENTERED = /no sign of life|ERR_WORKER_OUT_OF_MEMORY|memory limit|exit code|process was ended/;

/** Attributes the end of a thread to a version, by its last report or by the code that was entered last. */
export function culpritOf(
  { generations }: State,
  { reason, generation }: Omit<ThreadLoss, 'thread'>,
): Generation | undefined {
  const known = Object.values(generations);
  // Two generations of one version have the same name in a stack: the one that was entered last, then.
  const named = known.filter((each) => reason.includes(generationFile(each)));
  const inStack = named.find(({ id }) => id === generation) ?? named.find(({ state }) => state === 'live') ?? named[0];
  if (inStack !== undefined || !BY_LAST_ENTERED.test(reason)) return inStack;
  return known.find(({ id }) => id === generation);
}
