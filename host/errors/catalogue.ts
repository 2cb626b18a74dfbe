import { templateErrors, type ErrorSpec } from '@beds/sdk';
import { buildErrors } from '@beds/sdk/build';
import { clientErrors } from '@beds/sdk/client';
import { connectionErrors } from '#sdk/amqp';
import { testingErrors } from '@beds/sdk/testing';
import { adminErrors } from './admin.js';
import { admissionErrors } from './admission.js';
import { amqpErrors } from './amqp.js';
import { cliErrors } from './cli.js';
import { configErrors } from './config.js';
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
  { title: 'Broker threads', specs: threadErrors.specs },
  { title: 'RabbitMQ', specs: { ...connectionErrors.specs, ...amqpErrors.specs } },
  { title: 'Configuration', specs: configErrors.specs },
  { title: 'Client', specs: clientErrors.specs },
  { title: 'Tests of templates', specs: testingErrors.specs },
  { title: 'Command line', specs: cliErrors.specs },
  { title: 'Database objects of the DBA', specs: dbaErrors.specs },
  { title: 'Private servers', specs: servicesErrors.specs },
];

/** Every code with its row. */
export const catalogue: ReadonlyMap<string, ErrorSpec> = new Map(
  catalogueAreas.flatMap(({ specs }) => Object.entries(specs)),
);
