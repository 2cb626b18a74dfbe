import assert from 'node:assert/strict';
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { isBedsError } from '@beds/sdk';
import { loadConfig, readConfig, type ConfigReading } from '../host/config/load.js';
import { configSchema } from '../host/config/schema.js';
import { redactUrl, takeUrls } from '../host/config/secrets.js';
import { defaultFileText, jsonSchemaText } from '../host/config/write-files.js';

const SECRET = 'hunter2-very-secret';

interface Given {
  readonly beds?: string;
  readonly env?: string;
  readonly variables?: Readonly<Record<string, string>>;
}

function checkout(t: TestContext, { beds, env }: Given): string {
  const root = mkdtempSync(join(tmpdir(), 'beds-config-'));
  t.after(() => {
    rmSync(root, { recursive: true, force: true });
  });
  mkdirSync(join(root, 'config'));
  if (beds !== undefined) writeFileSync(join(root, 'config', 'beds.toml'), beds);
  if (env !== undefined) writeFileSync(join(root, 'config', 'env.toml'), env);
  return root;
}

function reading(t: TestContext, given: Given): ConfigReading {
  return readConfig({ projectRoot: checkout(t, given), env: given.variables ?? {} });
}

function refusal(t: TestContext, given: Given): string {
  const projectRoot = checkout(t, given);
  try {
    loadConfig({ projectRoot, env: given.variables ?? {} });
  } catch (error) {
    assert.ok(isBedsError(error));
    assert.equal(error.code, 'BEDS_CONFIG_INVALID');
    assert.ok(!JSON.stringify([error.message, error.stack, error.hint]).includes(SECRET), 'a secret was printed');
    return error.message;
  }
  assert.fail('the configuration was accepted');
}

/** [what is broken, the configuration, what the one line of the message says] */
const BROKEN: readonly (readonly [string, Given, RegExp])[] = [
  [
    'a reply prefix that request queues begin with',
    { beds: '[amqp]\nreplyPrefixes = ["my-replies.", "beds.req"]' },
    /amqp\.replyPrefixes: beds\.req would let callers name queues of BEDS/,
  ],
  [
    'a reply prefix that the names of BEDS begin with',
    { beds: '[amqp]\nreplyPrefixes = ["bed"]' },
    /amqp\.replyPrefixes: bed would let callers name queues of BEDS/,
  ],
  [
    'a table nobody knows',
    { beds: '[limit]' },
    /config\/beds\.toml: limit: this table is not known\. Did you mean limits\?/,
  ],
  [
    'a mistyped key',
    { beds: '[limits]\nmaxBodyByte = 9' },
    /limits\.maxBodyByte: this key is not known\. Did you mean maxBodyBytes\?/,
  ],
  [
    'a key of another table',
    { beds: '[node]\nheartbeatSeconds = 9' },
    /node\.heartbeatSeconds: .* It belongs in \[amqp\]/,
  ],
  ['a key of no table', { beds: '[node]\nzebra = 9' }, /node\.zebra: this key is not known\.$/m],
  [
    'a text where a number belongs',
    { env: '[limits]\nmaxDepth = "deep"' },
    /config\/env\.toml: limits\.maxDepth: must be a whole number from 4 to 256\./,
  ],
  ['a fraction', { beds: '[limits]\nmaxDepth = 4.5' }, /limits\.maxDepth: must be a whole number/],
  ['a number that is too large', { beds: '[limits]\nmaxBodyBytes = 99999999' }, /from 1,024 to 16,777,216 \(bytes\)/],
  ['a number that is too small', { beds: '[amqp]\nheartbeatSeconds = 1' }, /from 5 to 60 \(seconds\)/],
  ['a number where a switch belongs', { beds: '[topology]\ndeclare = 1' }, /topology\.declare: must be true or false/],
  ['a choice that is not offered', { beds: '[log]\nlevel = "loud"' }, /log\.level: must be one of trace, debug, info/],
  ['a value where a table belongs', { beds: 'amqp = "amqp://localhost"' }, /amqp: must be a table: \[amqp\]/],
  [
    'a value where a named table belongs',
    { beds: '[stores]\nmain = "mysql"' },
    /stores\.main: must be a table: \[stores\.main\]/,
  ],
  ['a list where a text belongs', { beds: '[node]\nname = ["a"]' }, /node\.name: must be a text/],
  [
    'a text where a list belongs',
    { beds: '[roles.appServer]\nbrokers = "rBroker"' },
    /roles\.appServer\.brokers: must be a list/,
  ],
  [
    'a store without its kind',
    { beds: '[stores.main]\npoolSize = 4' },
    /stores\.main\.kind: is missing: it must be one of mysql, mongodb/,
  ],
  [
    'a name that starts with a digit',
    { beds: '[stores.1st]\nkind = "mysql"' },
    /stores\.1st: the name must be a letter/,
  ],
  [
    'a role that is not there',
    { beds: '[node]\nroles = ["appServer", "appserver"]' },
    /node\.roles: there is no role appserver\. Did you mean appServer\? Known: appServer/,
  ],
  ['a node without a role', { variables: { BEDS_NODE_ROLES: '' } }, /node\.roles: must name at least one role/],
  [
    'a broker that a role names twice',
    { beds: '[roles.appServer]\nbrokers = ["rBroker", "rBroker", "wBroker"]' },
    /roles\.appServer\.brokers: it names rBroker twice/,
  ],
  ['a role that is named twice', { variables: { BEDS_NODE_ROLES: 'appServer, appServer' } }, /names appServer twice/],
  [
    'a broker of two roles of the node',
    { beds: '[node]\nroles = ["appServer", "users"]\n[roles.appServer]\n[roles.users]\nbrokers = ["rBroker"]' },
    /roles\.users\.brokers: rBroker is a broker of the roles appServer and users, and this node plays both/,
  ],
  [
    'a broker without a type',
    { beds: '[brokers.a]\nmode = "read"' },
    /brokers\.a\.type: is missing: it must be one of admin-graph, admin-in, admin-logs, admin-out, admin-syslog, data/,
  ],
  [
    'a type that is not there',
    { beds: '[brokers.a]\ntype = "dta"' },
    /a\.type: must be one of admin-graph, admin-in, admin-logs, admin-out, admin-syslog, data, outbox\. Did you mean data/,
  ],
  [
    'a setting of no type',
    { beds: '[brokers.a]\ntype = "data"\nmod = "read"\nmode = "read"' },
    /brokers\.a\.mod: this key is not known\. Did you mean mode/,
  ],
  [
    'a broker that is not there',
    { beds: '[roles.appServer]\nbrokers = ["rBroker", "wBroker", "xBroker"]' },
    /there is no \[brokers\.xBroker\]\. Did you mean rBroker/,
  ],
  ['nobody who writes', { beds: '[roles.appServer]\nbrokers = ["rBroker"]' }, /no role runs a broker of mode write/],
  [
    'nobody who writes a domain of another role',
    { variables: { BEDS_BROKERS_U_BROKER_MODE: 'read' } },
    /no role runs a broker of mode write.*of the domain users/,
  ],
  [
    'a store of a role that is not there',
    { beds: '[stores.a]\nkind = "mysql"\nroles = ["terzero", "tercero"]' },
    /stores\.a\.roles: there is no role terzero\. Did you mean tercero\?/,
  ],
  [
    'readers, but none of them',
    { variables: { BEDS_BROKERS_R_BROKER_COUNT: '0' } },
    /no role runs a broker of mode read/,
  ],
  [
    'a domain in two thread groups',
    { beds: '[threads.a]\ndomains = ["*", "x"]\n[threads.b]\ndomains = ["x"]' },
    /threads\.b\.domains: domain x belongs to one thread group only, but is in a and b/,
  ],
  ['two groups for all the rest', { beds: '[threads.a]\n[threads.b]' }, /\* \(every other domain\) belongs to one/],
  [
    'a domain without threads',
    { beds: '[threads.a]\ndomains = ["x", "users", "sessions"]' },
    /roles\.appServer\.domains: no thread group has \*/,
  ],
  [
    'a default beyond its maximum',
    { beds: '[limits]\ndefaultDeadlineMs = 70000' },
    /limits\.maxDeadlineMs: must be at least limits\.defaultDeadlineMs/,
  ],
  [
    'waits in the wrong order',
    { beds: '[amqp]\nreconnectMinMs = 9000' },
    /amqp\.reconnectMaxMs: must be at least amqp\.reconnectMinMs/,
  ],
  [
    'a stall before the second heartbeat',
    { beds: '[supervisor]\nheartbeatMs = 4000' },
    /supervisor\.stallTimeoutMs: must be at least twice/,
  ],
  [
    'a URL of another protocol',
    { env: `[amqp]\nurl = "http://u:${SECRET}@h"` },
    /amqp\.url: must be a URL that starts with amqp:\/\/ or amqps:\/\//,
  ],
  [
    'a URL of the other database',
    { env: `[stores.a]\nkind = "mongodb"\nurl = "mysql://u:${SECRET}@h"` },
    /stores\.a\.url: must be a URL that starts with mongodb:\/\//,
  ],
  [
    'a secret that is not set',
    { beds: '[amqp]\nurl = "amqp://u:${RABBIT_PASSWORD}@h"' },
    /amqp\.url: needs the environment variable RABBIT_PASSWORD, which is not set/,
  ],
  [
    'a secret without a name',
    { beds: '[amqp]\nurl = "amqp://u:${}@h"' },
    /amqp\.url: holds a `\$\{` that is not a `\$\{NAME\}`/,
  ],
  ['text that is not TOML', { beds: `[amqp]\nurl = "${SECRET}` }, /config\/beds\.toml: line 2, column \d+ is not TOML/],
  ['a table twice', { beds: '[node]\n[node]' }, /config\/beds\.toml: line 2/],
  ['a key called __proto__', { beds: '[limits]\n"__proto__" = 1' }, /limits\.__proto__: this key is not known/],
  [
    'a mistyped variable',
    { variables: { BEDS_LIMITS_MAX_BODYBYTES: SECRET } },
    /^ {2}- BEDS_LIMITS_MAX_BODYBYTES: this variable is not known\. Did you mean BEDS_LIMITS_MAX_BODY_BYTES\?/m,
  ],
  [
    'a variable for a store that is not there',
    { variables: { BEDS_STORES_MAIN_URL: SECRET } },
    /BEDS_STORES_MAIN_URL: this variable is not known/,
  ],
  [
    'a variable that is not a number',
    { variables: { BEDS_LIMITS_MAX_DEPTH: SECRET } },
    /BEDS_LIMITS_MAX_DEPTH: limits\.maxDepth: must be a whole number/,
  ],
  ['a provider without its model', { beds: '[assistant]\nprovider = "openai"' }, /assistant\.model: must be given/],
  [
    'a key of a model that would be read on its way',
    { beds: `[assistant]\nurl = "http://models.example/v1"\napiKey = "${SECRET}"` },
    /assistant\.url: must be an https:\/\/ URL, or one of this machine/,
  ],
  [
    'a key of a model that no header can carry',
    { beds: `[assistant]\napiKey = "${SECRET}\\n"` },
    /assistant\.apiKey: must be a key of visible ASCII characters/,
  ],
  [
    'a URL of a model with a password',
    { beds: `[assistant]\nurl = "https://u:${SECRET}@models.example/v1"` },
    /assistant\.url: must be .* without user and password/,
  ],
  [
    'a bound on cost without prices',
    { beds: '[assistant]\nmaxCostUsd = 2\ninputUsdPerMillion = 3' },
    /assistant\.maxCostUsd: needs inputUsdPerMillion and outputUsdPerMillion/,
  ],
  [
    'a directory that is not there',
    { variables: { BEDS_CONFIG: 'nowhere' } },
    /BEDS_CONFIG: there is no directory nowhere/,
  ],
];

describe('a broken configuration is refused by name, without its secrets', () => {
  for (const [what, given, expected] of BROKEN) {
    it(what, (t) => {
      const message = refusal(t, given);
      assert.match(message, expected);
      assert.match(message, /^One problem in the configuration:\n {2}- /);
    });
  }

  it('all problems of all sources are listed at once', (t) => {
    const message = refusal(t, {
      beds: '[limits]\nmaxDepth = "x"\nmaxKey = 3\n[node]\nroles = ["nobody"]',
      env: `[amqp]\nurl = "http://u:${SECRET}@h"\n[stores.a]`,
      variables: { BEDS_NONSENSE: SECRET, BEDS_LOG_LEVEL: 'loud' },
    });
    assert.match(message, /^7 problems/);
    for (const part of ['maxDepth', 'maxKey', 'node.roles', 'amqp.url', 'stores.a.kind', 'NONSENSE', 'log.level']) {
      assert.ok(message.includes(part), `${part} is missing in:\n${message}`);
    }
  });
});

describe('where values come from', () => {
  it('a variable wins over env.toml, env.toml over beds.toml, and a key that is absent has its default', (t) => {
    const { config, sources } = reading(t, {
      beds: '[limits]\nmaxDepth = 5\nmaxKeys = 50\nmaxBatch = 7',
      env: '[limits]\nmaxDepth = 6\nmaxKeys = 60',
      variables: { BEDS_LIMITS_MAX_DEPTH: '8' },
    });
    assert.deepEqual(
      [config?.limits.maxDepth, config?.limits.maxKeys, config?.limits.maxBatch, config?.limits.maxPageRows],
      [8, 60, 7, 1_000],
    );
    assert.equal(sources.get('limits.maxDepth'), 'BEDS_LIMITS_MAX_DEPTH');
    assert.equal(sources.get('limits.maxKeys'), 'config/env.toml');
    assert.equal(sources.get('limits.maxBatch'), 'config/beds.toml');
    assert.equal(sources.get('limits.maxPageRows'), undefined);
  });

  it('variables know numbers, switches, lists and named tables', (t) => {
    const { config, problems } = reading(t, {
      beds: '[stores.main]\nkind = "mysql"\n[threads.default]\n[threads.heavy]\ndomains = ["a"]',
      variables: {
        BEDS_TOPOLOGY_DECLARE: 'false',
        BEDS_THREADS_HEAVY_DOMAINS: 'cities, countries',
        BEDS_BROKERS_W_BROKER_PREFETCH: '7',
        BEDS_STORES_MAIN_URL: 'mysql://u:p@h/d',
        BEDS_TEST_ANYTHING: 'free',
        BEDS_RABBITMQ_URL: 'amqp://localhost',
        BEDS_UNSET: undefined as unknown as string,
      },
    });
    assert.deepEqual(problems, []);
    assert.equal(config?.topology.declare, false);
    assert.deepEqual(config.threads['heavy']?.domains, ['cities', 'countries']);
    assert.deepEqual(config.brokers['wBroker'], {
      ...{ type: 'data', mode: 'write', domains: ['*'], count: 1, prefetch: 7 },
    });
    assert.equal(config.stores['main']?.url, 'mysql://u:p@h/d');
  });

  it('a secret is filled in from the environment, and the text as written is known', (t) => {
    const text = 'amqp://u:${BEDS_BROKER_PASSWORD}@h/$${x}';
    const { config, written } = reading(t, {
      beds: `[amqp]\nurl = "${text}"`,
      variables: { BEDS_BROKER_PASSWORD: SECRET },
    });
    assert.equal(config?.amqp.url, `amqp://u:${SECRET}@h/\${x}`);
    assert.equal(written.get('amqp.url'), text);
  });

  it('a node needs no secret of a store that its roles do not open', (t) => {
    const beds = (roles: string): string =>
      `[node]\nroles = [${roles}]\n[stores.accounts]\nkind = "mysql"\nroles = ["tercero"]\nurl = "mysql://u:\${PW}@h/d"`;
    const { config, problems, written } = reading(t, { beds: beds('"appServer"') });
    assert.deepEqual(problems, []);
    assert.equal(config?.stores['accounts']?.url, '', 'nothing is left of it to be tried');
    assert.equal(written.get('stores.accounts.url'), 'mysql://u:${PW}@h/d');
    const needed = /stores\.accounts\.url: needs the environment variable PW, which is not set/;
    assert.match(refusal(t, { beds: beds('"appServer", "tercero"') }), needed);
    assert.match(refusal(t, { beds: beds('"*"') }), needed);
    assert.match(refusal(t, { beds: beds('"appServer"').replace('${PW}', '${PW') }), /holds a `\$\{` that is not/);
    assert.equal(
      reading(t, { beds: beds('"appServer"'), variables: { PW: 'p' } }).config?.stores['accounts']?.url,
      'mysql://u:p@h/d',
    );
  });

  it('no host needs the key of the model, and nothing is left of it to be tried', (t) => {
    const beds = '[assistant]\nprovider = "anthropic"\nmodel = "m"\napiKey = "x-${MODEL_KEY}"\n[limits]\nmaxDepth = 9';
    const { config, problems } = reading(t, { beds });
    assert.deepEqual(problems, []);
    assert.equal(config?.assistant.apiKey, '');
    const given = reading(t, { beds, variables: { MODEL_KEY: SECRET } }).config;
    assert.equal(given?.assistant.apiKey, `x-${SECRET}`);
    assert.ok(!JSON.stringify(takeUrls(given).config).includes(SECRET), 'threads get it');
  });

  it('without any file every key has its default', (t) => {
    assert.deepEqual(reading(t, {}).config, configSchema.parse({}));
  });

  it('BEDS_CONFIG names another directory', (t) => {
    const root = checkout(t, {});
    mkdirSync(join(root, 'other'));
    writeFileSync(join(root, 'other', 'beds.toml'), '[node]\nname = "other"');
    assert.equal(loadConfig({ projectRoot: root, env: { BEDS_CONFIG: 'other' } }).node.name, 'other');
  });

  it('the result is frozen to its last leaf', (t) => {
    const { config } = reading(t, {});
    assert.throws(() => (config?.roles['appServer']?.domains as string[]).push('x'), TypeError);
  });
});

describe('the files of config/', () => {
  it('beds.schema.json is what the schema generates', () => {
    assert.ok(readFileSync('config/beds.schema.json', 'utf8') === jsonSchemaText(), 'run npm run config:schema');
  });

  it('beds.toml is what the schema generates', () => {
    assert.ok(readFileSync('config/beds.toml', 'utf8') === defaultFileText(), 'run npm run config:schema');
  });

  it('beds.toml says the defaults of the schema, and the private stores', (t) => {
    const { config, problems } = reading(t, { beds: defaultFileText() });
    assert.deepEqual(problems, []);
    assert.deepEqual({ ...config, stores: {} }, configSchema.parse({}));
    assert.deepEqual(Object.keys(config?.stores ?? {}), ['main', 'documents', 'accounts', 'admin']);
  });

  it('env.example.toml can be used as it is', (t) => {
    const { problems } = reading(t, {
      beds: defaultFileText(),
      env: readFileSync('config/env.example.toml', 'utf8'),
      variables: { RABBITMQ_PASSWORD: 'a', MAIN_PASSWORD: 'b', DOCUMENTS_PASSWORD: 'c' },
    });
    assert.deepEqual(problems, []);
  });
});

describe('a URL is printed without its secrets', () => {
  const urls: readonly (readonly [string, string])[] = [
    ['amqp://u:p@h:5672/v', 'amqp://u:***@h:5672/v'],
    ['amqp://h/v', 'amqp://h/v'],
    ['amqp://u@h', 'amqp://u@h'],
    ['mysql://u:p@ss/w:o@rd@h/db', 'mysql://u:***@h/db'],
    [
      'mongodb://a,b/db?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:p',
      'mongodb://a,b/db?authMechanism=MONGODB-AWS&authMechanismProperties=***',
    ],
    [
      'mongodb+srv://u:p@a,b:27017/db?authSource=x&password=p',
      'mongodb+srv://u:***@a,b:27017/db?authSource=x&password=***',
    ],
    ['not a url', 'not a url'],
    ['', ''],
  ];
  for (const [url, expected] of urls) {
    it(expected === '' ? 'an empty text' : expected, () => {
      assert.equal(redactUrl(url), expected);
    });
  }
});
