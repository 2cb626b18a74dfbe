import { hostname } from 'node:os';
import { identify, isSameProcessAlive, type ProcessIdentity } from '../process-identity.js';

/** Who works with something in a MongoDB, which has no locks that end with their holder: whether he is still there is seen. */
export interface Holder {
  readonly computer: string;
  readonly process: ProcessIdentity | null;
  readonly at: Date;
}

/** So often whoever works says that he does. */
export const RENEW_MS = 60_000;
/** n.b. clocks of computers differ. */
const SILENT_MS = 900_000;

export function holderNow(): Holder {
  return { computer: hostname(), process: identify(process.pid) ?? null, at: new Date() };
}

export function isGone({ computer, process: of, at }: Holder): boolean {
  if (computer === hostname() && of !== null) return !isSameProcessAlive(of);
  return Date.now() - at.getTime() > SILENT_MS;
}
