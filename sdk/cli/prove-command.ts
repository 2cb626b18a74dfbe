import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import type { CheckedSpecification } from '../spec/index.js';
import type { AuthorContext, Proof, ProofStep } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import type { Output } from './output.js';
import { printable } from './print.js';
import { findSpecifications } from './spec-command.js';

export const proveCommand: Command<AuthorContext> = {
  name: 'prove',
  summary: 'Try a generated domain on a database that exists for that alone.',
  usage: 'prove [domain or file…]',
  options: {},
  details:
    'Makes a database beds_prove_… on the server of BEDS_MARIADB_ADMIN_URL or BEDS_MONGODB_URL, as the store of the domain is, or on a private one, and puts the files of db/ into it. ' +
    'Then, as the account of a host: what it may do and must not; the examples of domain.json; their calls four at once; some hundred random calls, right and wrong, against the ' +
    'model in memory; how the server reads for each view and query when there is much. It is dropped at the end; what a killed run has left the next one drops. What a server cannot show, ' +
    'because it has no accounts or no transactions, is said by name. Exits with 1 where something fails.',
  run: async (context) => {
    const proofs: Proof[] = [];
    for (const file of await findSpecifications(context, context.args))
      proofs.push(
        await proveDomain(context, { specification: await checkedFile(context, file), folder: dirname(file) }),
      );
    if (context.json) context.out.value(proofs.length === 1 ? proofs[0] : proofs);
    return proofs.every(({ ok }) => ok) ? EXIT.ok : EXIT.failed;
  },
};

async function checkedFile(context: AuthorContext, file: string): Promise<CheckedSpecification> {
  const language = await (await context.tools()).language();
  const answer = language.readAnswer(readFileSync(file, 'utf8'));
  const { checked } = answer.ok ? language.checkSpecification(answer.document) : {};
  if (checked !== undefined) return checked;
  const shown = relative(context.cwd, file);
  const message = `${shown} has problems: ${context.beds} spec check ${shown} lists them.`;
  throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
}

/** Where what is known of the making of a domain is kept. */
export function workFolder(projectRoot: string, domain: string): string {
  return join(projectRoot, '.beds', 'design', domain);
}

/** Proves, says so line by line, and keeps what came of it. */
export async function proveDomain(
  context: AuthorContext,
  { specification, folder }: { readonly specification: CheckedSpecification; readonly folder: string },
): Promise<Proof> {
  const { out, json, projectRoot, beds, cwd } = context;
  const { domain } = specification;
  for (const needed of ['template.ts', 'db']) {
    if (existsSync(join(folder, needed))) continue;
    const message = `${relative(cwd, folder)} has no ${needed}: ${beds} generate ${domain} makes it.`;
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
  }
  const tools = await context.tools();
  const proof = await tools.prove({ specification, folder, onStep: (step) => printStep(step, context) });
  const kept = workFolder(projectRoot, domain);
  mkdirSync(kept, { recursive: true });
  writeFileSync(join(kept, 'proof.json'), `${JSON.stringify(proof, undefined, 2)}\n`);
  if (!json) {
    for (const notice of proof.notices) out.line(`${out.paint('yellow', '!')} ${printable(notice)}`);
    for (const left of proof.notProved) out.line(`${out.paint('yellow', '?')} not proved here: ${printable(left)}`);
    out.line(`${domain}: ${proof.ok ? 'holds' : 'does not hold'} on ${printable(proof.server)}.`);
  }
  return proof;
}

const WORDS: Readonly<Record<ProofStep['name'], string>> = {
  files: 'files go into an empty database, and in again',
  template: 'objects are what the template says',
  privileges: 'things that the account of a host must not do are denied',
  examples: 'examples come out as they say',
  races: 'rounds of calls at once come out as one after the other',
  'random calls': 'random calls pass or are refused as the model says',
  plans: 'queries have a plan',
};

function printStep(step: ProofStep, { out, json }: { readonly out: Output; readonly json: boolean }): void {
  const { name, tried, failures } = step;
  // n.b. a script reads the proof; who watches it run is told meanwhile.
  const say = json ? out.note : out.line;
  const mark = failures.length === 0 ? out.paint('green', '✓') : out.paint('red', '✗');
  say(`${mark} ${String(tried)} ${WORDS[name]}${failures.length === 0 ? '' : `, but not ${String(failures.length)}:`}`);
  for (const failure of failures.slice(0, MOST_SHOWN)) say(`    ${printable(failure)}`);
}

const MOST_SHOWN = 8;
