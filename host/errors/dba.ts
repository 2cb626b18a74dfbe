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
  BEDS_DBA_CHANGE_REFUSED: {
    message: 'The database cannot be changed from the revision that it is made from to the one of domain.json.',
    status: 'invalid',
    action: 'Change the document as the message says; `beds db plan` shows the whole.',
  },
  BEDS_DBA_CHANGE_LOSS: {
    message: 'Rows would lose something.',
    status: 'conflict',
    action: 'See `beds db plan`. --allow-loss does it all the same.',
  },
  BEDS_DBA_CHANGE_DRIFT: {
    message: 'The database is not as it was made: somebody has changed it by hand.',
    status: 'conflict',
    action: 'Take the change back, or bring it into domain.json. --accept-drift leaves it as it is and goes on.',
  },
  BEDS_DBA_CHANGE_BLOCKED: {
    message: 'Rows are in the way of what the new revision asks for.',
    status: 'conflict',
    action: 'Put the rows right that the message names, and run the command again.',
  },
  BEDS_DBA_CHANGE_USED: {
    message: 'A version that is in use needs what would be dropped.',
    status: 'conflict',
    action: 'Deploy the new version everywhere first. Where no host can be asked, --retired says that none uses it.',
  },
  BEDS_DBA_CHANGE_STATE: {
    message: 'The database is not in the state that this needs.',
    status: 'conflict',
    action: 'See `beds db status`.',
  },
  BEDS_DBA_CHANGE_BUSY: {
    message: 'Somebody else changes the database of this domain at this moment.',
    status: 'conflict',
    retryable: true,
    action: 'Wait until that has ended, then see `beds db status`.',
  },
  BEDS_DBA_CHANGE_WAITS: {
    message: 'A step waited for a table that others hold, and gave up so that nobody waits behind it.',
    status: 'unavailable',
    retryable: true,
    action: 'End the long transaction, then run the command again: it goes on with this step.',
  },
  BEDS_DBA_CHANGE_FAILED: {
    message: 'The database refused a step of a change.',
    status: 'fault',
    action: 'Put right what the message says, and run the command again: it goes on with this step.',
  },
  BEDS_DBA_SERVER_UNAVAILABLE: {
    message: 'The administrator cannot reach the database of a store.',
    status: 'unavailable',
    retryable: true,
    action: 'Check that the server runs and that the administrator URL is right.',
  },
});
