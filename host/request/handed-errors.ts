import type { ServingGeneration } from './serving-generation.js';

const handed = new WeakMap<object, ServingGeneration>();

/** Notes that code of this generation was given the error: whoever was given it last must handle it. */
export function noteHanded(error: unknown, generation: ServingGeneration): void {
  if (typeof error === 'object' && error !== null) handed.set(error, generation);
}

/** Whose code was given this error last; undefined: nobody's. */
export function handedTo(error: unknown): ServingGeneration | undefined {
  return typeof error === 'object' && error !== null ? handed.get(error) : undefined;
}
