import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ErrorSpec } from '@beds/sdk';
import { catalogueAreas, type CatalogueArea } from './catalogue.js';

const HEADER = `# Errors

Every error of BEDS has a code \`BEDS_<AREA>_<REASON>\`. The code is the contract: messages may become more exact, codes keep
their meaning, and a retired one is not used again. \`beds errors <code>\` explains one on the command line.

- **Status**: the class of the error, for callers that treat classes alike.
- **Verdict**: what the host does with the message. *ack*: the caller is answered, the message is done with. *requeue*:
  RabbitMQ delivers it again. *reject*: RabbitMQ dead-letters it.
- **Retry**: whether the same request may succeed later.

Made from the tables in host/errors/ and the SDK by \`npm run docs:errors\`.
`;

const COLUMNS = ['Code', 'Status', 'Verdict', 'Retry', 'Meaning', 'What to do'] as const;

/** The text of host/ERRORS.md. `npm run docs:errors` runs this file to write it. */
export function errorsMarkdown(): string {
  return [HEADER, ...catalogueAreas.map(areaText)].join('\n');
}

function areaText({ title, specs }: CatalogueArea): string {
  const rows = Object.entries(specs).map(([code, spec]) => row(cells(code, spec)));
  return `## ${title}\n\n${[row(COLUMNS), row(COLUMNS.map(() => '---')), ...rows].join('\n')}\n`;
}

function cells(code: string, spec: ErrorSpec): readonly string[] {
  const retry = spec.retryable === true ? 'yes' : 'no';
  return [`\`${code}\``, spec.status, spec.verdict ?? 'ack', retry, spec.message, spec.action];
}

function row(cellTexts: readonly string[]): string {
  return `| ${cellTexts.map((text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}

if (process.argv[1]?.endsWith(join('errors', 'write-markdown.js')) === true) {
  writeFileSync(join(process.cwd(), 'host', 'ERRORS.md'), errorsMarkdown());
}
