/** Bounds of a store, as the configuration has them by default but for a smaller pool. */
export const storeLimits = {
  poolSize: 8,
  queueLimit: 100,
  acquireTimeoutMs: 2_000,
  connectTimeoutMs: 5_000,
  maxResultRows: 100_000,
  maxResultBytes: 33_554_432,
  unindexed: 'allow',
} as const;
