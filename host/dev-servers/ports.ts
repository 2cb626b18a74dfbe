import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export const LOOPBACK = '127.0.0.1';
const CONNECT_TIMEOUT_MS = 2_000;

/** Ports of the loopback interface that were free just now; those of `preferred` that still are come first. */
export async function pickPorts(count: number, preferred: readonly number[] = []): Promise<readonly number[]> {
  const held = [];
  try {
    for (let index = 0; index < count; index += 1) {
      held.push((await hold(preferred[index] ?? 0)) ?? (await hold(0)));
    }
    return held.map((each) => each?.port ?? 0);
  } finally {
    for (const each of held) each?.release();
  }
}

async function hold(port: number): Promise<{ readonly port: number; release(): void } | undefined> {
  const server = createServer();
  try {
    server.listen({ host: LOOPBACK, port, exclusive: true });
    await once(server, 'listening');
  } catch {
    return undefined;
  }
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : port, release: () => server.close() };
}

/** Whether something listens on a loopback port. */
export function acceptsConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: LOOPBACK, port });
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => done(false));
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}
