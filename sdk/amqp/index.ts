export { connectionErrors, isNack, isRefusal } from './connection-errors.js';
export {
  type ConnectionChange,
  type ConnectionOptions,
  type ConnectionSetup,
  type ConnectionState,
  endConnection,
  SupervisedConnection,
} from './supervised-connection.js';
