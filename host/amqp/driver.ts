import { requireGuarded } from './header-guard.js';

/** amqplib's promise API, with the header guard in front of its decoder. */
export const { connect } = requireGuarded();
