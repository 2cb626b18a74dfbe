import { EXIT } from '#sdk/cli';
import { makeNames } from '../../amqp/names.js';
import { brokerOf } from '../broker-of.js';
import type { Command } from '../command.js';

export const urlCommand: Command = {
  name: 'url',
  summary: 'Print the AMQP URL for another program. It contains a password.',
  usage: 'url',
  options: {},
  details:
    'The URL is a secret: whoever has it reaches every domain. It goes to standard output only. --json also names the ' +
    'exchange for requests. Example: BEDS_URL="$(beds url)" node my-program.js',
  run: (context) => {
    const { url, prefix } = brokerOf(context);
    if (context.json) context.out.value({ url, exchange: makeNames(prefix).requests });
    else context.out.line(url);
    return Promise.resolve(EXIT.ok);
  },
};
