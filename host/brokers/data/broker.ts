import type { OpenBroker } from '../contract.js';

/** The request path does all: it settles every message, and it never throws. */
export const open: OpenBroker = ({ serve }) => ({ handle: serve });
