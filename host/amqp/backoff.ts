/**
 * Wait before attempt `attempt` (0 is the first retry): exponential with full jitter, so that many hosts that lost the
 * same broker do not come back in step. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoffMs(attempt: number, range: { readonly minMs: number; readonly maxMs: number }): number {
  const ceilingMs = Math.min(range.maxMs, range.minMs * 2 ** Math.min(attempt, 20));
  return Math.max(1, Math.round(Math.random() * ceilingMs));
}
