import { EXIT } from '#sdk/cli';
import { readConfig } from '../../config/load.js';
import { configInvalid } from '../../config/problems.js';
import { redactUrl } from '../../config/secrets.js';
import type { Command } from '../command.js';

interface Setting {
  readonly path: string;
  /** As written where it holds a `${NAME}`; URLs without their passwords. */
  readonly value: string;
  /** File, variable, or `default`. */
  readonly source: string;
}

const SECRETS: readonly string[] = ['security.orderSecret', 'assistant.apiKey'];

export const configCommand: Command = {
  name: 'config',
  summary: 'Print the effective configuration and the origin of each value, without secrets.',
  usage: 'config [part of a key]',
  options: {},
  run: ({ projectRoot, env, args: [part = ''], out, json }) => {
    const { config, problems, sources, written } = readConfig({ projectRoot, env });
    if (config === undefined) throw configInvalid(problems);
    const settings = leavesOf(config, [])
      .map(([path, value]): Setting => {
        const told = path === 'tracing.headers' ? (value as readonly string[]).map(withoutValue) : value;
        const shown = written.get(path) ?? (typeof told === 'string' ? told : JSON.stringify(told));
        const isSecret = SECRETS.includes(path) && shown !== '' && !written.has(path);
        return { path, value: isSecret ? '***' : redactUrl(shown), source: sources.get(path) ?? 'default' };
      })
      .filter(({ path }) => path.includes(part));
    if (json) out.value(settings);
    else {
      const rows = settings.map(({ path, value, source }) => [path, value, source]);
      out.table({ head: ['key', 'value', 'from'], rows });
    }
    return Promise.resolve(EXIT.ok);
  },
};

/** Of a header the name. */
function withoutValue(header: string): string {
  return `${header.slice(0, header.indexOf('='))}=***`;
}

function leavesOf(value: unknown, path: readonly string[]): readonly (readonly [path: string, value: unknown])[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[path.join('.'), value]];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, [...path, key]));
}
