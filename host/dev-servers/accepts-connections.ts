import { connect } from 'node:net';
import { LOOPBACK } from './free-port.js';

/** Whether something listens on a loopback port. */
export function acceptsConnections(port: number, host: string = LOOPBACK, timeoutMs = 2_000): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(timeoutMs, () => done(false));
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}
