import { defineErrors } from '#sdk/template';

/** What goes wrong between an adapter and its database. None of these texts carries a value of the request. */
export const storeErrors = defineErrors({
  BEDS_STORE_UNAVAILABLE: {
    message: 'The database cannot be reached.',
    status: 'unavailable',
    retryable: true,
    action:
      'Try again later. A write waits for the database until its deadline. Operators: check that the server runs, accepts the account and takes writes.',
  },
  BEDS_STORE_CLOSED: {
    message: 'The connection to the database has been closed because the host is stopping.',
    status: 'unavailable',
    retryable: true,
    action: 'Send the request again. Another node or the restarted host will serve it.',
  },
  BEDS_STORE_OVERLOADED: {
    message: 'Too many calls wait for a database connection.',
    status: 'overloaded',
    retryable: true,
    action: 'Slow down and try again. Operators: raise poolSize or look for slow objects.',
  },
  BEDS_STORE_TIMEOUT: {
    message: 'The database did not finish in time. The statement was stopped and rolled back.',
    status: 'timeout',
    retryable: true,
    action: 'Ask for less or allow more time. DBAs: check how the object uses its indexes.',
  },
  BEDS_STORE_DENIED: {
    message:
      'The runtime account may not use this object, or the object does not exist. The database does not say which.',
    status: 'forbidden',
    action: 'Ask the DBA to grant the object to the runtime account. Reads may not call objects that write.',
  },
  BEDS_STORE_OBJECT_CHANGED: {
    message: 'The named object is missing or was changed since the template was checked.',
    status: 'unavailable',
    retryable: true,
    action: 'Ask the DBA to restore the object, or deploy a template version that fits it.',
  },
  BEDS_STORE_CONFLICT: {
    message: 'A record with this key exists already, or another record depends on this one.',
    status: 'conflict',
    action: 'Read the record first, then decide. The same request will be refused again.',
  },
  BEDS_STORE_INVALID_VALUE: {
    message: 'The named object does not accept a value.',
    status: 'invalid',
    action: 'Correct the named field.',
  },
  BEDS_STORE_RESULT_TOO_LARGE: {
    message: 'The result of one call is larger than the host accepts.',
    status: 'invalid',
    action:
      'Ask for fewer rows with query.limit and follow the cursor. DBAs: return less from the routine. maxResultRows and maxResultBytes of the store are the bounds.',
  },
  BEDS_STORE_VALUE_UNFIT: {
    message: 'The database holds a value that does not fit its type in the template.',
    status: 'fault',
    action: 'Declare the column with a type that fits its values, or have the DBA correct the rows.',
  },
  BEDS_STORE_QUERY_INVALID: {
    message: 'The query does not fit the view.',
    status: 'invalid',
    action: 'Use columns of the view, with values of their types.',
  },
  BEDS_STORE_CURSOR_INVALID: {
    message: 'The cursor does not belong to this query.',
    status: 'invalid',
    action: 'Start again without a cursor. Use a cursor only with the where and order it came from.',
  },
  BEDS_STORE_CURSOR_STUCK: {
    message: 'This view cannot be paged in this order: the cursor does not advance.',
    status: 'fault',
    action:
      'Order by other columns. DBAs: check that the key is unique and that the values of the order columns fit their types in the template.',
  },
  BEDS_STORE_DEADLOCK: {
    message: 'The database rolled this transaction back in favour of another one.',
    status: 'conflict',
    retryable: true,
    action: 'Send the same request again.',
  },
  BEDS_STORE_NOT_SUPPORTED: {
    message: 'The server of this store does not support this.',
    status: 'fault',
    action: 'Do without it, or use a server that supports it. `beds status` shows what each store supports.',
  },
  BEDS_STORE_INDETERMINATE: {
    message: 'The connection was lost during the commit. The change may or may not be saved.',
    status: 'indeterminate',
    action: 'Read the record before you send the change again.',
  },
  BEDS_STORE_TRANSACTION_ENDED: {
    message: 'A routine ended the transaction that it was called in. What was done before that is kept.',
    status: 'indeterminate',
    action:
      'Read the records before you send the change again. DBAs: take START TRANSACTION, COMMIT, ROLLBACK and DDL out of routines that are called in transactions.',
  },
  BEDS_STORE_REFUSED: {
    message: 'The named object refused the request.',
    status: 'invalid',
    action: 'Correct the request as the message says.',
  },
  BEDS_STORE_FORBIDDEN: {
    message: 'The named object does not allow this to the caller.',
    status: 'forbidden',
    action: 'See the message; the same request will be refused again.',
  },
  BEDS_STORE_NOT_FOUND: {
    message: 'The named object finds no such record.',
    status: 'not-found',
    action: 'Check the key; the record may have been deleted.',
  },
  BEDS_STORE_URL_INVALID: {
    message: 'The URL of the store is not valid.',
    status: 'fault',
    action: 'Correct url in [stores.<name>] as the comment in config/beds.toml shows.',
  },
  BEDS_STORE_FAULT: {
    message: 'The database reported an error that BEDS does not know.',
    status: 'fault',
    action: 'Report the error number that the host log shows.',
  },
});
