import type { Deadline } from '../deadline.js';

/** The server gives up a little earlier than the caller, so that its answer still arrives. */
const ANSWER_MS = 20;

/** For maxTimeMS, where 0 would mean no limit. Throws what the deadline does when it is over. */
export function serverMs(deadline: Deadline): number {
  return Math.max(1, Math.ceil(deadline.remainingMs() - ANSWER_MS));
}
