import { type ChildProcess, fork } from 'node:child_process';
import { MessageChannel, Worker } from 'node:worker_threads';
import { takeUrls } from '../config/secrets.js';
import { CODE_FROM_TEXT_FLAG, denyCodeFromText } from '../template/code-from-text.js';
import type { ProcessMessage, ProcessStart, ThreadData, ThreadMessage, ThreadRequest } from './protocol.js';
import { SharedNotes } from './shared-notes.js';
import { readTrail, type TrailView } from './trail-format.js';

/** What a thread leaves for the supervisor, see `SharedNotes`. */
export type LeftNotes = Pick<SharedNotes, 'beats' | 'lastEntered' | 'suspect' | 'isSuspectLast'>;

export interface CarrierEvents {
  readonly onMessage: (message: ThreadMessage) => void;
  readonly onError: (error: unknown) => void;
  /** Once, when it is gone. */
  readonly onExit: (reason: string) => void;
}

/** What a broker thread runs in. */
export interface Carrier {
  readonly notes: LeftNotes;
  post(request: ThreadRequest): void;
  /** Ends it at once, whatever it does; resolves when it is gone. */
  terminate(): Promise<void>;
}

/** With the URLs in the configuration; what runs templates gets them apart from it. */
export type CarrierData = Omit<ThreadData, 'notes' | 'secrets'>;

export function startThreadCarrier(data: CarrierData, heapMb: number, events: CarrierEvents): Carrier {
  denyCodeFromText();
  const notes = new SharedNotes();
  const { config, urls } = takeUrls(data.config);
  const { port1: ours, port2: secrets } = new MessageChannel();
  ours.postMessage(urls);
  ours.unref();
  const worker = new Worker(new URL('./main.js', import.meta.url), {
    workerData: { ...data, config, secrets, notes: notes.buffer } satisfies ThreadData,
    transferList: [secrets],
    name: `beds ${data.thread}`,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: heapMb },
  });
  worker.on('message', events.onMessage);
  worker.on('error', events.onError);
  worker.on('exit', (code) => events.onExit(`exit code ${String(code)}`));
  return {
    notes,
    post: (request) => worker.postMessage(request),
    terminate: async () => {
      await worker.terminate();
    },
  };
}

/** Who ends a whole group of processes meets this one as well: nothing is concluded before the supervisor was spared. */
const SPARED_MS = 250;
/** What the process needs of the environment; secrets come with the configuration. */
const ENVIRONMENT = ['PATH', 'TZ', 'LANG', 'LD_LIBRARY_PATH', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR'];

/** The same in a process of its own, which may end without taking the host with it. */
export function startProcessCarrier(data: CarrierData, heapMb: number, events: CarrierEvents): Carrier {
  const child = fork(new URL('./process-main.js', import.meta.url), [], {
    serialization: 'advanced',
    env: essentialEnvironment(),
    execArgv: [`--max-old-space-size=${String(heapMb)}`, CODE_FROM_TEXT_FLAG],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const notes = new ProcessNotes(data.trail);
  child.on('message', (message: ProcessMessage) => {
    if (message.kind === 'beat') notes.beats += 1;
    else if (message.kind === 'fatal') events.onError(message.reason);
    else events.onMessage(message);
  });
  const gone = new Promise<void>((resolve) => {
    onceGone(child, (reason) => {
      notes.keep();
      resolve();
      events.onExit(reason);
    });
  });
  const post = (message: ProcessStart | ThreadRequest): void => {
    // n.b. that the process is gone is said by its end.
    if (child.connected) child.send(message, () => undefined);
  };
  const { config, urls } = takeUrls(data.config);
  post({ data: { ...data, config, secrets: undefined, notes: undefined }, urls });
  return {
    notes,
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
class ProcessNotes implements LeftNotes {
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
