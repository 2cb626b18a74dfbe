import { pino } from 'pino';
import type { Config } from '../../host/config/schema.js';
import { startHost } from '../../host/main.js';

/** A host as a process of its own, which can be stopped and go on. Told by its only argument what it is. */
const [, , given = '{}'] = process.argv;
const { config, projectRoot } = JSON.parse(given) as { readonly config: Config; readonly projectRoot: string };
const host = await startHost({ config, projectRoot, log: pino({ level: 'silent' }) });
process.once('disconnect', () => {
  void host.stop();
});
process.send?.('started');
