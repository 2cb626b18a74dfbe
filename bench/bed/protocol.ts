/** What the benchmark asks one of its processes, over the IPC channel. */
export interface Call {
  readonly seq: number;
  readonly name: string;
  readonly input: unknown;
}

export type Answer =
  | { readonly seq: number; readonly ok: true; readonly value: unknown }
  | { readonly seq: number; readonly ok: false; readonly message: string };

/** A change of state of a version, as the host announced it. */
export interface Step {
  readonly version: string;
  readonly state: string;
  /** Milliseconds since its bytes were complete. */
  readonly ms?: number;
  /** Milliseconds that the flip on all threads took, where the host says so. */
  readonly flipMs?: number;
  /** When it was announced, in milliseconds of the host's own monotonic clock. */
  readonly at: number;
}
