import { defineErrors } from '#sdk/template';

/** What can go wrong between a browser and the dashboard. */
export const dashboardErrors = defineErrors({
  BEDS_DASHBOARD_PORT_TAKEN: {
    message: 'The port of the dashboard is taken.',
    status: 'conflict',
    action: 'Set dashboard.port to a free one, or end what listens there.',
  },
  BEDS_DASHBOARD_TLS_UNUSABLE: {
    message: 'The certificate or the key of the dashboard cannot be used.',
    status: 'invalid',
    action: 'Set dashboard.certificate and dashboard.key to PEM files that belong together and that the host may read.',
  },
  BEDS_DASHBOARD_UNREACHABLE: {
    message: 'The process of the dashboard ended.',
    status: 'unavailable',
    action: 'The log of the host says why. It is started again by itself; requests and rollouts do not need it.',
  },
  BEDS_DASHBOARD_NOT_RUNNING: {
    message: 'No host of this checkout serves a dashboard.',
    status: 'unavailable',
    action: 'Run `npm start`, or set dashboard.enabled and run `beds start`.',
  },
  BEDS_DASHBOARD_HOST_REFUSED: {
    message: 'The dashboard is not known by this name.',
    status: 'forbidden',
    action: 'Use the address that the host printed, or add the name to dashboard.names.',
  },
  BEDS_DASHBOARD_CROSS_SITE: {
    message: 'The request does not come from a page of the dashboard.',
    status: 'forbidden',
    action: 'Use the page itself; a program uses `beds` or AMQP.',
  },
  BEDS_DASHBOARD_SIGNED_OUT: {
    message: 'Nobody is signed in, or the session has ended.',
    status: 'forbidden',
    action: 'Sign in.',
  },
  BEDS_DASHBOARD_KEY_WRONG: {
    message: 'This is not the key of the host.',
    status: 'forbidden',
    action:
      'Use the address that the host printed last, or that `beds dashboard` prints: the key is another one after each start.',
  },
  BEDS_DASHBOARD_SESSIONS_AWAY: {
    message: 'It cannot be found out now who you are: the users or their database do not answer.',
    status: 'unavailable',
    retryable: true,
    action: 'Try again in a moment. `beds status` shows whether the role tercero runs and reaches its store.',
  },
  BEDS_DASHBOARD_TOO_MANY: {
    message: 'Too many at once.',
    status: 'overloaded',
    retryable: true,
    action: 'Wait a minute, then try again.',
  },
  BEDS_DASHBOARD_FORBIDDEN: {
    message: 'Your role does not allow this.',
    status: 'forbidden',
    action: 'Ask an operator, or have an operator give you the role: viewer, operator or dba.',
  },
  BEDS_DASHBOARD_INVALID: {
    message: 'The dashboard cannot read the request.',
    status: 'invalid',
    action: 'Load the page again: it may be of another release.',
  },
  BEDS_DASHBOARD_TOO_LARGE: {
    message: 'That is larger than the dashboard takes.',
    status: 'invalid',
    action: 'plugins.maxBundleBytes bounds a bundle. Drop what `beds build` wrote.',
  },
  BEDS_DASHBOARD_ORDER_LATE: {
    message: 'The order is too old, or the clock of the browser is wrong.',
    status: 'conflict',
    action: 'Look at how things are now, and give the order again.',
  },
  BEDS_DASHBOARD_ORDER_OVERTAKEN: {
    message: 'Another version serves than the one that you saw.',
    status: 'conflict',
    action: 'Look at how things are now, and decide again.',
  },
  BEDS_DASHBOARD_NOTHING_KEPT: {
    message: 'No node keeps this.',
    status: 'unavailable',
    action:
      'Log lines, samples and how objects are used are kept by a node of the role admin, users by one of the role tercero: run one with a store for it. host/OPERATIONS.md says how.',
  },
  BEDS_DASHBOARD_NOT_FOUND: {
    message: 'There is no such page.',
    status: 'not-found',
    action: 'Begin at the overview.',
  },
  BEDS_DASHBOARD_FAULT: {
    message: 'The dashboard failed unexpectedly.',
    status: 'fault',
    action: 'The log of the host has the error and its stack.',
  },
});
