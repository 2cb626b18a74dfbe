/** The modules of Node that a bundle may import: computation and text, nothing that reaches files, network or processes. */
export const ALLOWED_IMPORTS: readonly string[] = [
  'node:assert',
  'node:buffer',
  'node:crypto',
  'node:events',
  'node:path',
  'node:querystring',
  'node:string_decoder',
  'node:timers/promises',
  'node:url',
  'node:util',
];
