import { invalid } from '@beds/sdk';

/** Stands for the operations of NamasteCore that nobody measures. */
export function notServed(): Promise<never> {
  return Promise.reject(invalid('op', 'is not part of the benchmark'));
}
