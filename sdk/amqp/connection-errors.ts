import { defineErrors } from '../template/errors.js';

/** What keeps a connection to RabbitMQ from being up. The client of the SDK says it in codes of its own, with these as the cause. */
export const connectionErrors = defineErrors({
  BEDS_AMQP_UNAVAILABLE: {
    message: 'RabbitMQ cannot be reached.',
    status: 'unavailable',
    retryable: true,
    action: 'Check that RabbitMQ runs and that amqp.url names its host, port, virtual host and account.',
  },
  BEDS_AMQP_SETUP_TIMEOUT: {
    message: 'RabbitMQ accepted the connection but did not complete the setup in time.',
    status: 'unavailable',
    retryable: true,
    action: 'Check the load and the alarms of RabbitMQ. If it is only slow, raise amqp.connectTimeoutMs.',
  },
});

/**
 * Whether RabbitMQ itself closed the channel or the connection, and said why: then an error has the number of AMQP's reply code. A socket
 * that is lost has none, or a name in its place.
 */
export function isRefusal(error: unknown): boolean {
  return typeof (error as { readonly code?: unknown } | undefined)?.code === 'number';
}

/** Whether RabbitMQ did not take a message and goes on, and not that the channel is gone. So amqplib tells it who waits for a confirm. */
export function isNack(error: unknown): boolean {
  return error instanceof Error && error.message === 'message nacked';
}
