import type { ServerCommand } from './contract.js';
import type { ProcessIdentity } from './process-identity.js';

/** One JSON line each, from the command to the guard on its standard input. The end of the input means: stop. */
export type ToGuard =
  | {
      readonly type: 'launch';
      readonly commands: readonly ServerCommand[];
      readonly logFile: string;
      readonly stopTimeoutMs: number;
    }
  | { readonly type: 'stop' };

/** One JSON line each, from the guard to the command on its standard output. */
export type FromGuard =
  | { readonly type: 'started'; readonly processes: readonly ProcessIdentity[] }
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'exited'; readonly code: number | null; readonly signal: string | null };
