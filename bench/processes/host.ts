import type { Config } from '../../host/config/schema.js';
import { startHost, type Host } from '../../host/main.js';
import { serveParent } from '../bed/serve-parent.js';

/** The host under test, alone in its process as in production. */
let host: Host | undefined;

serveParent({
  calls: {
    start: async (options: { readonly config: Config; readonly projectRoot: string }) => {
      host = await startHost(options);
    },
  },
  stop: async () => host?.stop(),
});
