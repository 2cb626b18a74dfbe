import { ALLOWED_IMPORTS } from '../template/allowed-imports.js';

const NO_NETWORK = 'A template has no network: let an application call out, and hand the template what came of it.';
const NO_FILES =
  'A template has no files: keep data in the database, or import a JSON or text file, which becomes part of the bundle.';
const NO_DRIVERS = 'Data is reached through the objects of the DBA and through other domains.';
const NO_PROGRAMS = 'A template computes in the thread that it is given: long work belongs into an application.';
const NO_LOGGERS = 'Log with `log`, or print with console: both are lines of the log of the host.';
const NO_SETTINGS = 'A template has no environment: write the value into the template, or keep it in the database.';
const NO_SERVER = 'A template answers through RabbitMQ only: a server of another kind is an application that calls it.';
const NO_CODE_LOADING = 'A bundle carries all its code: import what you need by its name.';

const GROUPS: readonly (readonly [alternative: string, names: string])[] = [
  [NO_NETWORK, 'node:http node:https node:http2 node:net node:tls node:dns node:dns/promises node:dgram'],
  [
    NO_NETWORK,
    'undici axios got node-fetch ky superagent request ws socket.io nodemailer @aws-sdk/client-s3 stripe openai',
  ],
  [NO_FILES, 'node:fs node:fs/promises fs-extra graceful-fs glob globby rimraf chokidar formidable multer'],
  [NO_DRIVERS, 'mysql mysql2 mariadb mongodb mongoose pg postgres sqlite3 better-sqlite3 oracledb tedious mssql'],
  [NO_DRIVERS, 'redis ioredis knex kysely typeorm sequelize prisma @prisma/client drizzle-orm node:sqlite'],
  [NO_DRIVERS, 'amqplib rabbitmq-client amqp-connection-manager kafkajs'],
  [
    NO_PROGRAMS,
    'commander yargs node:child_process node:worker_threads node:cluster execa piscina node-cron bull bullmq',
  ],
  [NO_LOGGERS, 'winston pino bunyan log4js signale'],
  [NO_SETTINGS, 'dotenv config convict cosmiconfig'],
  [NO_SERVER, 'express fastify koa @hapi/hapi hono @nestjs/core'],
  [NO_CODE_LOADING, 'node:module node:vm node:repl node:v8 node:inspector'],
  ['Use the package fflate or pako.', 'node:zlib'],
  ['Read the text as a whole, and split it into lines.', 'node:readline node:readline/promises'],
  ['Use bcryptjs, or scrypt of node:crypto.', 'bcrypt argon2'],
  ['Use the package punycode: `npm install punycode`.', 'node:punycode'],
  ['Promises of the language do the same, and are faster today.', 'bluebird'],
  ['Import eta/core: the same without files.', 'eta'],
  ['Make images and documents in an application.', 'sharp canvas puppeteer playwright jsdom pdfkit'],
];

const ALTERNATIVES = new Map(
  GROUPS.flatMap(([alternative, names]) => names.split(' ').map((name) => [name, alternative])),
);

/** Clients of databases, brokers and networks: a template must not even try to reach them. */
export const DRIVERS: ReadonlySet<string> = new Set(
  GROUPS.filter(([alternative]) => alternative === NO_DRIVERS || alternative === NO_NETWORK)
    .flatMap(([, names]) => names.split(' '))
    .filter((name) => !name.startsWith('node:')),
);

/** What to do in place of importing this package, or this module of Node (`node:fs`). */
export function alternativeTo(name: string): string {
  const known = ALTERNATIVES.get(name);
  if (known !== undefined) return known;
  const modules = ALLOWED_IMPORTS.map((each) => each.replace('node:', '')).join(', ');
  return `Look for a package that runs in browsers too; of the modules of Node a template has ${modules}.`;
}

/** Whether `alternativeTo` says more of it than of any other. */
export function isKnownPackage(name: string): boolean {
  return ALTERNATIVES.has(name);
}

/** `@scope/name` of `@scope/name/some/path`. */
export function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
