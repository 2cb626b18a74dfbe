import { useEffect, useState } from 'preact/hooks';
import type { Change, DesignPart, DesignsPart, DomainPart, FleetPart, NodePart, Sample, Summary } from '../contract.js';
import { api } from './api.js';
import { now as serverNow } from './clock.js';

/** The live state, as far as it is known here. */
export interface State {
  readonly summary?: Summary;
  /** What all nodes shall run; absent: nobody keeps that. */
  readonly fleet?: FleetPart;
  readonly nodes: readonly NodePart[];
  readonly domains: readonly DomainPart[];
  /** Whether domains can be designed here; absent: nothing has come from the server yet. */
  readonly about?: DesignsPart;
  readonly designs: readonly DesignPart[];
  readonly samples: readonly Sample[];
  /** Milliseconds since 1970: since then nothing comes from the server. Absent: it comes. */
  readonly silentSinceMs?: number;
}

/** An hour of samples. */
const MAX_SAMPLES = 720;
/** The server says something every five seconds. */
const SILENT_MS = 15_000;
/** A page that nobody sees lets its stream go: browsers have six connections to a server. */
const HIDDEN_MS = 20_000;

const EMPTY: State = { nodes: [], domains: [], designs: [], samples: [] };
let state = EMPTY;
const parts = new Map<string, unknown>();
const listeners = new Set<() => void>();
let stream: EventSource | undefined;
let heardAtMs = Date.now();
let onSignedOut: () => void = () => undefined;

function set(change: Partial<State>): void {
  state = { ...state, ...change };
  for (const listener of listeners) listener();
}

function ofKind(kind: string): readonly unknown[] {
  return [...parts].flatMap(([key, part]) => (key.startsWith(`${kind}:`) ? [part] : []));
}

function take({ whole, parts: changed, gone }: Change): void {
  if (whole) parts.clear();
  for (const [key, part] of Object.entries(changed)) parts.set(key, part);
  for (const key of gone) parts.delete(key);
  const byName =
    <T>(name: (part: T) => string) =>
    (a: T, b: T) =>
      name(a) < name(b) ? -1 : 1;
  const { fleet: _, ...rest } = state;
  const fleet = parts.get('fleet') as FleetPart | undefined;
  state = rest;
  set({
    summary: parts.get('summary') as Summary,
    ...(fleet && { fleet }),
    nodes: (ofKind('node') as NodePart[]).toSorted(byName(({ node }) => node)),
    domains: (ofKind('domain') as DomainPart[]).toSorted(byName(({ domain }) => domain)),
    about: parts.get('designs') as DesignsPart,
    designs: ofKind('design') as DesignPart[],
  });
}

function heard(): void {
  heardAtMs = Date.now();
  if (state.silentSinceMs !== undefined) {
    const { silentSinceMs: _, ...rest } = state;
    state = rest;
    set({});
  }
}

function open(): void {
  stream?.close();
  heardAtMs = Date.now();
  const opened = new EventSource('/api/stream');
  stream = opened;
  opened.addEventListener('open', heard);
  opened.addEventListener('beat', heard);
  opened.addEventListener('change', (event) => {
    heard();
    take(JSON.parse(event.data as string) as Change);
  });
  opened.addEventListener('sample', (event) => {
    const sample = JSON.parse(event.data as string) as Sample;
    set({ samples: [...state.samples, sample].slice(-MAX_SAMPLES) });
  });
  opened.addEventListener('signed-out', () => end());
  opened.addEventListener('error', () => void lost(opened));
}

/** A browser comes back by itself after a lost connection, and not after an answer that refuses. */
async function lost(failed: EventSource): Promise<void> {
  if (failed.readyState !== EventSource.CLOSED || failed !== stream) return;
  const isSignedOut = await api.me().then(
    () => false,
    (error: unknown) => (error as { readonly isSignedOut?: boolean }).isSignedOut === true,
  );
  if (failed !== stream) return;
  if (isSignedOut) end();
  else setTimeout(() => failed === stream && open(), 2_000);
}

function end(): void {
  stopLive();
  onSignedOut();
}

/** Begins to listen; `signedOut` is called when the session has ended. */
export function startLive(signedOut: () => void): void {
  onSignedOut = signedOut;
  open();
  api.samples().then(
    (samples) => set({ samples }),
    () => undefined,
  );
}

export function stopLive(): void {
  stream?.close();
  stream = undefined;
  parts.clear();
  state = EMPTY;
}

setInterval(() => {
  if (stream === undefined || document.hidden) return;
  const isSilent = Date.now() - heardAtMs > SILENT_MS;
  if (isSilent && state.silentSinceMs === undefined) set({ silentSinceMs: heardAtMs });
}, 1_000);

let hiding: ReturnType<typeof setTimeout> | undefined;
document.addEventListener('visibilitychange', () => {
  clearTimeout(hiding);
  if (stream === undefined) return;
  if (document.hidden) hiding = setTimeout(() => stream?.close(), HIDDEN_MS);
  else if (stream.readyState === EventSource.CLOSED) open();
});

/** Renders again whenever something has changed. */
export function useLive(): State {
  const [, again] = useState(0);
  useEffect(() => {
    const listener = (): void => again((count) => count + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return state;
}

/** The time, for words such as `3 minutes ago`. */
export function useNow(everyMs = 5_000): number {
  const [now, setNow] = useState(serverNow());
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
