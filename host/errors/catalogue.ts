import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { templateErrors, type ErrorSpec } from '#sdk/template';
import { buildErrors } from '@beds/sdk/build';
import { clientErrors } from '@beds/sdk/client';
import { connectionErrors } from '#sdk/amqp';
import { checkErrors, commandErrors } from '#sdk/cli';
import { testingErrors } from '@beds/sdk/testing';
import { adminErrors } from './admin.js';
import { admissionErrors } from './admission.js';
import { amqpErrors } from './amqp.js';
import { cliErrors } from './cli.js';
import { configErrors } from './config.js';
import { dashboardErrors } from './dashboard.js';
import { dbaErrors } from './dba.js';
import { preflightErrors } from './preflight.js';
import { requestErrors } from './request.js';
import { rolloutErrors } from './rollout.js';
import { servicesErrors } from './dev-servers.js';
import { storeErrors } from './store.js';
import { threadErrors } from './thread.js';

/** One table of the catalogue, with the heading it has in ERRORS.md. */
export interface CatalogueArea {
  readonly title: string;
  readonly specs: Readonly<Record<string, ErrorSpec>>;
}

/** Every table of the host and the SDK. A test fails when one is left out. */
export const catalogueAreas: readonly CatalogueArea[] = [
  { title: 'Requests', specs: requestErrors.specs },
  { title: 'Databases', specs: storeErrors.specs },
  { title: 'Templates', specs: templateErrors.specs },
  { title: 'Building a bundle', specs: buildErrors.specs },
  { title: 'Admission of a bundle', specs: admissionErrors.specs },
  { title: 'What a template asks of its database', specs: preflightErrors.specs },
  { title: 'Rollout of a version', specs: rolloutErrors.specs },
  { title: 'Administration', specs: adminErrors.specs },
  { title: 'Dashboard', specs: dashboardErrors.specs },
  { title: 'Broker threads', specs: threadErrors.specs },
  { title: 'RabbitMQ', specs: { ...connectionErrors.specs, ...amqpErrors.specs } },
  { title: 'Configuration', specs: configErrors.specs },
  { title: 'Client', specs: clientErrors.specs },
  { title: 'Tests of templates', specs: testingErrors.specs },
  { title: 'Command line', specs: { ...commandErrors.specs, ...cliErrors.specs } },
  { title: 'Check of a template', specs: checkErrors.specs },
  { title: 'Database objects of the DBA', specs: dbaErrors.specs },
  { title: 'Private servers', specs: servicesErrors.specs },
];

/** Every code with its row. */
export const catalogue: ReadonlyMap<string, ErrorSpec> = new Map(
  catalogueAreas.flatMap(({ specs }) => Object.entries(specs)),
);

const HEADER = `# Errors

Every error of BEDS has a code \`BEDS_<AREA>_<REASON>\`. The code is the contract: messages may become more exact, codes keep
their meaning, and a retired one is not used again. \`beds errors <code>\` explains one on the command line.

- **Status**: the class of the error, for callers that treat classes alike.
- **Verdict**: what the host does with the message. *ack*: the caller is answered, the message is done. *requeue*:
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

if (process.argv[1]?.endsWith(join('errors', 'catalogue.js')) === true) {
  writeFileSync(join(process.cwd(), 'host', 'ERRORS.md'), errorsMarkdown());
}
