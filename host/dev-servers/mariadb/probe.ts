import { createConnection } from 'mysql2/promise';
import type { RowDataPacket } from 'mysql2/promise';
import { acceptsConnections } from '../accepts-connections.js';

const CONNECT_TIMEOUT_MS = 3_000;

/** The server's version once it takes our credentials (so it is this server, not another on the same port). */
export async function probeMariadb(url: string, port: number): Promise<string | undefined> {
  if (!(await acceptsConnections(port))) return undefined;
  const connection = await createConnection({ uri: url, connectTimeout: CONNECT_TIMEOUT_MS }).catch(() => undefined);
  if (connection === undefined) return undefined;
  try {
    const [rows] = await connection.query<RowDataPacket[]>({ sql: 'SELECT VERSION() AS version', timeout: 3_000 });
    return String(rows[0]?.['version'] ?? 'unknown');
  } catch {
    return undefined;
  } finally {
    connection.destroy();
  }
}
