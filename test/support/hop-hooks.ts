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

/** Loads the copies in place of the files. */
export const load: LoadHook = (url, context, next) => {
  const copy = join(places.copies, url.slice(places.root.length));
  if (!url.startsWith(places.root) || !existsSync(copy)) return next(url, context);
  return { format: 'module', shortCircuit: true, source: readFileSync(copy, 'utf8') };
};
