import type { BedsError } from '@beds/sdk';
import type { z } from 'zod';
import { configErrors } from '../errors/config.js';
import { expectation, fieldAt, fieldsOfEntry, sections } from './fields.js';
import { isTable, sourceOf, type Merged, type Table } from './layers.js';
import { didYouMean } from '#sdk/nearest';

/** One thing that is wrong with the configuration. Holds no value that was configured: it may be a secret. */
export interface ConfigProblem {
  /** The file or the environment variable at fault, or `default` where nothing was said. */
  readonly source: string;
  /** Dotted path of the key: `limits.maxBodyBytes`. Empty where no key is meant. */
  readonly path: string;
  /** What is wrong and what is expected: a sentence that goes on from the path. */
  readonly message: string;
}

/** The error that refuses a configuration, with all that is wrong in its message. */
export function configInvalid(problems: readonly ConfigProblem[]): BedsError {
  const count = problems.length === 1 ? 'One problem' : `${String(problems.length)} problems`;
  const lines = problems.map(({ source, path, message }) => {
    const place = path === '' ? source : `${source}: ${path}`;
    return `  - ${place}: ${message}`;
  });
  return configErrors.make('BEDS_CONFIG_INVALID', `${count} in the configuration:\n${lines.join('\n')}`);
}

/** The schema's findings as messages of this project. n.b. zod's own messages have neither units nor suggestions. */
export function schemaProblems(
  issues: readonly z.core.$ZodIssue[],
  { sources, values }: Merged,
): readonly ConfigProblem[] {
  return issues.flatMap((issue) => {
    const at = issue.path.map(String);
    const problem = (path: readonly string[], message: string): ConfigProblem => ({
      source: sourceOf(sources, path),
      path: path.join('.'),
      message,
    });
    const given = valueAt(values, at);
    if (issue.code !== 'unrecognized_keys') {
      return problem(at, wrongValue(issue, at, sources.has(at.join('.'))) + meantChoice(at, given));
    }
    return issue.keys.map((key) => problem([...at, key], unknownKey(at, key, given)));
  });
}

function valueAt(values: Table, path: readonly string[]): unknown {
  return path.reduce<unknown>((table, key) => (isTable(table) ? table[key] : undefined), values);
}

/** n.b. it names what was meant, never what was written. */
function meantChoice(path: readonly string[], given: unknown): string {
  const choices = fieldAt(path)?.enum;
  return choices === undefined || typeof given !== 'string' ? '' : didYouMean(given, choices);
}

function unknownKey([section]: readonly string[], key: string, entry: unknown): string {
  if (section === undefined) return `this table is not known.${didYouMean(key, keysOf(sections))}`;
  const fields = sections.find((each) => each.key === section)?.fields ?? [];
  const own = fieldsOfEntry(fields, entry);
  const types = fields.find((field) => field.key === key)?.types;
  if (types !== undefined) return `this key is not known here: it belongs to entries of type ${types.join(', ')}.`;
  return `this key is not known.${didYouMean(key, keysOf(own)) || belongsElsewhere(key)}`;
}

function keysOf(named: readonly { readonly key: string }[]): readonly string[] {
  return named.map(({ key }) => key);
}

function belongsElsewhere(key: string): string {
  const homes = sections.filter(({ fields }) => keysOf(fields).includes(key));
  const names = homes.map((section) => `[${section.key}${section.named ? '.<name>' : ''}]`);
  return names.length === 0 ? '' : ` It belongs in ${names.join(' or ')}.`;
}

function wrongValue(issue: z.core.$ZodIssue, path: readonly string[], isGiven: boolean): string {
  if (issue.code === 'invalid_key') return `the name ${issue.issues[0]?.message ?? 'cannot be used'}.`;
  const field = fieldAt(path);
  if (field === undefined) return `must be a table: [${path.join('.')}].`;
  if (issue.code === 'invalid_format') return `${issue.message}.`;
  return `${isGiven || path.length > 3 ? 'must be' : 'is missing: it must be'} ${expectation(field)}.`;
}
