import type { OpenBroker } from '../contract.js';

/** The order desk does all: it settles every message, and it never throws. */
export const open: OpenBroker = ({ desks }) => {
  if (desks === undefined) throw new TypeError('unreachable: it runs beside the control plane');
  const { orders } = desks;
  return { handle: (delivery) => orders.take(delivery), metrics: () => orders.metrics };
};
