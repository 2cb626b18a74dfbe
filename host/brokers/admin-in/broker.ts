import type { OpenBroker } from '../contract.js';

/** The order desk does all: it settles every message, and it never throws. */
export const open: OpenBroker = ({ desk }) => {
  if (desk === undefined) throw new TypeError('unreachable: it runs beside the control plane');
  return { handle: (delivery) => desk.take(delivery), metrics: () => desk.metrics };
};
