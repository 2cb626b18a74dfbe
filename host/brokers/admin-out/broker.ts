import type { OpenBroker } from '../contract.js';

/** The fleet does all: it settles every message, and it never throws. */
export const open: OpenBroker = ({ desks }) => {
  if (desks === undefined) throw new TypeError('unreachable: it runs beside the control plane');
  const { fleet } = desks;
  return { handle: (delivery) => fleet.take(delivery), metrics: () => fleet.metrics };
};
