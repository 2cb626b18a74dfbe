import type { Config } from './schema.js';

/** The secrets of a configuration. */
export interface SecretUrls {
  readonly amqp: string;
  /** By store. */
  readonly stores: Readonly<Record<string, string>>;
}

/** The configuration with empty URLs, and the URLs, which hold the passwords, apart from it. */
export function takeUrls(config: Config): { readonly config: Config; readonly urls: SecretUrls } {
  const stores = Object.entries(config.stores);
  return {
    config: {
      ...config,
      amqp: { ...config.amqp, url: '' },
      stores: Object.fromEntries(stores.map(([name, store]) => [name, { ...store, url: '' }])),
    },
    urls: { amqp: config.amqp.url, stores: Object.fromEntries(stores.map(([name, { url }]) => [name, url])) },
  };
}
