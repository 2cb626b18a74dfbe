import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import type { CheckResult, Problem, Specification } from '../spec/index.js';
import type { AuthorContext, Language } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import type { Output } from './output.js';
import { printable } from './print.js';

const SPECIFICATION = 'domain.json';
const VERBS = ['check', 'format', 'explain', 'schema'] as const;
type Verb = (typeof VERBS)[number];

export const specCommand: Command<AuthorContext> = {
  name: 'spec',
  summary: 'Check, format or explain the specification of a domain, domain.json.',
  usage: 'spec check|format|explain|schema [domain or file…] [--brief <file>] [--strict]',
  options: {
    brief: {
      type: 'string',
      value: '<file>',
      description: 'check: the brief that the document answers, for sentences that nothing keeps.',
    },
    strict: { type: 'boolean', description: 'schema: in the form of strict structured output, for models.' },
  },
  details:
    'check lists all problems with their place, what is known there and an example, plays the examples of the document in memory, and exits with 1 where one is an error. format writes the ' +
    'file in the one way in which it is written. explain says in plain words what the domain will do, for those who have to agree. schema ' +
    `prints the JSON Schema of the language. A domain is a file, a folder with a ${SPECIFICATION}, or a folder in plugins.directory.`,
  run: async (context) => {
    const [verb, ...names] = context.args;
    if (!isVerb(verb))
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `Say what to do: beds spec ${VERBS.join('|')}.`);
    const language = await (await context.tools()).language();
    if (verb === 'schema') {
      context.out.value(context.options['strict'] === true ? language.strictSchema() : language.editorSchema());
      return EXIT.ok;
    }
    const codes: number[] = [];
    for (const file of await findSpecifications(context, names))
      codes.push(await RUN[verb](context, { language, file }));
    return codes.every((code) => code === EXIT.ok) ? EXIT.ok : EXIT.failed;
  },
};

function isVerb(word: string | undefined): word is Verb {
  return VERBS.some((verb) => verb === word);
}

/** The specifications of these domains; without one that of the working directory. */
export async function findSpecifications(context: AuthorContext, names: readonly string[]): Promise<readonly string[]> {
  if (names.length === 0) return [fileAt(context.cwd) ?? missing(join(context.cwd, SPECIFICATION))];
  const found: string[] = [];
  for (const name of names) {
    const here = fileAt(resolve(context.cwd, name));
    const plugins = here === undefined ? (await context.tools()).settings().plugins : '';
    found.push(here ?? fileAt(join(plugins, name)) ?? missing(resolve(context.cwd, name)));
  }
  return found;
}

function fileAt(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  const file = statSync(path).isDirectory() ? join(path, SPECIFICATION) : path;
  return existsSync(file) ? file : undefined;
}

function missing(path: string): never {
  throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `There is no specification ${path}.`);
}

interface Job {
  readonly language: Language;
  readonly file: string;
}

const RUN: Readonly<Record<Exclude<Verb, 'schema'>, (context: AuthorContext, job: Job) => number | Promise<number>>> = {
  check: async (context, job) => {
    const result = await tried(job, checked(context, job));
    report(context, job, result);
    return result.checked === undefined ? EXIT.failed : EXIT.ok;
  },
  format: (context, job) => {
    const result = checked(context, job);
    // Only what has the form can be written in it: what is wrong in meaning is formatted all the same.
    const { text: before, document } = result;
    if (document === undefined || result.problems.some(({ code }) => code === 'form' || code === 'schema-echo')) {
      report(context, job, result);
      return EXIT.failed;
    }
    const after = job.language.formatSpecification(document as Specification);
    if (after !== before) writeFileSync(job.file, after);
    const file = relative(context.cwd, job.file);
    if (context.json) context.out.value({ file, changed: after !== before });
    else context.out.line(`${file}: ${after === before ? 'is formatted' : 'formatted'}.`);
    return EXIT.ok;
  },
  explain: (context, job) => {
    const result = checked(context, job);
    if (result.checked === undefined) {
      report(context, job, result);
      return EXIT.failed;
    }
    const text = job.language.explain(result.checked);
    if (context.json) context.out.value({ file: relative(context.cwd, job.file), text });
    else for (const line of text.trimEnd().split('\n')) context.out.line(printable(line));
    return EXIT.ok;
  },
};

/** With what its examples come to. */
async function tried({ language }: Job, result: Checked): Promise<CheckResult> {
  if (result.checked === undefined) return result;
  const problems = [...result.problems, ...(await language.tryExamples(result.checked))];
  const isGood = problems.every(({ severity }) => severity !== 'error');
  return { problems, ...(isGood ? { checked: result.checked } : {}) };
}

interface Checked extends CheckResult {
  /** The file as it is, and the document that it holds. */
  readonly text: string;
  readonly document?: unknown;
}

function checked(context: AuthorContext, { language, file }: Job): Checked {
  const text = readFileSync(file, 'utf8');
  const answer = language.readAnswer(text);
  if (!answer.ok) return { problems: [answer.problem], text };
  const { document } = answer;
  const brief = readNamedFile(context, 'brief');
  return { ...language.checkSpecification(document, brief === undefined ? {} : { brief }), text, document };
}

/** The text of the file that an option names. Throws BEDS_CLI_OPTION_INVALID where it cannot be read. */
export function readNamedFile({ options, cwd }: AuthorContext, option: string): string | undefined {
  const path = options[option];
  if (typeof path !== 'string') return undefined;
  try {
    return readFileSync(resolve(cwd, path), 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw commandErrors.make('BEDS_CLI_OPTION_INVALID', `--${option} names no file that can be read (${why}).`, {
      cause: error,
    });
  }
}

function report({ cwd, out, json }: AuthorContext, { file }: Job, { problems, checked: isGood }: CheckResult): void {
  const name = relative(cwd, file);
  if (json) {
    out.value({ ok: isGood !== undefined, file: name, problems });
    return;
  }
  for (const problem of problems) printProblem(out, name, problem);
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  out.line(
    errors === 0 ? `${name}: no problems.` : `${name}: ${String(errors)} ${errors === 1 ? 'problem' : 'problems'}.`,
  );
}

function printProblem(out: Output, file: string, { path, severity, message, known, example }: Problem): void {
  out.line(
    `${out.paint('cyan', printable(path === '' ? file : path))} ${out.paint(severity === 'error' ? 'red' : 'yellow', severity)}`,
  );
  out.line(`  ${printable(message)}`);
  if (known !== undefined && known.length > 0)
    out.line(`  ${out.paint('cyan', 'known:')} ${printable(known.slice(0, 20).join(', '))}`);
  if (example !== undefined) out.line(`  ${out.paint('cyan', 'right:')} ${printable(example)}`);
  out.line();
}
