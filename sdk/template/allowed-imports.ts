/** The modules of Node that a bundle may import: computation and text, nothing that reaches files, network or processes. */
export const ALLOWED_IMPORTS: readonly string[] = [
  'node:assert',
  'node:buffer',
  'node:crypto',
  'node:events',
  'node:path',
  'node:querystring',
  'node:stream',
  'node:stream/promises',
  'node:string_decoder',
  'node:timers/promises',
  'node:url',
  'node:util',
];

/**
 * Names that exist in Node and are undefined inside a template: the network, and what would keep a version in memory
 * from outside without the host knowing of it.
 */
export const HIDDEN_GLOBALS: readonly string[] = [
  ...['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest'],
  ...['BroadcastChannel', 'MessageChannel', 'MessagePort', 'PerformanceObserver'],
  ...['navigator', 'localStorage', 'sessionStorage', 'gc'],
];
