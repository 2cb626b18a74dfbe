import type { ServerDefinition } from '../contract.js';
import { runChecked } from '../provision/run-command.js';
import { unavailable } from '../provision/unavailable.js';
import { canUnpack, unpackedPackages } from '../provision/unpacked-packages.js';
import { planMariadb } from './plan.js';
import { findInstalled, inUnpacked, isMysql } from './programs.js';

const PACKAGES = {
  apt: 'mariadb-server',
  dnf: 'mariadb-server',
  apk: 'mariadb',
  pacman: 'mariadb',
  brew: 'mariadb',
};

export const mariadb: ServerDefinition = {
  name: 'mariadb',
  title: 'MariaDB',
  urlVariable: 'BEDS_MARIADB_ADMIN_URL',
  portCount: 1,
  install: async (context) => {
    const installed = findInstalled(context.provision);
    if (installed !== undefined) {
      const kind = (await isMysql(installed)) ? 'mysql' : 'mariadb';
      return { source: 'path', kind, plan: (place) => planMariadb({ ...installed, kind }, place) };
    }
    if (!canUnpack(context)) throw unavailable(mariadb, PACKAGES);
    const root = await unpackedPackages(context, {
      title: 'MariaDB',
      // Older releases have the version in the name of the core package; `mariadb-server` needs the right one.
      names: ['mariadb-server-core', 'mariadb-server'],
      together: /^(mariadb|mysql)-server/,
      check: async (unpacked) => {
        const { server, env } = inUnpacked(unpacked);
        const environment = { ...process.env, ...env };
        await runChecked(server, { args: ['--no-defaults', '--version'], timeoutMs: 20_000, env: environment });
      },
    }).catch((error: unknown) => {
      throw unavailable(mariadb, PACKAGES, error);
    });
    const programs = { ...inUnpacked(root), kind: 'mariadb' as const };
    return { source: 'distribution-packages', kind: 'mariadb', plan: (place) => planMariadb(programs, place) };
  },
};
