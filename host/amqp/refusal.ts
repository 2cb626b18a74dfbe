/**
 * Whether RabbitMQ itself closed the channel or the connection, and said why: then an error has the number of AMQP's reply code. A socket
 * that is lost has none, or a name in its place.
 */
export function isRefusal(error: unknown): boolean {
  return typeof (error as { readonly code?: unknown } | undefined)?.code === 'number';
}
