import { MongoClient } from 'mongodb';
import { acceptsConnections } from '../accepts-connections.js';

const TIMEOUT_MS = 3_000;

/** The server's version once it answers commands. */
export async function probeMongodb(url: string, port: number): Promise<string | undefined> {
  if (!(await acceptsConnections(port))) return undefined;
  const client = new MongoClient(url, { serverSelectionTimeoutMS: TIMEOUT_MS, connectTimeoutMS: TIMEOUT_MS });
  try {
    const info = await client.db('admin').command({ buildInfo: 1 });
    return String(info['version'] ?? 'unknown');
  } catch {
    return undefined;
  } finally {
    await client.close().catch(() => undefined);
  }
}
