import { commandErrors, EXIT, printable } from '#sdk/cli';
import { isBedsError } from '@beds/sdk';
import { AdminClient } from '../../admin/client.js';
import type { FleetView } from '../../admin/desk-queries.js';
import { operatorOf } from '../broker-of.js';
import type { Command, CommandContext } from '../command.js';
import { ago, type Output } from '../output.js';

export const fleetCommand: Command = {
  name: 'fleet',
  summary: 'Show what all nodes shall run and which of them deviate, or forget a node that does not come back.',
  usage: 'fleet [forget <node>]',
  options: {},
  details:
    'An admin node keeps what was ordered, with the bytes: a node that is new, was away or has lost its disk gets it when it starts. What was dropped counts once all nodes ' +
    'that serve the domain run it. Exits with 1 where a node deviates, or one with a name of its own is missing.',
  run: async (context) => {
    const [verb, name, ...rest] = context.args;
    const isForget = verb === 'forget' && name !== undefined && rest.length === 0;
    if (verb !== undefined && !isForget) {
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'Write: beds fleet, or beds fleet forget <node>');
    }
    const client = await AdminClient.open(operatorOf(context));
    try {
      if (isForget) {
        await client.forget(name);
        context.out.line(printable(`${name} is forgotten.`));
        return EXIT.ok;
      }
      return show(await client.fleet(), context);
    } finally {
      await client.close();
    }
  },
};

function show(fleet: FleetView, { out, json }: CommandContext): number {
  if (json) out.value(fleet);
  else {
    out.table({
      head: ['domain', 'version', 'state', 'bundle', 'since', 'revision'],
      rows: Object.entries(fleet.desired).map(([domain, { version, state, hash, at, revision }]) => [
        domain,
        version,
        state,
        hash.slice(0, 12),
        at === 0 ? '' : ago(new Date(at).toISOString()),
        revision,
      ]),
      numeric: [5],
    });
    out.line();
    out.table({
      head: ['node', 'roles', 'reported'],
      rows: fleet.members.map(({ node, roles, at }) => [node, roles.join(', '), ago(new Date(at).toISOString())]),
    });
    printDrift(fleet, out);
  }
  return fleet.drift.length === 0 ? EXIT.ok : EXIT.failed;
}

/** A line for each node and domain that deviates. */
export function printDrift({ drift }: FleetView, out: Output): void {
  for (const { node, domain, shall, does } of drift) {
    out.line(printable(domain === '' ? `${node} ${does}.` : `${node}: ${domain} shall be ${shall}, and is ${does}.`));
  }
}

/** Undefined: nobody is signed in, or no admin node keeps that. */
export async function readDrift(context: CommandContext): Promise<FleetView | undefined> {
  const client = await AdminClient.open(operatorOf(context));
  try {
    return await client.fleet();
  } catch (error) {
    // n.b. what is wrong with the admin node or its store, the nodes say themselves.
    if (isBedsError(error)) return undefined;
    throw error;
  } finally {
    await client.close();
  }
}
