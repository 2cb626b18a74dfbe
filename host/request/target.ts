import { requestErrors } from '../errors/request.js';
import type { DomainRoute } from '../template/registry.js';
import type { Operation } from './operation.js';
import type { ServingGeneration } from './serving-generation.js';

/** What answers a request. */
export interface Target {
  readonly generation: ServingGeneration;
  readonly operation: Operation;
}

/** Finds the operation in the generation that the route chose. What it lacks, the other side does not answer for it. */
export function resolve(
  route: DomainRoute<ServingGeneration> | undefined,
  generation: ServingGeneration | undefined,
  op: string,
): Target {
  if (generation === undefined) {
    throw requestErrors.make(route?.withheld === true ? 'BEDS_REQUEST_WITHHELD' : 'BEDS_REQUEST_UNKNOWN_DOMAIN');
  }
  const operation = generation.operations.get(op);
  if (operation === undefined) throw requestErrors.make('BEDS_REQUEST_UNKNOWN_OPERATION');
  return { generation, operation };
}
