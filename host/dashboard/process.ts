import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isBedsError } from '@beds/sdk';
import { dashboardErrors } from '../errors/dashboard.js';
import { readAssets } from './assets.js';
import { DashboardServer } from './server.js';
import { DesignRoom } from './designs.js';
import type { DashboardData, DashboardMessage, DashboardNews } from './start.js';

/** So many ports after the configured one are tried: another checkout may have it. */
const MORE_PORTS = 20;

const tell = (message: DashboardMessage): void => {
  if (process.connected) process.send?.(message);
};

function readTls({ certificate, key }: DashboardData): { readonly cert: string; readonly key: string } | undefined {
  if (certificate === '') return undefined;
  try {
    return { cert: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8') };
  } catch (cause) {
    throw dashboardErrors.make('BEDS_DASHBOARD_TLS_UNUSABLE', undefined, { cause });
  }
}

/** On this machine the next free port is as good; where others expect it at one port, it is there or nowhere. */
async function listen(server: DashboardServer, { host, port, mayMove }: DashboardData): Promise<number> {
  const last = mayMove && port !== 0 ? Math.min(65_535, port + MORE_PORTS) : port;
  for (let next = port; ; next += 1) {
    try {
      return await server.listen(host, next);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      if (next < last) continue;
      const words = `Port ${String(port)} of ${host} is taken${last > port ? `, and so are those up to ${String(last)}` : ''}.`;
      throw dashboardErrors.make('BEDS_DASHBOARD_PORT_TAKEN', words, { cause: error });
    }
  }
}

/** Designs are the host's: it is asked, and tells what is new. n.b. from the first message on, which says what there is. */
function openDesigns(): DesignRoom {
  const waiting = new Map<number, (answer: object) => void>();
  let asked = 0;
  const room = new DesignRoom(
    (message) =>
      new Promise((resolve) => {
        asked += 1;
        waiting.set(asked, resolve);
        tell({ kind: 'ask', id: asked, message });
      }),
  );
  process.on('message', (news: DashboardNews | DashboardData) => {
    if (!('kind' in news)) return;
    if (news.kind === 'designs') room.hear(news.designs);
    else {
      waiting.get(news.id)?.(news.answer);
      waiting.delete(news.id);
    }
  });
  return room;
}

async function run(data: DashboardData): Promise<void> {
  const { amqp, names, maxBundleBytes, hostKey, ownerToken } = data;
  const tls = readTls(data);
  const assets = readAssets(join(import.meta.dirname, 'app'));
  const onFault = (error: unknown): void =>
    tell({ kind: 'fault', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  const server = new DashboardServer({
    ...{ amqp, names, maxBundleBytes, hostKey, ownerToken, tls, designs, assets, onFault },
  });
  process.once('disconnect', () => {
    void server.close().finally(() => process.exit());
  });
  tell({ kind: 'listening', port: await listen(server, data) });
}

process.on('uncaughtExceptionMonitor', (error) => tell({ kind: 'fault', message: error.stack ?? error.message }));
// Signals of a terminal reach it, too: it ends when the host does, which is when their channel ends.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
const designs = openDesigns();
const [data] = (await once(process, 'message')) as [DashboardData];
await run(data).catch((error: unknown) => {
  const { code, message } = isBedsError(error) ? error : dashboardErrors.make('BEDS_DASHBOARD_FAULT', String(error));
  tell({ kind: 'failed', code, message });
  process.disconnect();
});
