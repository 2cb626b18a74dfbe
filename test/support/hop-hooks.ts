import { existsSync, readFileSync } from 'node:fs';
import type { InitializeHook, LoadHook } from 'node:module';
import { join } from 'node:path';

interface Places {
  /** Where the files lie whose functions are counted, as a URL that ends in a slash. */
  readonly root: string;
  /** The folder of their copies that tell what is entered. */
  readonly copies: string;
}

let places: Places = { root: '', copies: '' };

export const initialize: InitializeHook<Places> = (data) => {
  places = data;
};

/** Loads the copies in place of the files, and the files in place of what threads run, which is made of them. */
export const load: LoadHook = (url, context, next) => {
  if (url === new URL('../threads/main.js', places.root).href) {
    return { format: 'module', shortCircuit: true, source: `import '${places.root}threads/main.js';` };
  }
  const copy = join(places.copies, url.slice(places.root.length));
  if (!url.startsWith(places.root) || !existsSync(copy)) return next(url, context);
  return { format: 'module', shortCircuit: true, source: readFileSync(copy, 'utf8') };
};
