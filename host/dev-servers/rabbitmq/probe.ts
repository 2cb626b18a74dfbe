import { connect } from 'amqplib';
import { acceptsConnections } from '../accepts-connections.js';

const CONNECT_TIMEOUT_MS = 3_000;

/** The broker's version once it takes our credentials (so it is this broker, not another on the same port). */
export async function probeRabbitmq(url: string, port: number): Promise<string | undefined> {
  if (!(await acceptsConnections(port))) return undefined;
  const connection = await connect(url, { timeout: CONNECT_TIMEOUT_MS }).catch(() => undefined);
  if (connection === undefined) return undefined;
  connection.on('error', () => undefined);
  const properties = connection.connection.serverProperties as { readonly version?: string };
  await connection.close().catch(() => undefined);
  return properties.version ?? 'unknown';
}
