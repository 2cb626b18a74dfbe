import type { BedsError } from '@beds/sdk';
import { configErrors } from '../errors/config.js';

/** One thing that is wrong with the configuration. Holds no value that was configured: it may be a secret. */
export interface ConfigProblem {
  /** The file or the environment variable at fault, or `default` where nothing was said. */
  readonly source: string;
  /** Dotted path of the key: `limits.maxBodyBytes`. Empty where no key is meant. */
  readonly path: string;
  /** What is wrong and what is expected: a sentence that goes on from the path. */
  readonly message: string;
}

/** The error that refuses a configuration, with all that is wrong in its message. */
export function configInvalid(problems: readonly ConfigProblem[]): BedsError {
  const count = problems.length === 1 ? 'One problem' : `${String(problems.length)} problems`;
  const lines = problems.map(problemLine).map((line) => `  - ${line}`);
  return configErrors.make('BEDS_CONFIG_INVALID', `${count} in the configuration:\n${lines.join('\n')}`);
}

function problemLine({ source, path, message }: ConfigProblem): string {
  return [source, ...(path === '' ? [] : [path]), message].join(': ');
}
