import { isBedsError, type RequestEnvelope } from '@beds/sdk';
import { mapStack } from '../generation/map-stack.js';
import { publishFault } from '../observe/channels.js';
import type { ServingGeneration } from './serving-generation.js';

/** Makes known what a request failed with, with the author's line where a version ran. */
export function reportFault(error: unknown, request: RequestEnvelope, generation: ServingGeneration | undefined): void {
  const original = isBedsError(error) ? (error.cause ?? error) : error;
  publishFault({
    where: `${request.domain}.${request.op}`,
    error: generation === undefined ? original : mapStack(original, generation.source),
    domain: request.domain,
    requestId: request.id,
    ...(generation === undefined ? {} : { version: generation.version, hash: generation.source.hash }),
  });
}
