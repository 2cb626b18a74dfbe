import type { RequestEnvelope } from '@beds/sdk';
import { mapStack } from '../template/map-stack.js';
import { publishFault } from '../observe/channels.js';
import type { ServingGeneration } from './serving-generation.js';

/** Makes known what a request failed with, with the author's line where a version ran. */
export function reportFault(error: unknown, request: RequestEnvelope, generation: ServingGeneration | undefined): void {
  publishFault({
    where: `${request.domain}.${request.op}`,
    error: generation === undefined ? error : mapStack(error, generation.source),
    domain: request.domain,
    requestId: request.id,
    ...(generation === undefined ? {} : { version: generation.version, hash: generation.source.hash }),
  });
}
