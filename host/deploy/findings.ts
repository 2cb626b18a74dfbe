import { isBedsError } from '@beds/sdk';
import type { Finding } from '../template/contract.js';

/** What needs no change of the bundle: a database that is away, an object, a column or a grant that is missing. */
const DELIVERABLE: ReadonlySet<string> = new Set([
  'BEDS_ADMISSION_STORE_UNAVAILABLE',
  'BEDS_PREFLIGHT_OBJECT_MISSING',
  'BEDS_PREFLIGHT_COLUMN_MISSING',
  'BEDS_PREFLIGHT_GRANT_MISSING',
]);

export function isDeliverable(findings: readonly Finding[]): boolean {
  return findings.length > 0 && findings.every(({ code }) => DELIVERABLE.has(code));
}

export function isRabbitAway(error: unknown): boolean {
  return isBedsError(error) && error.code === 'BEDS_AMQP_UNAVAILABLE';
}

export function toFinding(error: unknown): Finding {
  const message = error instanceof Error ? error.message : String(error);
  return { code: isBedsError(error) ? error.code : 'BEDS_THREAD_PREPARE_FAILED', message };
}
