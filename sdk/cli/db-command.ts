import { basename, dirname } from 'node:path';
import type { AuthorContext, AuthorTools, ChangeRequest, DatabasePlan, DatabaseStatus } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import { findDomains } from './domains.js';
import { printable } from './print.js';

const VERBS = ['plan', 'apply', 'undo', 'status'] as const;

export const dbCommand: Command<AuthorContext> = {
  name: 'db',
  summary: "The DBA's work: plan, apply, undo and show what is in the databases.",
  usage:
    'db plan|apply|undo|status [domain…] [--contract [--retired]] [--allow-loss] [--accept-drift] [--account <user>] [--force]',
  options: {
    account: {
      type: 'string',
      value: '<user>',
      description: 'The account of a host elsewhere, as its store.url names it. Default: one is made for this project.',
    },
    force: { type: 'boolean', description: 'Apply unchanged files again.' },
    contract: {
      type: 'boolean',
      description: 'Of apply: take away what only the version before needed, when no host uses it any more.',
    },
    retired: {
      type: 'boolean',
      description: 'With --contract: you say that nobody uses the version before, where no host can be asked.',
    },
    'allow-loss': {
      type: 'boolean',
      description: 'Also where rows lose something. `db plan` says how many lose what.',
    },
    'accept-drift': {
      type: 'boolean',
      description: 'Also where somebody has changed the database by hand: that stays as it is.',
    },
  },
  details:
    'Works as administrator, on the servers of BEDS_MARIADB_ADMIN_URL and BEDS_MONGODB_URL. Without them, in a checkout of BEDS, ' +
    'it starts private servers for the duration of the command. Files are applied in the order of their names; unchanged files ' +
    'are skipped. The account of the host gets EXECUTE on each routine and SELECT on each view, except those whose ' +
    'names begin with _, and nothing else. The host itself never changes a schema. ' +
    'A domain that is made from a domain.json of a higher revision is changed in two phases: apply adds, so that both versions work; ' +
    'apply --contract takes away. plan exits with 0 where nothing is to be done, with 2 where something is, and with 1 where apply would refuse it.',
  run: async (context) => {
    const [verb = '', ...names] = context.args;
    const { out, json } = context;
    if (verb === 'status') return status(context, names);
    const byParent = new Map<string, string[]>();
    if (!VERBS.some((known) => known === verb))
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `Use \`db ${VERBS.join('|')} [domain…]\`.`);
    if (verb === 'undo' && names.length !== 1)
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'Name the domain whose last change is to be undone.');
    for (const { folder } of await findDomains({ ...context, args: names }, 'db')) {
      byParent.set(dirname(folder), [...(byParent.get(dirname(folder)) ?? []), basename(folder)]);
    }
    const tools = await context.tools();
    const requests = [...byParent].map(([folder, domains]) => requestOf(context, folder, domains));
    if (verb === 'plan') return plan(context, tools, requests);
    if (verb === 'apply' && context.options['contract'] !== true) return apply(context, tools, requests);
    let steps = 0;
    for (const request of requests)
      steps +=
        verb === 'undo'
          ? await tools.undoObjects(request)
          : await tools.contractObjects({ ...request, isRetired: context.options['retired'] === true });
    if (json) out.value({ steps });
    else out.line(verb === 'undo' ? `Undone in ${steps} steps.` : `Contracted in ${steps} steps.`);
    return EXIT.ok;
  },
};

function requestOf({ options }: AuthorContext, folder: string, domains: readonly string[]): ChangeRequest {
  return {
    ...{ folder, domains, allowLoss: options['allow-loss'] === true, acceptDrift: options['accept-drift'] === true },
  };
}

async function apply(
  { options, out, json }: AuthorContext,
  tools: AuthorTools,
  requests: readonly ChangeRequest[],
): Promise<number> {
  const total = { applied: 0, unchanged: 0 };
  for (const { folder, domains, ...change } of requests) {
    const account = typeof options['account'] === 'string' ? options['account'] : undefined;
    const done = await tools.applyObjects({ folder, domains, account, force: options['force'] === true, change });
    total.applied += done.applied;
    total.unchanged += done.unchanged;
  }
  if (json) out.value(total);
  else out.line(`${total.applied === 1 ? '1 file' : `${total.applied} files`} applied, ${total.unchanged} unchanged`);
  return EXIT.ok;
}

/* plan */

async function plan(
  { options, out, json }: AuthorContext,
  tools: AuthorTools,
  requests: readonly ChangeRequest[],
): Promise<number> {
  const plans: DatabasePlan[] = [];
  for (const request of requests) plans.push(...(await tools.planObjects(request)));
  const isRefused = (each: DatabasePlan): boolean =>
    each.state === 'refused' ||
    (each.losses.length > 0 && options['allow-loss'] !== true) ||
    (each.drift.length > 0 && options['accept-drift'] !== true);
  if (json) out.value(plans);
  else for (const each of plans) for (const line of planLines(each)) out.line(printable(line).trimEnd());
  if (plans.some(isRefused)) return EXIT.failed;
  return plans.every(({ state }) => state === 'current') ? EXIT.ok : EXIT.changes;
}

function planLines(plan: DatabasePlan): readonly string[] {
  const { domain, store, from, to, state } = plan;
  const list = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : [`  ${title}`, ...lines.map((line) => `    - ${line}`)];
  const steps = (of: DatabasePlan['expand']): readonly string[] => of.map(({ words, lock }) => `${words} (${lock})`);
  const counted = (of: DatabasePlan['losses']): readonly string[] => of.map(({ rows, words }) => `${rows} ${words}`);
  const head = {
    new: `${domain}: nothing of it is in the store ${store} yet`,
    current: `${domain}: the store ${store} is made from revision ${to}`,
    change: `${domain}: the store ${store} goes from revision ${from ?? 0} to ${to}`,
    unfinished: `${domain}: a change of the store ${store} to revision ${to} was stopped`,
    expanded: `${domain}: the revisions ${from ?? 0} and ${to} both work in the store ${store}`,
    refused: `${domain}: the store ${store} cannot be changed to revision ${to}`,
  }[state];
  return [
    head,
    ...list('Refused:', plan.refused),
    ...list('Changed by hand, and not by BEDS:', plan.drift),
    ...list('Expand, while the version before works on (beds db apply):', steps(plan.expand)),
    ...list('Contract, when nobody uses the version before (beds db apply --contract):', steps(plan.contract)),
    ...list('What is lost by it, which needs --allow-loss:', counted(plan.losses)),
    ...list('Must be put right before the contract:', counted(plan.blocks)),
    ...list('Meanwhile:', plan.notices),
    ...list('In use by:', usersOf(plan)),
    ...(plan.expand.length > 0 && state === 'change'
      ? [`  Undone by beds db undo ${domain}, until the contract begins.`]
      : []),
  ];
}

function usersOf({ users, retired, state }: DatabasePlan): readonly string[] {
  if (retired.length === 0 || state === 'current') return [];
  if (users === undefined) return ['not known: no host answers'];
  const said = { live: 'serves', candidate: 'is on its way', kept: 'is kept for a rollback' };
  const lines = users.map(
    ({ domain, version, node, state: is, objects }) =>
      `${domain} ${version} on ${node} ${said[is]} with ${objects.length} of ${retired.length} objects of the revision before`,
  );
  return lines.length === 0 ? ['nobody that a host knows of'] : lines;
}

/* status */

async function status({ out, json, tools }: AuthorContext, names: readonly string[]): Promise<number> {
  const found = await (await tools()).databaseStatus(names);
  if (json) out.value(found);
  else if (found.length === 0) out.line('No database has a domain that was made from a specification.');
  else for (const each of found) for (const line of statusLines(each)) out.line(printable(line).trimEnd());
  return found.some(({ phase, drift }) => phase.endsWith('ing') || drift.length > 0) ? EXIT.changes : EXIT.ok;
}

function statusLines({
  domain,
  store,
  revision,
  phase,
  nextRevision,
  steps,
  drift,
}: DatabaseStatus): readonly string[] {
  const next = String(nextRevision ?? revision);
  const words = {
    live: `is made from revision ${revision}`,
    expanding: `is being expanded from revision ${revision} to ${next}: beds db apply ${domain} goes on`,
    expanded: `has the revisions ${revision} and ${next}, and both work`,
    contracting: `is being contracted to revision ${next}: beds db apply ${domain} --contract goes on`,
    undoing: `is on its way back to revision ${revision}: beds db undo ${domain} goes on`,
  }[phase];
  return [
    `${domain}: the store ${store} ${words}`,
    ...(phase.endsWith('ing') ? steps.map((step) => `    ${step.state}: ${step.words}`) : []),
    ...drift.map((line) => `    changed by hand: ${line}`),
  ];
}
