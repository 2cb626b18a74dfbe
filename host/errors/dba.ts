import { defineErrors } from '#sdk/template';

/** What can go wrong while a DBA's objects are put into a database. These texts are for the DBA, who may see all of them. */
export const dbaErrors = defineErrors({
  BEDS_DBA_DOMAIN_UNKNOWN: {
    message: 'There is no such domain with objects for a database.',
    status: 'invalid',
    action: 'Name a folder of the plugins directory that has a db/ folder, or omit the name to apply all.',
  },
  BEDS_DBA_FILE_INVALID: {
    message: 'A file of a db/ folder is not valid.',
    status: 'invalid',
    action: 'Correct the file as the message says. The files before it are already applied.',
  },
  BEDS_DBA_STORE_UNKNOWN: {
    message: 'The domain does not say which store its objects belong to, or the store does not exist.',
    status: 'invalid',
    action: 'Name it in package.json of the domain: "beds": { "store": "<name of a [stores.*] entry>" }.',
  },
  BEDS_DBA_APPLY_FAILED: {
    message: 'The database refused a file.',
    status: 'fault',
    action: 'Correct the statement in the message and apply again. Files that are already applied are skipped.',
  },
  BEDS_DBA_ACCOUNT_FAILED: {
    message: 'The runtime account of a store could not be created or granted its rights.',
    status: 'fault',
    action: 'Give the administrator the right to create accounts and to grant its own rights.',
  },
  BEDS_DBA_URL_INVALID: {
    message: 'The administrator URL of a store is not valid.',
    status: 'invalid',
    action: 'Include an account and a database: mongodb://admin:…@host/database?authSource=admin.',
  },
  BEDS_DBA_SERVER_UNKNOWN: {
    message: 'It is not known where the databases of the stores are, as their administrator reaches them.',
    status: 'invalid',
    action:
      'Set BEDS_MARIADB_ADMIN_URL (MySQL too) or BEDS_MONGODB_URL to the URL with the account of the DBA and the database. If the databases are those that a checkout of BEDS started, run `npm --prefix <checkout> run beds -- db apply` here.',
  },
  BEDS_DBA_SERVER_UNAVAILABLE: {
    message: 'The administrator cannot reach the database of a store.',
    status: 'unavailable',
    retryable: true,
    action: 'Check that the server runs and that the administrator URL is right.',
  },
});
