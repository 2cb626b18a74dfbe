import { existsSync, readdirSync } from 'node:fs';
import type { BrokerDefinition } from './define.js';

const folder = new URL('./', import.meta.url);

/** Every type of broker by name, which is that of its folder. */
export const brokerDefinitions: ReadonlyMap<string, BrokerDefinition> = new Map(
  await Promise.all(
    readdirSync(folder)
      .filter((type) => existsSync(new URL(`${type}/definition.js`, folder)))
      .sort()
      .map(async (type) => {
        const module = (await import(new URL(`${type}/definition.js`, folder).href)) as {
          definition: BrokerDefinition;
        };
        return [type, module.definition] as const;
      }),
  ),
);
