import { Console } from 'node:console';
import { shorten } from '../observe/channels.js';

export type ConsoleLevel = 'debug' | 'info' | 'warn' | 'error';

type Method = (...args: unknown[]) => void;

const LEVELS: Readonly<Record<string, ConsoleLevel>> = {
  ...{ debug: 'debug', warn: 'warn', error: 'error', trace: 'error', assert: 'error' },
};

/**
 * The console of one loaded bundle. What it prints is given to `write`, a text for each call: the standard output of the
 * process is the host's log. Node's own console does the formatting; it is made with the first call, as most templates never
 * use one.
 */
export function makeTemplateConsole(write: (level: ConsoleLevel, text: string) => void): object {
  let level: ConsoleLevel = 'info';
  let made: Console | undefined;
  const stream = {
    write: (text: string): void => {
      write(level, shorten(text.replace(/\n$/, '')));
    },
  } as unknown as NodeJS.WritableStream;
  const call = (name: string, args: readonly unknown[]): void => {
    made ??= new Console({ stdout: stream, ignoreErrors: false, colorMode: false });
    const method = (made as unknown as Readonly<Record<string, Method | undefined>>)[name];
    level = LEVELS[name] ?? 'info';
    try {
      method?.(...args);
    } catch {
      // A value may throw when it is looked at; on a terminal nobody would expect a log line to fail.
      write(level, 'a value that cannot be shown');
    }
  };
  const names = Object.entries(console).filter(([name, value]) => typeof value === 'function' && name !== 'Console');
  return Object.freeze(
    Object.fromEntries(names.map(([name]) => [name, Object.freeze((...args: unknown[]) => call(name, args))])),
  );
}
