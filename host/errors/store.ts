import { defineErrors } from '@beds/sdk';

/** What goes wrong between an adapter and its database. None of these texts carries a value of the request. */
export const storeErrors = defineErrors({
  BEDS_STORE_UNAVAILABLE: {
    message: 'The database cannot be reached.',
    status: 'unavailable',
    retryable: true,
    action: 'Try again later; operators: see that the server of the store runs and accepts connections.',
  },
  BEDS_STORE_CLOSED: {
    message: 'The connection to the database has been closed because the host is stopping.',
    status: 'unavailable',
    retryable: true,
    action: 'Send the request again; another node or the restarted host will serve it.',
  },
  BEDS_STORE_OVERLOADED: {
    message: 'Too many calls wait for a database connection.',
    status: 'overloaded',
    retryable: true,
    action: 'Slow down and try again; operators: raise poolSize or look for slow objects.',
  },
  BEDS_STORE_TIMEOUT: {
    message: 'The database did not finish in time; the statement was stopped and nothing of it was kept.',
    status: 'timeout',
    retryable: true,
    action: 'Ask for less or allow more time; DBAs: see how the object uses its indexes.',
  },
  BEDS_STORE_DENIED: {
    message: 'The runtime account may not use this object, or the object is gone: the database does not say which.',
    status: 'forbidden',
    action: 'Ask the DBA to grant the runtime account the object; reads may not call objects that write.',
  },
  BEDS_STORE_OBJECT_CHANGED: {
    message: 'The named object is gone or is no longer what the template was checked against.',
    status: 'unavailable',
    retryable: true,
    action: 'Ask the DBA to restore the object, or deploy a template version that fits it.',
  },
  BEDS_STORE_CONFLICT: {
    message: 'A record with this key exists already, or another record depends on this one.',
    status: 'conflict',
    action: 'Read the record first, then decide; the same request will be refused again.',
  },
  BEDS_STORE_INVALID_VALUE: {
    message: 'A value does not fit what the named object takes.',
    status: 'invalid',
    action: 'Correct the named field.',
  },
  BEDS_STORE_RESULT_TOO_LARGE: {
    message: 'The database gave more for one call than the host takes.',
    status: 'invalid',
    action:
      'Ask for fewer rows with query.limit and follow the cursor; DBAs: let the routine return less. maxResultRows and maxResultBytes of the store are the bounds.',
  },
  BEDS_STORE_VALUE_UNFIT: {
    message: 'The database holds a value that its type in the template cannot say.',
    status: 'fault',
    action: 'Declare the column with a type that holds what is in it, or have the DBA correct the rows.',
  },
  BEDS_STORE_QUERY_INVALID: {
    message: 'The query does not fit the view.',
    status: 'invalid',
    action: 'Use columns of the view, with values of their types.',
  },
  BEDS_STORE_CURSOR_INVALID: {
    message: 'The cursor does not belong to this query.',
    status: 'invalid',
    action: 'Start again without a cursor; pass a cursor only with the where and order it came from.',
  },
  BEDS_STORE_CURSOR_STUCK: {
    message: 'The rows of this view cannot be paged in this order: a page begins again where the page before it ended.',
    status: 'fault',
    action:
      'Order by other columns. DBAs: see that the key names one row, and that no order column holds what its type in the template cannot say.',
  },
  BEDS_STORE_DEADLOCK: {
    message: 'The database gave way to another transaction; nothing of this one was kept.',
    status: 'conflict',
    retryable: true,
    action: 'Send the same request again.',
  },
  BEDS_STORE_NOT_SUPPORTED: {
    message: 'The server behind this store cannot do this.',
    status: 'fault',
    action: 'Do without it, or use a server that can; `beds status` shows what each store can do.',
  },
  BEDS_STORE_INDETERMINATE: {
    message: 'The connection was lost while the change was being committed; it may or may not have been kept.',
    status: 'indeterminate',
    action: 'Read the record to learn the outcome before sending the change again.',
  },
  BEDS_STORE_REFUSED: {
    message: 'The named object refused the request.',
    status: 'invalid',
    action: 'Correct the request as the message says.',
  },
  BEDS_STORE_URL_INVALID: {
    message: 'The URL of the store cannot be used.',
    status: 'fault',
    action: 'Write [stores.<name>] url as the comment in config/beds.toml shows.',
  },
  BEDS_STORE_FAULT: {
    message: 'The database reported an error that BEDS does not know.',
    status: 'fault',
    action: 'See the host log for the error number, and report it.',
  },
});
