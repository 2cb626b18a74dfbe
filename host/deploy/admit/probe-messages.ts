import type { Manifest } from '@beds/sdk';
import type { Finding } from '../../template/contract.js';

/** What a probe thread is asked to try, once in its life. */
export interface ProbeTask {
  /** Names the bytes, for whoever writes down what runs. */
  readonly hash?: string;
  /** The bundle as broker threads will run it: as a module, it would be given what Node gives to modules. */
  readonly code: string;
  readonly codeCache?: Uint8Array;
  readonly sourceMap: string;
  readonly manifest: Manifest;
  /** Megabytes that the thread's buffers may hold; its heap is limited from outside. */
  readonly memoryMb: number;
}

export interface ToProbe {
  readonly type: 'probe';
  readonly v: 1;
  readonly task: ProbeTask;
}

export type ProbePhase = 'load' | 'self-test';

export type FromProbe =
  | { readonly type: 'ready'; readonly v: 1 }
  | { readonly type: 'phase'; readonly v: 1; readonly phase: ProbePhase }
  /** Said once, before any of the bundle's code ran. */
  | { readonly type: 'compiled'; readonly v: 1; readonly codeCache: Uint8Array }
  /** Empty findings: the version may go on. */
  | { readonly type: 'done'; readonly v: 1; readonly findings: readonly Finding[] };
