/** What the benchmark asks one of its processes, over the IPC channel. */
export interface Call {
  readonly seq: number;
  readonly name: string;
  readonly input: unknown;
}

export type Answer =
  | { readonly seq: number; readonly ok: true; readonly value: unknown }
  | { readonly seq: number; readonly ok: false; readonly message: string };
