import { isBuiltin } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { OnResolveArgs, OnResolveResult, PartialMessage, Plugin, PluginBuild } from 'esbuild';
import { ALLOWED_IMPORTS } from '../template/allowed-imports.js';

/** Clients of databases, brokers and the like: a template reaches them through `ctx` only. */
const DRIVERS = new Set([
  ...['mysql', 'mysql2', 'mariadb', 'mongodb', 'mongoose', 'pg', 'postgres', 'sqlite3', 'better-sqlite3', 'oracledb'],
  ...['tedious', 'mssql', 'redis', 'ioredis', 'knex', 'kysely', 'typeorm', 'sequelize', 'prisma', '@prisma/client'],
  ...[
    'drizzle-orm',
    'amqplib',
    'rabbitmq-client',
    'amqp-connection-manager',
    'kafkajs',
    'undici',
    'axios',
    'node-fetch',
  ],
]);

const SDK = '@beds/sdk';
/** Modules of Node that are required are wrapped: `require` is not there in an ES module. */
const BUILTIN_NAMESPACE = 'beds-builtin';
const SKIP = Symbol('resolved by the guard itself');

function packageOf(path: string): string {
  return path
    .split('/')
    .slice(0, path.startsWith('@') ? 2 : 1)
    .join('/');
}

function refuse(text: string, hint: string): OnResolveResult {
  const message: PartialMessage = { text, notes: [{ text: hint }] };
  return { errors: [message] };
}

function resolveBuiltin({ path, kind }: OnResolveArgs): OnResolveResult {
  const name = path.startsWith('node:') ? path : `node:${path}`;
  if (!ALLOWED_IMPORTS.includes(name)) {
    return refuse(`"${path}" may not be imported by a template`, `Allowed are ${ALLOWED_IMPORTS.join(', ')}.`);
  }
  if (kind === 'require-call') return { path: name, namespace: BUILTIN_NAMESPACE };
  return { path: name, external: true, sideEffects: false };
}

/** An author without an installed copy of the SDK gets the one that builds. */
async function resolveSdk(build: PluginBuild, args: OnResolveArgs): Promise<OnResolveResult | undefined> {
  if (args.path !== SDK) {
    return refuse(`"${args.path}" may not be imported by a template`, `Templates import "${SDK}" only.`);
  }
  const { kind, resolveDir, importer } = args;
  const installed = await build.resolve(args.path, { kind, resolveDir, importer, pluginData: SKIP });
  if (installed.errors.length === 0) return { path: installed.path, sideEffects: false };
  return { path: fileURLToPath(new URL('../template/index.js', import.meta.url)), sideEffects: false };
}

function judge(
  build: PluginBuild,
  args: OnResolveArgs,
): OnResolveResult | Promise<OnResolveResult | undefined> | undefined {
  const { path } = args;
  if (args.pluginData === SKIP || args.kind === 'entry-point') return undefined;
  if (args.namespace === BUILTIN_NAMESPACE) return { path, external: true, sideEffects: false };
  if (isBuiltin(path)) return resolveBuiltin(args);
  if (packageOf(path) === SDK) return resolveSdk(build, args);
  if (DRIVERS.has(packageOf(path))) {
    return refuse(
      `"${path}" may not be imported by a template`,
      'Data is reached with ctx.call, ctx.view and ctx.domain.',
    );
  }
  if (path.endsWith('.node')) return refuse(`"${path}" is a native addon`, 'A bundle is JavaScript only.');
  if (/^[a-z]+:/i.test(path)) return refuse(`"${path}" is an address`, 'A bundle carries everything it needs.');
  return undefined;
}

/** Refuses, with their places, all imports that a bundle may not have. */
export const importGuard: Plugin = {
  name: 'beds-import-guard',
  setup(build) {
    build.onResolve({ filter: /.*/ }, (args) => judge(build, args));
    build.onLoad({ filter: /.*/, namespace: BUILTIN_NAMESPACE }, ({ path }) => ({
      contents: `import wrapped from ${JSON.stringify(path)}; module.exports = wrapped;`,
      loader: 'js',
    }));
  },
};
