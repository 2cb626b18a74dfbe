import { brokerDefinitions } from '../brokers/definitions.js';
import { didYouMean } from '#sdk/nearest';
import { playedRoles, withPossibleRoles } from '../roles.js';
import type { Config } from './schema.js';

/** Something wrong between several keys. The first path is the one to change. */
export interface CrossProblem {
  readonly paths: readonly [string, ...string[]];
  readonly message: string;
}

/** Checks the rules between several keys. */
export function crossCheck(settings: Config): readonly CrossProblem[] {
  const config = withPossibleRoles(settings);
  return [
    ...checkRoles(settings),
    ...checkNeeds(settings),
    ...checkSharedBrokers(config),
    ...checkBrokers(config),
    ...checkThreads(config),
    ...checkStoreRoles(settings),
    ...checkOrder(config),
    ...checkReplyPrefixes(config),
    ...checkUrls(config),
    ...checkOpenid(config),
    ...checkDashboard(config),
    ...checkAssistant(config),
  ];
}

function checkRoles({ node, roles }: Config): readonly CrossProblem[] {
  const known = Object.keys(roles);
  const paths = ['node.roles', 'roles'] as const;
  if (node.roles.length === 0) return [{ paths, message: `must name at least one role. Known: ${known.join(', ')}.` }];
  const unknown = node.roles
    .filter((role) => role !== '*' && !Object.hasOwn(roles, role))
    .map((role): CrossProblem => {
      const hint = didYouMean(role, known);
      return { paths, message: `there is no role ${role}.${hint} Known: ${known.join(', ')}.` };
    });
  return [...unknown, ...namedTwice(node.roles, paths)];
}

function checkNeeds({ node, roles, stores }: Config): readonly CrossProblem[] {
  return node.roles.flatMap((role) =>
    (roles[role]?.needs ?? [])
      .filter((store) => !Object.hasOwn(stores, store))
      .map((store): CrossProblem => ({
        paths: ['node.roles', 'stores'],
        message: `the role ${role} needs a store ${store}, and there is no [stores.${store}].`,
      })),
  );
}

function namedTwice(names: readonly string[], paths: CrossProblem['paths']): readonly CrossProblem[] {
  const doubled = new Set(names.filter((name, index) => names.indexOf(name) !== index));
  return [...doubled].map((name) => ({ paths, message: `it names ${name} twice.` }));
}

/** Which lists have each name. */
function ownersOf(
  lists: readonly (readonly [owner: string, names: readonly string[]])[],
): ReadonlyMap<string, readonly string[]> {
  const owners = new Map<string, string[]>();
  for (const [owner, names] of lists) {
    for (const name of new Set(names)) owners.set(name, [...(owners.get(name) ?? []), owner]);
  }
  return owners;
}

/** n.b. a broker serves the domains of its role, so it has one. */
function checkSharedBrokers(config: Config): readonly CrossProblem[] {
  const played = playedRoles(config).map((role) => [role, config.roles[role]?.brokers ?? []] as const);
  return [...ownersOf(played)]
    .filter(([, of]) => of.length > 1)
    .map(([name, of]) => ({
      paths: [`roles.${of[1] ?? ''}.brokers`, 'node.roles'],
      message: `${name} is a broker of the roles ${of.join(' and ')}, and this node plays both. Give each role a broker of its own.`,
    }));
}

function checkBrokers({ roles, brokers }: Config): readonly CrossProblem[] {
  const missing = Object.entries(roles).flatMap(([role, { brokers: names }]) =>
    names
      .filter((name) => !Object.hasOwn(brokers, name))
      .map((name): CrossProblem => {
        const hint = didYouMean(name, Object.keys(brokers));
        return { paths: [`roles.${role}.brokers`, 'brokers'], message: `there is no [brokers.${name}].${hint}` };
      }),
  );
  const doubled = Object.entries(roles).flatMap(([role, { brokers: names }]) =>
    namedTwice(names, [`roles.${role}.brokers`, 'brokers']),
  );
  const domains = new Set(Object.values(roles).flatMap((role) => role.domains));
  const lacking = [...domains].flatMap((domain) =>
    [...brokerDefinitions].flatMap(([type, definition]) => {
      const own = Object.values(roles).flatMap((role) => {
        const named = role.domains.includes(domain) ? [...new Set(role.brokers)] : [];
        return named.flatMap((name) => brokers[name] ?? []).filter((entry) => entry.type === type);
      });
      const having = own.filter((entry) => {
        const of = definition.domains?.(entry) ?? ['*'];
        return of.includes('*') || of.includes(domain);
      });
      const of = domain === '*' ? '' : ` of the domain ${domain}`;
      return (definition.check?.(having) ?? []).map((words) => `${words}${of}.`);
    }),
  );
  return [
    ...missing,
    ...doubled,
    ...lacking.map((message): CrossProblem => ({ paths: ['brokers', 'roles'], message })),
  ];
}

function checkThreads({ roles, threads }: Config): readonly CrossProblem[] {
  const owners = ownersOf(Object.entries(threads).map(([group, { domains }]) => [group, domains]));
  const overlaps = [...owners]
    .filter(([, groups]) => groups.length > 1)
    .map(([domain, groups]): CrossProblem => {
      const what = domain === '*' ? '* (every other domain)' : `domain ${domain}`;
      const [first = '', ...others] = groups;
      return {
        paths: [`threads.${others[0] ?? first}.domains`, 'threads'],
        message: `${what} belongs to one thread group only, but is in ${groups.join(' and ')}.`,
      };
    });
  const homeless = Object.entries(roles).flatMap(([role, { domains }]) =>
    domains
      .filter((domain) => !owners.has(domain) && !owners.has('*'))
      .map((domain): CrossProblem => ({
        paths: [`roles.${role}.domains`, 'threads'],
        message: `no thread group has ${domain === '*' ? '*, every other domain' : `domain ${domain}`}.`,
      })),
  );
  return [...overlaps, ...homeless];
}

function checkStoreRoles({ roles, stores }: Config): readonly CrossProblem[] {
  const known = Object.keys(roles);
  return Object.entries(stores).flatMap(([store, { roles: of }]) =>
    of
      .filter((role) => role !== '*' && !known.includes(role))
      .map((role): CrossProblem => {
        const message = `there is no role ${role}.${didYouMean(role, known)} Known: ${known.join(', ')}.`;
        return { paths: [`stores.${store}.roles`, 'roles'], message };
      }),
  );
}

function checkOrder({ amqp, limits, supervisor }: Config): readonly CrossProblem[] {
  const rules: readonly (readonly [low: string, lowValue: number, high: string, highValue: number])[] = [
    ['limits.defaultDeadlineMs', limits.defaultDeadlineMs, 'limits.maxDeadlineMs', limits.maxDeadlineMs],
    ['amqp.reconnectMinMs', amqp.reconnectMinMs, 'amqp.reconnectMaxMs', amqp.reconnectMaxMs],
    ['supervisor.heartbeatMs', supervisor.heartbeatMs, 'supervisor.stallTimeoutMs', supervisor.stallTimeoutMs / 2],
  ];
  return rules
    .filter(([, low, , high]) => low > high)
    .map(([low, , high]) => {
      const least = high.startsWith('supervisor') ? `twice ${low}` : low;
      return { paths: [high, low], message: `must be at least ${least}.` };
    });
}

/** A caller that names a request queue as its reply-to would write where it may not. */
function checkReplyPrefixes({ amqp: { prefix, replyPrefixes } }: Config): readonly CrossProblem[] {
  return replyPrefixes
    .filter((beginning) => [`${prefix}.`, 'amq.'].some((own) => own.startsWith(beginning) || beginning.startsWith(own)))
    .map((beginning) => ({
      paths: ['amqp.replyPrefixes', 'amqp.prefix'],
      message: `${beginning} would let callers name queues of BEDS or RabbitMQ; ${prefix}.reply.… is allowed as it is.`,
    }));
}

const PROTOCOLS = {
  amqp: ['amqp', 'amqps'],
  mysql: ['mysql', 'mariadb'],
  mongodb: ['mongodb', 'mongodb+srv'],
} as const;

function checkUrls({ amqp, stores }: Config): readonly CrossProblem[] {
  const urls = [
    { path: 'amqp.url', url: amqp.url, protocols: PROTOCOLS.amqp },
    ...Object.entries(stores).map(([name, { url, kind }]) => ({
      path: `stores.${name}.url`,
      url,
      protocols: PROTOCOLS[kind],
    })),
  ];
  return urls
    .filter(({ url, protocols }) => url !== '' && !protocols.some((protocol) => url.startsWith(`${protocol}://`)))
    .map(({ path, protocols }) => ({
      paths: [path, path.replace(/url$/, 'kind')],
      message: `must be a URL that starts with ${protocols.map((protocol) => `${protocol}://`).join(' or ')}.`,
    }));
}

/** n.b. who can change keys on their way signs in as anybody. */
function checkOpenid({ openid: { issuer, audience, jwksUrl } }: Config): readonly CrossProblem[] {
  if (issuer === '') return [];
  const problems: CrossProblem[] = [];
  if (audience === '') {
    const message = 'must be given with openid.issuer: tokens for others would count.';
    problems.push({ paths: ['openid.audience', 'openid.issuer'], message });
  }
  if (!isSafe(jwksUrl)) {
    problems.push({
      paths: ['openid.jwksUrl', 'openid.issuer'],
      message: 'must be an https:// URL, or one of this machine.',
    });
  }
  return problems;
}

/** Whether nobody reads or changes on their way what goes there. */
function isSafe(url: string): boolean {
  const { protocol, hostname } = URL.canParse(url) ? new URL(url) : { protocol: '', hostname: '' };
  return protocol === 'https:' || (protocol === 'http:' && ['127.0.0.1', 'localhost', '[::1]'].includes(hostname));
}

function checkAssistant({ assistant }: Config): readonly CrossProblem[] {
  const { provider, url, model, apiKey, maxCostUsd, inputUsdPerMillion, outputUsdPerMillion } = assistant;
  const problems: CrossProblem[] = [];
  const { protocol, username, password } = URL.canParse(url)
    ? new URL(url)
    : { protocol: '', username: '', password: '' };
  if (provider !== 'files' && model === '')
    problems.push({
      paths: ['assistant.model', 'assistant.provider'],
      message: `must be given with the provider ${provider}.`,
    });
  if (url !== '' && (!['https:', 'http:'].includes(protocol) || username !== '' || password !== ''))
    problems.push({
      paths: ['assistant.url', 'assistant.provider'],
      message: 'must be an https:// or http:// URL, without user and password.',
    });
  else if (url !== '' && apiKey !== '' && !isSafe(url))
    problems.push({
      paths: ['assistant.url', 'assistant.apiKey'],
      message: 'must be an https:// URL, or one of this machine, as the key would be read on its way.',
    });
  if (maxCostUsd > 0 && (inputUsdPerMillion === 0 || outputUsdPerMillion === 0))
    problems.push({
      paths: ['assistant.maxCostUsd', 'assistant.inputUsdPerMillion'],
      message: 'needs inputUsdPerMillion and outputUsdPerMillion.',
    });
  return problems;
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** n.b. without TLS passwords and sessions of operators would be read on their way. */
function checkDashboard({ dashboard: { enabled, host, certificate, key } }: Config): readonly CrossProblem[] {
  if ((certificate === '') !== (key === '')) {
    return [
      { paths: ['dashboard.key', 'dashboard.certificate'], message: 'certificate and key must be given together.' },
    ];
  }
  if (!enabled || isLoopback(host) || certificate !== '') return [];
  const message =
    'must be an address of this machine, such as 127.0.0.1, unless dashboard.certificate and .key are given.';
  return [{ paths: ['dashboard.host', 'dashboard.certificate'], message }];
}
