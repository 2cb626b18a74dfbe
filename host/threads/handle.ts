import { type ChildProcess, fork } from 'node:child_process';
import { MessageChannel, Worker } from 'node:worker_threads';
import { withTimeout } from '#sdk/time';
import { takeUrls } from '../config/secrets.js';
import { threadErrors } from '../errors/thread.js';
import { textOf, wordsFor } from '../errors/thrown.js';
import type { GenerationSource } from '../template/contract.js';
import {
  CODE_FROM_TEXT_FLAG,
  denyCodeFromText,
  keepLoopsEndable,
  letHeapsGrow,
  YOUNG_GENERATION_MB,
} from '../template/v8-flags.js';
import { endThread } from './end-thread.js';
import {
  type PlainError,
  type ProcessMessage,
  type ProcessStart,
  THREAD_PROTOCOL,
  type ThreadCommand,
  type ThreadData,
  type ThreadMessage,
  type ThreadRequest,
  type ThreadStatus,
} from './protocol.js';
import { CrashBreadcrumbs, readTrail, type TrailView } from './trail.js';

/**
 * - `starting`: the thread loads and connects
 * - `ready`: it answers commands
 * - `stopping`: it finishes what is in flight
 * - `ended`: it is gone
 */
export type ThreadState = 'starting' | 'ready' | 'stopping' | 'ended';

export interface ThreadHandleOptions {
  readonly data: Omit<CarrierData, 'protocol'>;
  readonly heapMb: number;
  /** Whether it has a process of its own. */
  readonly isApart?: boolean;
  readonly onMessage: (
    message: Exclude<ThreadMessage, { kind: 'answer' } | { kind: 'ready' } | { kind: 'ending' }>,
  ) => void;
  /** An error is about to end the thread; it waits a moment until this resolves. */
  readonly onEnding: (handle: ThreadHandle) => Promise<void>;
  /** Once, when the thread is gone; `reason` is for a person. */
  readonly onEnd: (handle: ThreadHandle, reason: string) => void;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The supervisor's side of one broker thread. */
export class ThreadHandle {
  readonly name: string;
  readonly #carrier: Carrier;
  readonly #waiting = new Map<number, Waiting>();
  /** Versions that the thread has loaded or is loading, by generation. */
  readonly #prepared = new Map<number, Promise<void>>();
  readonly #ready: Promise<void>;
  #state: ThreadState = 'starting';
  #sequence = 0;
  #endReason: string | undefined;

  constructor(options: ThreadHandleOptions) {
    this.name = options.data.thread;
    const data: CarrierData = { ...options.data, protocol: THREAD_PROTOCOL };
    let setReady: () => void = () => undefined;
    let refuse: (error: Error) => void = () => undefined;
    this.#ready = new Promise((resolve, reject) => {
      [setReady, refuse] = [resolve, reject];
    });
    const start = options.isApart === true ? startProcessCarrier : startThreadCarrier;
    this.#carrier = start(data, options.heapMb, {
      onMessage: (message) => {
        if (message.kind === 'answer') this.#onAnswer(message);
        else if (message.kind === 'ready') {
          this.#setReady();
          setReady();
        } else if (message.kind === 'ending') {
          void options.onEnding(this).finally(() => this.#carrier.mayEnd?.());
        } else {
          if (message.kind === 'drained') this.#prepared.delete(message.generation);
          options.onMessage(message);
        }
      },
      onError: (error) => {
        this.#endReason ??= textOf(error, 'stack') ?? wordsFor(error);
      },
      onExit: (words, isLeft = false) => {
        this.#state = 'ended';
        const known = this.#endReason ?? words;
        const reason = isLeft ? `${known}; ${words}` : known;
        refuse(threadErrors.make('BEDS_THREAD_START_FAILED', `Broker thread ${this.name} ended: ${reason}`));
        this.#rejectWaiting();
        options.onEnd(this, reason);
      },
    });
    this.#ready.catch(() => undefined);
  }

  get state(): ThreadState {
    return this.#state;
  }

  /** Signs of life so far; see `CrashBreadcrumbs`. */
  get beats(): number {
    return this.#carrier.left.beats;
  }

  /** The generation whose code the thread entered last. */
  get lastEntered(): number {
    return this.#carrier.left.lastEntered;
  }

  /** Digest of the request that the thread tried as a suspect; 0: none. */
  get suspect(): number {
    return this.#carrier.left.suspect;
  }

  /** Whether the suspect's own code was entered last. */
  get isSuspectLast(): boolean {
    return this.#carrier.left.isSuspectLast;
  }

  /** Resolves when the thread serves; rejects with BEDS_THREAD_START_FAILED when it ended or `timeoutMs` passed. */
  async ready(timeoutMs: number): Promise<void> {
    await withTimeout(this.#ready, timeoutMs, () => threadErrors.make('BEDS_THREAD_START_FAILED'));
  }

  /** Sends a command; rejects with BEDS_THREAD_NO_ANSWER after `timeoutMs`, with BEDS_THREAD_LOST when the thread ends. */
  async request(command: ThreadCommand, timeoutMs: number): Promise<unknown> {
    if (this.#state === 'ended') throw threadErrors.make('BEDS_THREAD_LOST');
    if (command.kind === 'discard') this.#prepared.delete(command.generation);
    this.#sequence += 1;
    const seq = this.#sequence;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(seq, { resolve, reject }));
    this.#carrier.post({ seq, command });
    try {
      return await withTimeout(answer, timeoutMs, () => threadErrors.make('BEDS_THREAD_NO_ANSWER'));
    } finally {
      this.#waiting.delete(seq);
    }
  }

  /** Loads a version in the thread, once however often it is called. A failure may be retried. */
  prepare(source: GenerationSource, timeoutMs: number): Promise<void> {
    const before = this.#prepared.get(source.id);
    if (before !== undefined) return before;
    const prepared = this.request({ kind: 'prepare', source }, timeoutMs).then(() => undefined);
    this.#prepared.set(source.id, prepared);
    prepared.catch(() => this.#prepared.delete(source.id));
    return prepared;
  }

  /** Whether it has loaded this version, or is loading it. */
  has(generation: number): boolean {
    return this.#prepared.has(generation);
  }

  async status(timeoutMs: number): Promise<ThreadStatus> {
    return (await this.request({ kind: 'status' }, timeoutMs)) as ThreadStatus;
  }

  /** Lets the thread finish, at most `timeoutMs`, then ends it. Never rejects. */
  async stop(timeoutMs: number): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'stopping';
    this.#endReason ??= 'stopped';
    await this.request({ kind: 'stop', timeoutMs }, timeoutMs + 1_000).catch(() => undefined);
    await this.#carrier.terminate();
  }

  /** Ends the thread at once, whatever it does. RabbitMQ redelivers what it had not acknowledged. */
  async terminate(reason: string): Promise<void> {
    this.#endReason ??= reason;
    await this.#carrier.terminate();
  }

  #setReady(): void {
    if (this.#state === 'starting') this.#state = 'ready';
  }

  #onAnswer(message: Extract<ThreadMessage, { kind: 'answer' }>): void {
    const waiting = this.#waiting.get(message.seq);
    if (message.ok) waiting?.resolve(message.value);
    else waiting?.reject(fromPlain(message.error));
  }

  #rejectWaiting(): void {
    for (const { reject } of this.#waiting.values()) reject(threadErrors.make('BEDS_THREAD_LOST'));
    this.#waiting.clear();
  }
}

function fromPlain({ code, message, stack }: PlainError): Error {
  const error = threadErrors.make('BEDS_THREAD_PREPARE_FAILED', message, { hint: code });
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** What a thread leaves for the supervisor, see `CrashBreadcrumbs`. */
type LeftBehind = Pick<CrashBreadcrumbs, 'beats' | 'lastEntered' | 'suspect' | 'isSuspectLast'>;

interface CarrierEvents {
  readonly onMessage: (message: ThreadMessage) => void;
  readonly onError: (error: unknown) => void;
  /** Once, when it is gone; `isLeft`: it cannot be ended, and nothing waits for it any more. */
  readonly onExit: (reason: string, isLeft?: boolean) => void;
}

/** What a broker thread runs in. */
interface Carrier {
  readonly left: LeftBehind;
  post(request: ThreadRequest): void;
  /** Lets go one that ends for an error. A process does not wait: who takes its place starts after its end. */
  readonly mayEnd?: () => void;
  /** Ends it at once, whatever it does; resolves when it is gone. */
  terminate(): Promise<void>;
}

/** With the URLs in the configuration; what runs templates gets them apart from it. */
export type CarrierData = Omit<ThreadData, 'breadcrumbs' | 'secrets'>;

/** `main.ts` with all that it imports; `bootstrap.mjs` makes it. */
const PROGRAM = new URL('../../threads/main.js', import.meta.url);

function startThreadCarrier(data: CarrierData, heapMb: number, events: CarrierEvents): Carrier {
  denyCodeFromText();
  letHeapsGrow();
  keepLoopsEndable();
  const breadcrumbs = new CrashBreadcrumbs();
  const { config, urls } = takeUrls(data.config);
  const { port1: ours, port2: secrets } = new MessageChannel();
  ours.postMessage(urls);
  ours.unref();
  const worker = new Worker(PROGRAM, {
    workerData: { ...data, config, secrets, breadcrumbs: breadcrumbs.buffer } satisfies ThreadData,
    transferList: [secrets],
    name: `beds ${data.thread}`,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: heapMb, maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
  let isGone = false;
  const conclude = (reason: string, isLeft = false): void => {
    if (isGone) return;
    isGone = true;
    events.onExit(reason, isLeft);
  };
  worker.on('message', (message: ThreadMessage) => {
    if (!isGone) events.onMessage(message);
  });
  worker.on('error', events.onError);
  worker.on('exit', (code) => conclude(`exit code ${String(code)}`));
  return {
    left: breadcrumbs,
    post: (request) => worker.postMessage(request),
    mayEnd: () => breadcrumbs.mayEnd(),
    terminate: async () => {
      if (await endThread(worker)) return;
      conclude(
        'it does not end, as nothing interrupts the call of Node that its code is in: the host goes on without it',
        true,
      );
    },
  };
}

/** Who ends a whole group of processes meets this one as well: nothing is concluded before the supervisor was spared. */
const SPARED_MS = 250;
/** What the process needs of the environment; secrets come with the configuration. */
const ENVIRONMENT = ['PATH', 'TZ', 'LANG', 'LD_LIBRARY_PATH', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR'];

/** The same in a process of its own, which may end without taking the host with it. */
function startProcessCarrier(data: CarrierData, heapMb: number, events: CarrierEvents): Carrier {
  const child = fork(PROGRAM, [], {
    serialization: 'advanced',
    env: essentialEnvironment(),
    execArgv: [`--max-old-space-size=${String(heapMb)}`, CODE_FROM_TEXT_FLAG],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const left = new ProcessTrail(data.trail);
  child.on('message', (message: ProcessMessage) => {
    if (message.kind === 'beat') left.beats += 1;
    else if (message.kind === 'fatal') events.onError(message.reason);
    else events.onMessage(message);
  });
  const gone = new Promise<void>((resolve) => {
    onceGone(child, (reason) => {
      left.keep();
      resolve();
      events.onExit(reason);
    });
  });
  const post = (message: ProcessStart | ThreadRequest): void => {
    // n.b. that the process is gone is said by its end.
    if (child.connected) child.send(message, () => undefined);
  };
  const { config, urls } = takeUrls(data.config);
  post({ data: { ...data, config, secrets: undefined, breadcrumbs: undefined }, urls });
  return {
    left,
    post,
    terminate: () => {
      child.kill('SIGKILL');
      return gone;
    },
  };
}

export function essentialEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(ENVIRONMENT.flatMap((name) => (name in process.env ? [[name, process.env[name]]] : [])));
}

/** A process that was ended by a signal, itself or the system having sent it. */
export const KILLED_PROCESS = /^its process was ended by SIG/;

/** `onGone` is called once, with the reason. */
export function onceGone(child: ChildProcess, onGone: (reason: string) => void): void {
  let isGone = false;
  const conclude = (reason: string): void => {
    if (isGone) return;
    isGone = true;
    setTimeout(onGone, SPARED_MS, reason);
  };
  child.on('exit', (code, signal) => {
    conclude(signal === null ? `exit code ${String(code)}` : `its process was ended by ${signal}`);
  });
  child.on('error', (error) => conclude(error.message));
}

/** Nobody shares the memory of a process: what it noted is in its trail. */
class ProcessTrail implements LeftBehind {
  readonly #trail: string | undefined;
  #kept: TrailView | undefined;
  beats = 0;

  constructor(trail: string | undefined) {
    this.#trail = trail;
  }

  /** What it noted last outlives the file. */
  keep(): void {
    this.#kept = this.#read();
  }

  get lastEntered(): number {
    return this.#read()?.last ?? 0;
  }

  get suspect(): number {
    return this.#read()?.suspect ?? 0;
  }

  get isSuspectLast(): boolean {
    const view = this.#read();
    return view !== undefined && view.suspectGeneration === view.last;
  }

  #read(): TrailView | undefined {
    return this.#kept ?? (this.#trail === undefined ? undefined : readTrail(this.#trail));
  }
}
