import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import type { CheckedSpecification, Problem, Specification } from '../spec/index.js';
import type { AuthorContext, AuthorTools, Generator, Language, Proof, StoreKind, TokenUse } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import { generateOne } from './generate-command.js';
import { printable } from './print.js';
import { proveDomain, workFolder } from './prove-command.js';
import { readNamedFile } from './spec-command.js';

/**
 * From plain words to a checked specification. The model fills in one document and nothing else: one behind
 * HTTP, or whoever answers the prompt that is written to a file. Everything that was asked and answered stays in .beds/design/<domain>, and what is there says
 * where the work stands: the command can be stopped and run again at any point.
 */

const MOST_ROUNDS = 3;
const MOST_BRIEF_CHARACTERS = 20_000;
const MOST_ANSWER_BYTES = 2_000_000;
const DOMAIN = /^[a-z][a-z0-9-]{0,29}$/;

export const designCommand: Command<AuthorContext> = {
  name: 'design',
  summary: 'Make a domain from plain words: its specification, and with --yes its files and their proof.',
  usage:
    'design <domain> ["<brief>"] [--file <brief.md>] [--change "<what>"] [--provider <name>] [--yes] [--store <name>] [--out <domain.json>]',
  options: {
    file: { type: 'string', value: '<file>', description: 'The brief, instead of in the command line.' },
    change: { type: 'string', value: '<what>', description: 'What is to be different in the domain that there is.' },
    provider: {
      type: 'string',
      value: '<name>',
      description:
        'Who answers. files: a prompt is written to a file and the answer read from one. openai, anthropic: the endpoint of [assistant] in the configuration. Default assistant.provider.',
    },
    yes: {
      type: 'boolean',
      description: 'Take the specification, with what a person has changed in it: make its files and prove them.',
    },
    store: { type: 'string', value: '<name>', description: 'Store of the domain. Default main.' },
    out: {
      type: 'string',
      value: '<file>',
      description:
        'Where the specification is written. Default domain.json in the folder of the domain in plugins.directory.',
    },
  },
  details:
    'Without a model in the configuration, give the prompt to any chat program, put its answer into the file that is named, and run the command again: the answer is checked, and ' +
    'where something is wrong in it, a prompt that says what is written, three rounds at most. The brief is data and never an order: only a ' +
    'document that was checked goes on. Read what the domain will do, and its assumptions and questions: edit the document, ask for something else with --change, or take it with --yes. ' +
    'Then its files are made as by `beds generate` and tried as by `beds prove`; what fails goes back to the model once. Everything is kept in .beds/design/<domain>, and the command goes on ' +
    'where it stopped.',
  run: async (context) => {
    const language = await (await context.tools()).language();
    const outcome = await goOn(context, await openWork(context, language));
    if (context.json) context.out.value(outcome);
    else print(context, outcome);
    return outcome.state === 'refused' ? EXIT.failed : EXIT.ok;
  },
};

interface Work {
  readonly language: Language;
  readonly folder: string;
  readonly cwd: string;
  readonly domain: string;
  /** Of a new domain: in which store it is. A change keeps it there. */
  readonly store?: string;
  /** What the model is asked first. */
  readonly task: string;
  /** What the sentences of `covers` are about. */
  readonly brief: string;
  /** What is changed, and what says whether a database can go from there to the next revision. */
  readonly change?: { readonly before: CheckedSpecification; readonly generator: Generator; readonly kind: StoreKind };
  readonly out: string;
  /** What a person has written into the specification since it was made counts. */
  readonly takesEdits: boolean;
  /** What the first round asks, where that is not the task. */
  readonly first?: string;
  /** Absent: a person answers, in files. */
  readonly ask?: (round: Round) => Promise<void>;
}

/** Where a round is kept: `round-1.prompt.md` and the like. */
interface Round {
  readonly prompt: string;
  readonly file: (end: string) => string;
}

type Outcome =
  | {
      readonly state: 'waiting';
      readonly round: number;
      readonly prompt: string;
      readonly answer: string;
      readonly problems: readonly Problem[];
    }
  | {
      readonly state: 'done';
      readonly rounds: number;
      readonly file: string;
      readonly text: string;
      readonly problems: readonly Problem[];
    }
  | { readonly state: 'proved'; readonly file: string; readonly proof: Proof }
  | {
      readonly state: 'refused';
      readonly rounds: number;
      readonly draft: string;
      readonly why: string;
      readonly problems: readonly Problem[];
    };

/** As far as answers, a person's yes and the database lead. */
async function goOn(context: AuthorContext, work: Work): Promise<Outcome> {
  const failed = join(work.folder, PROOF, 'failures.json');
  const stage = existsSync(failed) ? repairOf(work, JSON.parse(readFileSync(failed, 'utf8')) as Failed) : work;
  const outcome = await advance(stage);
  if (outcome.state !== 'done' || !work.takesEdits) return outcome;
  // n.b. what these commands print is told with the outcome, where scripts read it.
  await generateOne(
    context.json ? { ...context, out: { ...context.out, value: () => undefined } } : context,
    outcome.file,
  );
  const { checked } = work.language.checkSpecification(JSON.parse(readFileSync(outcome.file, 'utf8')));
  if (checked === undefined) throw commandErrors.make('BEDS_CLI_FAULT', 'A checked document has problems.');
  const proof = await proveDomain(context, { specification: checked, folder: dirname(outcome.file) });
  if (proof.ok) return { state: 'proved', file: outcome.file, proof };
  const problems = proof.steps.flatMap(({ name, failures }) =>
    failures.map((message): Problem => ({ path: name, code: 'not-proved', message, severity: 'error' })),
  );
  const document = readFileSync(outcome.file, 'utf8');
  if (stage !== work) {
    const why = `it does not hold on ${proof.server}, also after it was repaired`;
    return { state: 'refused', rounds: outcome.rounds, draft: outcome.file, why, problems };
  }
  mkdirSync(dirname(failed), { recursive: true });
  writeFileSync(failed, `${JSON.stringify({ document, problems } satisfies Failed, undefined, 2)}\n`);
  const asked = await advance(repairOf(work, { document, problems }));
  if (asked.state === 'waiting') return { ...asked, problems };
  return asked.state === 'done' ? goOn(context, work) : asked;
}

const PROOF = 'proof';

/** What a database has shown of a document. */
interface Failed {
  readonly document: string;
  readonly problems: readonly Problem[];
}

/** Once more to the model, with what the database has shown. */
function repairOf(work: Work, { document, problems }: Failed): Work {
  const { language, task } = work;
  const first = language.repairPrompt({ document, problems, task });
  return { ...work, folder: join(work.folder, PROOF), first };
}

async function openWork(context: AuthorContext, language: Language): Promise<Work> {
  const { args, options, cwd, projectRoot } = context;
  const [domain, given, ...rest] = args;
  if (domain === undefined || rest.length > 0 || !DOMAIN.test(domain)) {
    throw commandErrors.make(
      'BEDS_CLI_ARGUMENT_INVALID',
      'Name one domain, in small letters, and put the brief into quotation marks.',
    );
  }
  const file = readNamedFile(context, 'file');
  const { change } = options;
  const takesEdits = options['yes'] === true;
  const outOption = options['out'];
  const out =
    typeof outOption === 'string'
      ? resolve(cwd, outOption)
      : join((await context.tools()).settings().plugins, domain, 'domain.json');
  const folder = workFolder(projectRoot, domain);
  const asks = await isModelAsked(context);
  const store = typeof options['store'] === 'string' ? options['store'] : 'main';
  if (typeof change === 'string') {
    const tools = await context.tools();
    const [generator, { stores }] = [await tools.generator(), tools.settings()];
    const work = openChange({ language, cwd, domain, out, folder, takesEdits, request: change, generator, stores });
    return asks ? { ...work, ask: asker(context, work) } : work;
  }
  const brief = keptBrief(join(folder, 'brief.md'), given ?? file);
  if (existsSync(out) && !existsSync(join(folder, 'done.json'))) {
    throw commandErrors.make(
      'BEDS_CLI_TARGET_EXISTS',
      `${relative(cwd, out)} is there, and was not made by this command. For its next version use --change.`,
    );
  }
  const task = language.firstPrompt({ domain, brief, store });
  const work: Work = { language, cwd, domain, out, folder, brief, store, takesEdits, task };
  return asks ? { ...work, ask: asker(context, work) } : work;
}

async function isModelAsked({ options, tools }: AuthorContext): Promise<boolean> {
  const { provider } = options;
  if (provider === 'files') return false;
  const configured = (await tools()).settings().provider;
  if (provider === undefined || provider === configured) return configured !== 'files';
  const message = `--provider must be files${configured === 'files' ? '' : ` or ${configured}`}, as the configuration has it: [assistant] says url, model and key of another one.`;
  throw commandErrors.make('BEDS_CLI_OPTION_INVALID', message);
}

const NOTHING: TokenUse = { requests: 0, inputTokens: 0, outputTokens: 0, usd: 0 };

/** Has rounds answered by the model of the configuration. What all of them have used is kept beside them: so bounds hold when the command runs again. */
function asker({ tools, cwd }: AuthorContext, { folder, language }: Work): NonNullable<Work['ask']> {
  const kept = join(folder, 'spent.json');
  // One for all rounds: it remembers what the endpoint does not take.
  let asked: Promise<AuthorTools> | undefined;
  return async ({ prompt, file }) => {
    const answer = await (
      await (asked ??= tools())
    ).askModel({
      prompt,
      schema: language.strictSchema(),
      spent: existsSync(kept) ? (JSON.parse(readFileSync(kept, 'utf8')) as TokenUse) : NOTHING,
      onSpent: (spent) => writeFileSync(kept, `${JSON.stringify(spent, undefined, 2)}\n`),
    });
    if (answer.end === 'declined') {
      writeFileSync(file('declined.txt'), answer.text);
      const said = printable(answer.text).slice(0, MOST_SHOWN);
      const message = `The model declines: ${said === '' ? 'it says nothing' : said} (${relative(cwd, file('declined.txt'))})`;
      throw commandErrors.make('BEDS_CLI_MODEL_DECLINED', message);
    }
    // n.b. what was cut off is known before there is an answer to read.
    rmSync(file(CUT_OFF), { force: true });
    if (answer.end === 'cut-off') writeFileSync(file(CUT_OFF), '');
    writeFileSync(file('answer.part'), answer.text);
    renameSync(file('answer.part'), file('answer.txt'));
  };
}

const CUT_OFF = 'cut-off';
const MOST_SHOWN = 400;

function openChange({
  folder,
  request,
  generator,
  stores,
  ...rest
}: Pick<Work, 'language' | 'cwd' | 'domain' | 'out' | 'folder' | 'takesEdits'> & {
  readonly request: string;
  readonly generator: Generator;
  readonly stores: Readonly<Record<string, StoreKind>>;
}): Work {
  const { language, out, cwd } = rest;
  // The change that is under way, or the next one.
  let number = 1;
  const at = (): string => join(folder, `change-${String(number)}`);
  while (existsSync(join(at(), 'done.json')) && readFileSync(join(at(), 'brief.md'), 'utf8') !== bounded(request))
    number += 1;
  const brief = keptBrief(join(at(), 'brief.md'), request);
  const kept = join(at(), 'before.json');
  if (!existsSync(kept)) {
    if (!existsSync(out))
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `There is no ${relative(cwd, out)} to change.`);
    writeFileSync(kept, readFileSync(out));
  }
  const before = readFileSync(kept, 'utf8');
  const answer = language.readAnswer(before);
  const checked = answer.ok ? language.checkSpecification(answer.document).checked : undefined;
  if (checked === undefined)
    throw commandErrors.make(
      'BEDS_CLI_ARGUMENT_INVALID',
      `${relative(cwd, out)} has problems of its own: run \`beds spec check\`.`,
    );
  return {
    ...rest,
    folder: at(),
    brief,
    change: { before: checked, generator, kind: stores[checked.source.store] ?? 'mysql' },
    task: language.changePrompt({ before, request: brief }),
  };
}

function bounded(text: string): string {
  const brief = text.replaceAll('\r\n', '\n').trim();
  if (brief === '') throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'The brief is empty.');
  if (brief.length <= MOST_BRIEF_CHARACTERS) return `${brief}\n`;
  throw commandErrors.make(
    'BEDS_CLI_ARGUMENT_INVALID',
    `The brief has more than ${String(MOST_BRIEF_CHARACTERS)} characters. Describe one domain.`,
  );
}

/** The brief of this work: written once, so that a later run answers the same. */
function keptBrief(path: string, given: string | undefined): string {
  const kept = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  if (given === undefined) {
    if (kept !== undefined) return kept;
    throw commandErrors.make(
      'BEDS_CLI_ARGUMENT_INVALID',
      'Say what the domain is to do: in quotation marks, or by --file.',
    );
  }
  const brief = bounded(given);
  if (kept !== undefined && kept !== brief) {
    throw commandErrors.make(
      'BEDS_CLI_TARGET_EXISTS',
      `Another brief is under way in ${dirname(path)}. Go on with it, or move the folder away.`,
    );
  }
  mkdirSync(dirname(path), { recursive: true });
  if (kept === undefined) writeFileSync(path, brief);
  return brief;
}

/** Goes as far as the answers that are there lead. */
async function advance(work: Work): Promise<Outcome> {
  let prompt = work.first ?? work.task;
  let last: readonly Problem[] = [];
  for (let round = 1; round <= MOST_ROUNDS; round += 1) {
    const file = (end: string): string => join(work.folder, `round-${String(round)}.${end}`);
    const [promptFile, answerFile] = [file('prompt.md'), file('answer.txt')];
    writeFileSync(promptFile, `${prompt}\n`);
    if (!existsSync(answerFile)) {
      if (work.ask === undefined)
        return { state: 'waiting', round, prompt: promptFile, answer: answerFile, problems: last };
      await work.ask({ prompt, file });
    }
    const answer = readFileSync(answerFile);
    const text = answer.length > MOST_ANSWER_BYTES ? '' : answer.toString('utf8');
    const judged = await judge(work, text, existsSync(file(CUT_OFF)));
    writeFileSync(file('problems.json'), `${JSON.stringify(judged.problems, undefined, 2)}\n`);
    if (judged.specification !== undefined)
      return finish(work, { ...judged, specification: judged.specification, rounds: round });
    const isSame = JSON.stringify(judged.problems) === JSON.stringify(last);
    if (isSame || round === MOST_ROUNDS) {
      const draft = join(work.folder, 'draft.json');
      writeFileSync(draft, judged.document);
      const why = isSame ? 'the same problems came twice' : `problems are left after ${String(MOST_ROUNDS)} rounds`;
      return { state: 'refused', rounds: round, draft, why, problems: judged.problems };
    }
    last = judged.problems;
    prompt = work.language.repairPrompt({ document: judged.document, problems: last, task: work.task });
  }
  throw commandErrors.make('BEDS_CLI_FAULT', 'A round without an end.');
}

interface Judged {
  readonly document: string;
  readonly problems: readonly Problem[];
  readonly specification?: Specification;
}

async function judge(
  { language, brief, domain, store, change }: Work,
  text: string,
  isCutOff: boolean,
): Promise<Judged> {
  const read = language.readAnswer(text);
  // A document that is whole counts: what was cut off came after it.
  const answer = read.ok || !isCutOff ? read : language.readAnswer(text, { isCutOff });
  if (!answer.ok) return { document: text.slice(0, 20_000), problems: [answer.problem] };
  const { problems, checked } = language.checkSpecification(answer.document, { brief });
  const all: Problem[] = [...problems];
  if (checked !== undefined && checked.domain !== domain) {
    all.push({
      path: 'domain',
      code: 'other-domain',
      message: `it is ${checked.domain}, and ${domain} was asked for.`,
      example: `"domain": "${domain}"`,
      severity: 'error',
    });
  }
  if (checked !== undefined && store !== undefined && checked.source.store !== store) {
    all.push({
      path: 'store',
      code: 'other-store',
      message: `it is ${checked.source.store}, and ${store} was asked for.`,
      example: `"store": "${store}"`,
      severity: 'error',
    });
  }
  if (checked !== undefined && change !== undefined) {
    all.push(...language.compareVersions(change.before.source, checked.source, brief));
    all.push(...impossible(change, checked));
  }
  if (checked !== undefined) all.push(...(await language.tryExamples(checked)));
  const errors = all.filter(({ severity }) => severity === 'error');
  if (checked === undefined || errors.length > 0)
    return { document: JSON.stringify(answer.document, undefined, 1), problems: errors };
  return { document: text, problems: all, specification: numbered(checked.source, change?.before.source) };
}

/** What no plan takes a database to, while callers of the version before go on. */
function impossible(
  { before, generator, kind }: NonNullable<Work['change']>,
  checked: CheckedSpecification,
): readonly Problem[] {
  const { refused } =
    kind === 'mysql'
      ? generator.changeMysql(before, checked, { account: '' })
      : generator.changeMongodb(before, checked, { now: new Date() });
  return refused.map(({ path, construct }) => ({
    ...{ path, code: 'change', severity: 'error' },
    message: `no database with rows can be brought there while the version before works: ${construct}.`,
    example: 'leave this as it is, and add an optional field, or one with a default, beside it',
  }));
}

/** n.b. the number is counted here, whatever an answer says: it decides what the objects of the database are called. */
function numbered({ revision: _, ...document }: Specification, before: Specification | undefined): Specification {
  return before === undefined ? document : { ...document, revision: (before.revision ?? 1) + 1 };
}

function finish(
  work: Work,
  { specification, problems, rounds }: Judged & { readonly specification: Specification; readonly rounds: number },
): Outcome {
  const { language, out, folder } = work;
  const text = language.formatSpecification(specification);
  const done = join(folder, 'done.json');
  const changed = existsSync(out) && existsSync(done) && readFileSync(out, 'utf8') !== text;
  if (changed && work.takesEdits) return edited(work, rounds);
  if (changed)
    throw commandErrors.make(
      'BEDS_CLI_TARGET_EXISTS',
      `${relative(work.cwd, out)} was changed since it was made. It stays; what was made is ${done}. With --yes it counts as it is.`,
    );
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, text);
  writeFileSync(done, text);
  const { checked } = language.checkSpecification(specification);
  return { state: 'done', rounds, file: out, problems, text: checked === undefined ? '' : language.explain(checked) };
}

/** A person has changed the document: that is what is taken. */
function edited({ language, out, cwd }: Work, rounds: number): Outcome {
  const answer = language.readAnswer(readFileSync(out, 'utf8'));
  const { checked, problems } = answer.ok
    ? language.checkSpecification(answer.document)
    : { problems: [answer.problem], checked: undefined };
  if (checked !== undefined) return { state: 'done', rounds, file: out, problems, text: language.explain(checked) };
  const shown = relative(cwd, out);
  const message = `${shown} has problems: beds spec check ${shown} lists them.`;
  throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
}

function print({ cwd, out, args, options, beds }: AuthorContext, outcome: Outcome): void {
  const from = (path: string): string => relative(cwd, path);
  const domain = args[0] ?? '';
  if (outcome.state === 'proved') {
    out.note(
      `${domain} holds. The DBA reads ${from(join(dirname(outcome.file), 'db'))} and applies it: ${beds} db plan ${domain}`,
    );
    return;
  }
  if (outcome.state === 'done') {
    for (const line of outcome.text.trimEnd().split('\n')) out.line(printable(line));
    for (const { path, message } of outcome.problems) out.note(printable(`${path}: ${message}`));
    out.note(
      `${from(outcome.file)} is written, after ${String(outcome.rounds)} ${outcome.rounds === 1 ? 'round' : 'rounds'}. Is it what you want? Then ${beds} design ${domain} --yes makes its files and proves them. Else edit it, or say what is to be different with --change.`,
    );
    return;
  }
  for (const { path, message } of outcome.problems)
    out.line(printable(`${path === '' ? 'the document' : path}: ${message}`));
  if (outcome.state === 'refused') {
    out.line(
      `Stopped: ${outcome.why}. The draft is ${from(outcome.draft)}: correct it by hand, check it with \`beds spec check\`, or change the brief.`,
    );
    return;
  }
  const again = typeof options['change'] === 'string' ? ' with the same --change' : '';
  out.line(
    `Round ${String(outcome.round)}: give ${from(outcome.prompt)} to a model, put its answer into ${from(outcome.answer)}, and run \`beds design ${domain}\`${again} again.`,
  );
}
