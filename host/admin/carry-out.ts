import { withTimeout } from '#sdk/time';
import { operateErrors } from '../errors/operate.js';
import type { Operations, Receipt } from './contract.js';
import type { Order } from './protocol.js';

/** Longest time in which a node must accept or refuse an order. */
export const ORDER_TIMEOUT_MS = 60_000;

/** Hands an order to the control plane. Rejects as it does, or with `BEDS_OPERATE_TIMEOUT`. */
export async function carryOut(
  order: Order,
  operations: Operations,
  timeoutMs = ORDER_TIMEOUT_MS,
): Promise<readonly Receipt[]> {
  return withTimeout(apply(order, operations), timeoutMs, () => operateErrors.make('BEDS_OPERATE_TIMEOUT'));
}

async function apply(order: Order, operations: Operations): Promise<readonly Receipt[]> {
  switch (order.op) {
    case 'deploy':
      return operations.deploy(order.bundles, order.wish);
    case 'rollback':
      return [await operations.rollback(order.domain, order.version)];
    case 'promote':
      return [await operations.promote(order.domain)];
    case 'pause':
      return [await operations.pause(order.domain)];
    case 'retire':
      return [await operations.retire(order.domain)];
    case 'lift':
      return operations.lift(order.name);
  }
}
