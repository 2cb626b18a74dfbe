import type { Db } from 'mongodb';
import { isDocument } from './body.js';

interface Privilege {
  readonly resource: Readonly<Record<string, unknown>>;
  readonly actions: readonly unknown[];
}

/**
 * What the account may do, as the server tells it. A server that knows no accounts, or lets anyone in, lets everything
 * be done: https://www.mongodb.com/docs/manual/reference/command/connectionStatus/
 */
export async function readPrivileges(db: Db): Promise<(action: string, collection: string) => boolean> {
  const status: unknown = await db.command({ connectionStatus: 1, showPrivileges: true }).catch(() => undefined);
  const info = isDocument(status) ? status['authInfo'] : undefined;
  if (!isDocument(info) || !Array.isArray(info['authenticatedUsers']) || info['authenticatedUsers'].length === 0) {
    return () => true;
  }
  const privileges = info['authenticatedUserPrivileges'] as readonly Privilege[] | undefined;
  return privilegeTest(db.databaseName, privileges ?? []);
}

export function privilegeTest(
  database: string,
  privileges: readonly Privilege[],
): (action: string, collection: string) => boolean {
  return (action, collection) =>
    privileges.some(({ resource, actions }) => {
      if (!actions.includes(action) && !actions.includes('anyAction')) return false;
      if (resource['anyResource'] === true) return true;
      const ofDatabase = resource['db'] === '' || resource['db'] === database;
      return ofDatabase && (resource['collection'] === '' || resource['collection'] === collection);
    });
}
