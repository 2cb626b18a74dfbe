import type { RequestEnvelope } from '@beds/sdk';
import type { Delivery } from '../amqp/delivery.js';
import { requestErrors } from '../errors/request.js';

/**
 * The broker checked the caller's right to the routing key (topic permissions), so the envelope must ask for what the
 * routing key says, and the message must have come through the request exchange and not straight into the queue.
 */
export function authorise(request: RequestEnvelope, delivery: Delivery, exchange: string): void {
  if (delivery.exchange !== exchange || delivery.routingKey !== `${request.domain}.${request.op}`) {
    throw requestErrors.make('BEDS_REQUEST_ROUTE_MISMATCH');
  }
}
