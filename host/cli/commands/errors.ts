import { commandErrors, EXIT } from '#sdk/cli';
import type { ErrorSpec } from '#sdk/template';
import { didYouMean } from '#sdk/nearest';
import { catalogue } from '../../errors/catalogue.js';
import type { Command } from '../command.js';
import type { Output } from '../output.js';

export const errorsCommand: Command = {
  name: 'errors',
  summary: 'Explain an error code, or list all of them.',
  usage: 'errors [code]',
  options: {},
  details: 'Part of a code lists all codes that contain it. host/ERRORS.md has the same list.',
  run: ({ args: [asked], out, json }) => {
    const wanted = asked?.toUpperCase();
    const rows = [...catalogue].filter(([code]) => wanted === undefined || code.includes(wanted));
    const exact = wanted === undefined ? undefined : catalogue.get(wanted);
    if (wanted !== undefined && rows.length === 0) {
      const meant = didYouMean(wanted, catalogue.keys());
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `There is no error code ${wanted}.${meant}`);
    }
    if (json) out.value(exact === undefined ? rows.map(toJson) : toJson([wanted ?? '', exact]));
    else if (exact === undefined) printList(rows, out);
    else printOne(wanted ?? '', exact, out);
    return Promise.resolve(EXIT.ok);
  },
};

type Row = readonly [code: string, spec: ErrorSpec];

function toJson([code, spec]: Row): Record<string, unknown> {
  return { code, verdict: 'ack', retryable: false, ...spec };
}

function printList(rows: readonly Row[], out: Output): void {
  out.table({
    head: ['code', 'status', 'meaning'],
    rows: rows.map(([code, spec]) => [code, spec.status, spec.message]),
  });
}

function printOne(code: string, spec: ErrorSpec, out: Output): void {
  const verdicts = {
    ack: 'the caller is answered, the message is done',
    requeue: 'RabbitMQ delivers it again',
    reject: 'RabbitMQ dead-letters it',
  } as const;
  const verdict = spec.verdict ?? 'ack';
  out.line(`${out.paint('bold', code)}: ${spec.message}`);
  out.line(`  what to do  ${spec.action}`);
  out.line(`  status      ${spec.status}`);
  out.line(`  message     ${verdict}: ${verdicts[verdict]}`);
  out.line(`  retry       ${spec.retryable === true ? 'the same request may succeed later' : 'no'}`);
}
