import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { commandResult, COMMANDS } from '../host/admin/commands.js';
import { type Definition, ENVELOPE, fieldHelp, type Fields } from '../host/admin/protocol.js';
import { QUERIES } from '../host/admin/queries.js';
import { adminCommand } from '../host/cli/admin-command.js';
import { COMMANDS as CLI_COMMANDS } from '../host/cli/commands.js';

interface Documented extends Definition {
  readonly result?: z.ZodType;
}

/** One row for each command or query. */
function operationRows(definitions: Readonly<Record<string, Documented>>): readonly string[] {
  return Object.entries(definitions).map(([op, { fields, summary, result = commandResult }]) => {
    const names = Object.entries(fields).map(
      ([name, schema]) => `\`${name}\`${schema._zod.optin === 'optional' ? '?' : ''}`,
    );
    const members =
      result instanceof z.ZodObject ? Object.keys(result.shape).map((name) => `\`${name}\``) : ['the node'];
    return row([`\`${op}\``, names.join(', '), members.join(', '), summary]);
  });
}

/** One row for each field, with the commands and queries that have it. */
function fieldRows(all: readonly (readonly [op: string, fields: Fields])[]): readonly string[] {
  const seen = new Map<string, { readonly ops: string[]; readonly rest: readonly string[] }>();
  for (const [op, fields] of all) {
    for (const [name, schema] of Object.entries(fields)) {
      const { description, option, value } = fieldHelp.get(schema) ?? { description: '' };
      const given = option === undefined ? '' : `\`--${option}${value === undefined ? '' : ` ${value}`}\``;
      const entry = seen.get(`${name} ${description}`) ?? { ops: [], rest: [given, description] };
      entry.ops.push(op);
      seen.set(`${name} ${description}`, entry);
    }
  }
  return [...seen].map(([key, { ops, rest }]) => row([`\`${key.split(' ')[0] ?? ''}\``, ops.join(', '), ...rest]));
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

describe('the protocol of administrators', () => {
  it('is documented in PROTOCOL.md, every command, query and field', () => {
    const all: Readonly<Record<string, Definition>> = { ...COMMANDS, ...QUERIES };
    const expected = [
      ...operationRows(COMMANDS),
      ...operationRows(QUERIES),
      ...fieldRows([
        ['all', ENVELOPE],
        ...Object.entries(all).map(([op, { fields }]) => [`\`${op}\``, fields] as const),
      ]),
    ];
    const [, section = ''] = readFileSync('host/PROTOCOL.md', 'utf8').split('\n## Administration\n');
    const [own = ''] = section.split('\n## ');
    const rows = own
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) => line.replaceAll(/ +\|/g, ' |'));
    assert.deepEqual(
      rows,
      expected.map((line) => line.replaceAll(/ +\|/g, ' |')),
      expected.join('\n'),
    );
  });

  it('has a sentence for every field', () => {
    const all: Readonly<Record<string, Definition>> = { ...COMMANDS, ...QUERIES };
    for (const [op, { fields }] of Object.entries(all)) {
      for (const [name, schema] of Object.entries(fields)) assert.ok(fieldHelp.has(schema), `${op}.${name}`);
    }
  });

  it('is the command line: every command is there, with its fields as arguments and options', () => {
    const partOf = new Map([
      ['lift', 'quarantine'],
      ...['deadLetter', 'deadResend', 'deadDrop'].map((name) => [name, 'dead'] as const),
    ]);
    for (const name of Object.keys(COMMANDS)) assert.ok(CLI_COMMANDS.has(partOf.get(name) ?? name), name);
    assert.equal(
      adminCommand('rollback').usage,
      'rollback <domain> [version] [--node <name>] [--no-wait] [--timeout <time>]',
    );
    const { options } = adminCommand('deploy');
    assert.deepEqual(Object.keys(options).slice(0, 5), ['canary', 'for', 'shadow', 'hold', 'allow-breaking']);
    assert.equal(options['for']?.description, 'Time that it must stay healthy as a canary: 30s, 5m.');
  });
});
