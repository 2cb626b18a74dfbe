import { EXIT } from '#sdk/cli';
import { readAddress } from '../../dashboard/start.js';
import { dashboardErrors } from '../../errors/dashboard.js';
import { stateDirectory } from '../broker-of.js';
import type { Command } from '../command.js';

const ANSWER_MS = 3_000;

export const dashboardCommand: Command = {
  name: 'dashboard',
  summary: 'Print the address of the dashboard of this machine’s host. It may contain a key.',
  usage: 'dashboard',
  options: {},
  details:
    'With dashboard.enabled a host serves it; `npm start` does by itself. The address of a dashboard that only this machine reaches carries the key ' +
    'of the host, which lets a browser in until the host ends: keep it as you keep the files of the host. Others sign in with an account.',
  run: async (context) => {
    const address = readAddress(stateDirectory(context));
    if (address === undefined) throw dashboardErrors.make('BEDS_DASHBOARD_NOT_RUNNING');
    const { origin } = new URL(address);
    const answer = await fetch(`${origin}/api/ways`, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => undefined);
    // n.b. one with a certificate of its own is not asked whether it is there.
    if (answer === undefined && origin.startsWith('http:')) throw dashboardErrors.make('BEDS_DASHBOARD_NOT_RUNNING');
    if (context.json) context.out.value({ address });
    else context.out.line(address);
    return EXIT.ok;
  },
};
