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
