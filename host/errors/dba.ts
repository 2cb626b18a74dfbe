import { defineErrors } from '@beds/sdk';

/** What can go wrong while a DBA's objects are put into a database. These texts are for the DBA, who may see all of them. */
export const dbaErrors = defineErrors({
  BEDS_DBA_DOMAIN_UNKNOWN: {
    message: 'There is no such domain with objects for a database.',
    status: 'invalid',
    action: 'Name a folder of the plugins directory that has a db/ folder, or none to apply all of them.',
  },
  BEDS_DBA_FILE_INVALID: {
    message: 'A file of a db/ folder cannot be used.',
    status: 'invalid',
    action: 'Correct the file as the message says; the files before it have been applied.',
  },
  BEDS_DBA_STORE_UNKNOWN: {
    message: "The store of a domain's objects is not known.",
    status: 'invalid',
    action: 'Name it in package.json of the domain: "beds": { "store": "<name of a [stores.*] entry>" }.',
  },
  BEDS_DBA_APPLY_FAILED: {
    message: 'The database refused a file.',
    status: 'fault',
    action: 'Correct the statement that the message quotes from and apply again; files that are in place are skipped.',
  },
  BEDS_DBA_ACCOUNT_FAILED: {
    message: 'The runtime account of a store could not be made or granted.',
    status: 'fault',
    action: 'Give the administrator account the right to create accounts and to grant what it owns.',
  },
  BEDS_DBA_URL_INVALID: {
    message: 'The URL of the administrator of a store cannot be used.',
    status: 'invalid',
    action: 'Write it with an account and a database: mongodb://admin:…@host/database?authSource=admin.',
  },
  BEDS_DBA_SERVER_UNAVAILABLE: {
    message: 'The database of a store cannot be reached as administrator.',
    status: 'unavailable',
    retryable: true,
    action: 'See that the server runs and that the URL of its administrator is right.',
  },
});
