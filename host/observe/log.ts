import { type Logger, pino } from 'pino';
import type { Config } from '../config/schema.js';
import type { LogOutput } from './log-output.js';

export type Log = Logger;

/** The host's log: JSON lines, as whoever collects them expects; secrets are never handed to it. */
export function createLog(options: {
  readonly node: string;
  readonly level: Config['log']['level'];
  readonly output: LogOutput;
}): Log {
  const { node, level, output } = options;
  const log = pino(
    {
      level,
      base: { node },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    output,
  );
  output.onDropped = (dropped, code) =>
    log.warn({ dropped, code }, 'log lines were dropped: the output did not take them');
  return log;
}
