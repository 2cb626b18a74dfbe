import { withTimeout } from '#sdk/time';
import { threadErrors } from '../errors/thread.js';
import { textOf, wordsFor } from '../errors/thrown.js';
import type { GenerationSource } from '../template/contract.js';
import {
  type PlainError,
  THREAD_PROTOCOL,
  type ThreadCommand,
  type ThreadMessage,
  type ThreadStatus,
} from './protocol.js';
import { type Carrier, type CarrierData, startProcessCarrier, startThreadCarrier } from './carrier.js';

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
  readonly onMessage: (message: Exclude<ThreadMessage, { kind: 'answer' } | { kind: 'ready' }>) => void;
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
        } else {
          if (message.kind === 'drained') this.#prepared.delete(message.generation);
          options.onMessage(message);
        }
      },
      onError: (error) => {
        this.#endReason ??= textOf(error, 'stack') ?? wordsFor(error);
      },
      onExit: (words) => {
        this.#state = 'ended';
        const reason = this.#endReason ?? words;
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

  /** Signs of life so far; see `SharedNotes`. */
  get beats(): number {
    return this.#carrier.notes.beats;
  }

  /** The generation whose code the thread entered last. */
  get lastEntered(): number {
    return this.#carrier.notes.lastEntered;
  }

  /** Digest of the request that the thread tried as a suspect; 0: none. */
  get suspect(): number {
    return this.#carrier.notes.suspect;
  }

  /** Whether the suspect's own code was entered last. */
  get isSuspectLast(): boolean {
    return this.#carrier.notes.isSuspectLast;
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

  /** Loads a version in the thread, once however often it is asked for; a failure may be tried again. */
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
