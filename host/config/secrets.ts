import type { Environment } from './environment.js';
import { isTable, type Table } from './layers.js';
import type { ConfigProblem } from './problems.js';
import type { Config } from './schema.js';

/** The secrets of a configuration: how they get in, how they are passed on, how they are printed. */

const PLACEHOLDER = /\$\$\{|\$\{([^}]*)\}?/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A file's values with every `${NAME}` filled in. */
export interface Expanded {
  readonly values: Table;
  /** Dotted path to the text as it was written, for values that held a placeholder. */
  readonly written: ReadonlyMap<string, string>;
  /** The variables that the file names. */
  readonly names: ReadonlySet<string>;
  readonly problems: readonly ConfigProblem[];
  /** Variables that are not set, by the value that needs them. */
  readonly unset: readonly ConfigProblem[];
}

/** Replaces `${NAME}` in every text by the environment variable NAME; `$${` is a plain `${`. */
export function expandSecrets(values: Table, source: string, env: Environment): Expanded {
  const written = new Map<string, string>();
  const names = new Set<string>();
  const [problems, unset]: [ConfigProblem[], ConfigProblem[]] = [[], []];

  const expandText = (text: string, path: string): string =>
    text.replaceAll(PLACEHOLDER, (match: string, name: string | undefined) => {
      if (name === undefined) return '${';
      written.set(path, text);
      if (!match.endsWith('}') || !NAME.test(name)) {
        const message = 'holds a `${` that is not a `${NAME}`; write `$${` for a plain `${`.';
        problems.push({ source, path, message });
      } else if (env[name] === undefined || env[name] === '') {
        unset.push({ source, path, message: `needs the environment variable ${name}, which is not set.` });
      }
      names.add(name);
      return env[name] ?? '';
    });

  const expand = (value: unknown, path: string): unknown => {
    if (typeof value === 'string') return expandText(value, path);
    if (Array.isArray(value)) return value.map((item) => expand(item, path));
    if (!isTable(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, expand(inner, path === '' ? key : `${path}.${key}`)]),
    );
  };

  return { values: expand(values, '') as Table, written, names, problems, unset };
}

const HIDDEN = '***';

/** The URLs of a configuration, which hold its passwords. */
export interface SecretUrls {
  readonly amqp: string;
  /** By store. */
  readonly stores: Readonly<Record<string, string>>;
}

/** The configuration without its secrets (of the collector of traces it is only said that there is one), and the URLs apart from it. */
export function takeUrls(config: Config): { readonly config: Config; readonly urls: SecretUrls } {
  const stores = Object.entries(config.stores);
  return {
    config: {
      ...config,
      amqp: { ...config.amqp, url: '' },
      security: { ...config.security, orderSecret: '' },
      assistant: { ...config.assistant, apiKey: '' },
      tracing: { ...config.tracing, endpoint: config.tracing.endpoint === '' ? '' : HIDDEN, headers: [] },
      stores: Object.fromEntries(stores.map(([name, store]) => [name, { ...store, url: '' }])),
    },
    urls: { amqp: config.amqp.url, stores: Object.fromEntries(stores.map(([name, { url }]) => [name, url])) },
  };
}

/**
 * The URL with its password, and every query value whose name speaks of a secret, replaced by `***`. Anything that is
 * not a URL comes back as it is. Several hosts in one URL, and passwords with unescaped `@` or `/`, are understood.
 */
export function redactUrl(url: string): string {
  const [, scheme = '', account, rest = ''] = /^([a-z][a-z\d+.-]*:\/\/)(?:(.*)@)?(.*)$/is.exec(url) ?? [];
  if (scheme === '') return url;
  return `${scheme}${redactAccount(account)}${redactQuery(rest)}`;
}

function redactAccount(account: string | undefined): string {
  if (account === undefined) return '';
  const colon = account.indexOf(':');
  return colon === -1 ? `${account}@` : `${account.slice(0, colon)}:${HIDDEN}@`;
}

function redactQuery(text: string): string {
  return text.replaceAll(/([?&][^=&]*(?:pass|secret|token|key|mechanismproperties)[^=&]*=)[^&]*/gi, `$1${HIDDEN}`);
}
