/** A command that starts servers and then waits to be killed. Arguments: directory, names separated by commas. */
import { startServices } from '../../host/dev-servers/index.js';
import type { ServiceName } from '../../host/dev-servers/index.js';

const [, , directory = '', names = ''] = process.argv;
await startServices({ directory, need: names.split(',') as ServiceName[], environment: {} });
process.stdout.write('ready\n');
setInterval(() => undefined, 60_000);
