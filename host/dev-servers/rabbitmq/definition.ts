import type { ServerDefinition } from '../contract.js';
import { canUnpack, unpackedPackages } from '../provision/unpacked-packages.js';
import { unavailable } from '../provision/unavailable.js';
import { planRabbitmq } from './plan.js';
import { findInstalled, inUnpacked, makeErlangWrapper } from './programs.js';
import { runChecked } from '../provision/run-command.js';

const PACKAGES = {
  apt: 'rabbitmq-server',
  dnf: 'rabbitmq-server',
  apk: 'rabbitmq-server',
  pacman: 'rabbitmq',
  brew: 'rabbitmq',
};

export const rabbitmq: ServerDefinition = {
  name: 'rabbitmq',
  title: 'RabbitMQ',
  urlVariable: 'BEDS_RABBITMQ_URL',
  // The broker's, epmd's and the one for distribution.
  portCount: 3,
  install: async (context) => {
    const installed = findInstalled(context.provision);
    if (installed !== undefined) {
      return { source: 'path', kind: 'rabbitmq', plan: (place) => planRabbitmq(installed, place) };
    }
    if (!canUnpack(context)) throw unavailable(rabbitmq, PACKAGES);
    const root = await unpackedPackages(context, {
      title: 'RabbitMQ',
      names: ['rabbitmq-server'],
      together: /^(erlang|rabbitmq)/,
      finish: makeErlangWrapper,
      check: async (unpacked) => {
        const { erl, env } = inUnpacked(unpacked);
        const args = ['-noshell', '-boot', 'start_clean', '-eval', 'crypto:start(), halt(0).'];
        await runChecked(erl, { args, timeoutMs: 20_000, env: { ...process.env, ...env } });
      },
    }).catch((error: unknown) => {
      throw unavailable(rabbitmq, PACKAGES, error);
    });
    const programs = inUnpacked(root);
    return { source: 'distribution-packages', kind: 'rabbitmq', plan: (place) => planRabbitmq(programs, place) };
  },
};
