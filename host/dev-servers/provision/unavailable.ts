import { servicesErrors } from '../../errors/services.js';
import type { ServerDefinition } from '../contract.js';
import { installCommand } from './platform-advice.js';
import type { PackageNames } from './platform-advice.js';

/** The one clear message when a server cannot be provided. */
export function unavailable(
  definition: Pick<ServerDefinition, 'title' | 'urlVariable'>,
  names: PackageNames,
  cause?: unknown,
): Error {
  const why = cause instanceof Error ? ` It could not be downloaded: ${cause.message}` : '';
  const hint = `Run: ${installCommand(names)} — or set ${definition.urlVariable} to a server that you run.`;
  return servicesErrors.make(
    'BEDS_SERVICES_UNAVAILABLE',
    `${definition.title} is not installed on this machine.${why} ${hint}`,
    { hint, cause },
  );
}
