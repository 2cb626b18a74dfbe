import { type ConnectionOptions, type ConnectionSetup, SupervisedConnection } from '#sdk/amqp';
import { publishConnection } from '../observe/channels.js';
import { connect } from './guarded-amqplib.js';

/** A connection of the host: with the header guard, and told about on the channel of diagnostics. */
export class AmqpConnection extends SupervisedConnection {
  constructor(options: ConnectionOptions, setup: ConnectionSetup) {
    super(options, { connect, onChange: publishConnection }, setup);
  }
}
