import { type Logger, pino } from 'pino';
import type { Config } from '../config/schema.js';

export type Log = Logger;

/** The host's log: JSON lines on standard output, as whoever collects them expects; secrets are never handed to it. */
export function createLog(options: { readonly node: string; readonly level: Config['log']['level'] }): Log {
  return pino({
    level: options.level,
    base: { node: options.node },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}
