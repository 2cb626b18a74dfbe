import type { styleText } from 'node:util';

/** A colour or weight of text, by its name in `node:util`. */
export type Style = Parameters<typeof styleText>[0];
