import { commandErrors, EXIT } from '#sdk/cli';
import { readFileSync } from 'node:fs';
import { BEGINNING, ChainCheck, type Place } from '../../../plugins/audit/chain.js';
import { AdminClient } from '../../admin/client.js';
import type { AuditPage } from '../../admin/desk-queries.js';
import { keyOf, settingsPath, writeKept } from '../../author/operator.js';
import { loginOf, operatorOf } from '../broker-of.js';
import type { Command, CommandContext } from '../command.js';

const HEADS = 'audit-heads.json';

export const auditCommand: Command = {
  name: 'audit',
  summary: 'Show who ordered what and what came of it, or verify that no record was changed, removed or inserted.',
  usage: 'audit [verify]',
  options: {},
  details:
    'Each record has the hash of the one before. `verify` computes all of them here, compares the end with what the store noted, and with the last record that you verified: ' +
    'that is kept beside your login, so that records which are gone, or a chain that was made anew, are noticed. Exits with 1 where anything is wrong.',
  run: async (context) => {
    const [verb, ...rest] = context.args;
    if ((verb !== undefined && verb !== 'verify') || rest.length > 0) {
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'Write: beds audit, or beds audit verify');
    }
    const client = await AdminClient.open(operatorOf(context));
    try {
      return await (verb === 'verify' ? verify(client, context) : show(client, context));
    } finally {
      await client.close();
    }
  },
};

async function show(client: AdminClient, { out, json }: CommandContext): Promise<number> {
  const { records } = await client.audit({});
  if (json) out.value(records);
  else if (records.length === 0) out.line('Nothing has been ordered yet.');
  else {
    out.table({
      head: ['record', 'at', 'who', 'order', 'about', 'step', 'outcome', 'what came of it', 'from'],
      rows: records.map((each) => [
        each.seq,
        new Date(each.at).toISOString(),
        each.user_name === '' ? each.user_id : each.user_name,
        each.op,
        each.target,
        each.step,
        each.outcome,
        each.words,
        each.source,
      ]),
      numeric: [0],
    });
  }
  return EXIT.ok;
}

async function verify(client: AdminClient, context: CommandContext): Promise<number> {
  const { out, json } = context;
  const heads = readHeads(context);
  const key = keyOf(loginOf(context));
  const check = new ChainCheck({ ...(heads[key] ?? BEGINNING), source: 'your last verification' });
  let noted: Place = BEGINNING;
  for (let page: AuditPage | undefined; page === undefined || page.records.length > 0;) {
    context.signal.throwIfAborted();
    page = await client.audit({ after: check.last.seq });
    for (const record of page.records) check.add(record);
    // n.b. records may be added meanwhile: what the store noted first is certain to be there.
    if (noted === BEGINNING) noted = page.last;
  }
  check.end(noted);
  const { breaks, last } = check;
  if (breaks.length === 0) writeKept(settingsPath(context, HEADS), { ...heads, [key]: last });
  if (json) out.value({ ok: breaks.length === 0, ...last, breaks });
  else {
    for (const { words } of breaks) out.line(words);
    if (breaks.length === 0)
      out.line(`${String(last.seq)} records, all of them as they were written; the last is ${last.hash}`);
  }
  return breaks.length === 0 ? EXIT.ok : EXIT.failed;
}

function readHeads(context: CommandContext): Readonly<Record<string, Place>> {
  try {
    return JSON.parse(readFileSync(settingsPath(context, HEADS), 'utf8')) as Record<string, Place>;
  } catch {
    return {};
  }
}
