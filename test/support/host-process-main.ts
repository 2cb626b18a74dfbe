import type { Config } from '../../host/config/schema.js';
import { startHost } from '../../host/main.js';

/** A host alone in its process, so that a test can lose it. Its log is its standard output. */
process.once('message', (options: { readonly config: Config; readonly projectRoot: string }) => {
  void startHost(options).then(
    (host) => {
      process.once('SIGTERM', () => void host.stop().then(() => process.disconnect()));
      process.send?.('serving');
    },
    (error: unknown) => {
      process.send?.(String(error));
      process.disconnect();
    },
  );
});
