import { connect } from 'amqplib';

/** Queues and exchanges outlive a host, as they should; those of a test need not. `queues`: what it has beside those of its domains. */
export async function deleteTopology(
  url: string,
  prefix: string,
  { domains, queues = [] }: { readonly domains: readonly string[]; readonly queues?: readonly string[] },
): Promise<void> {
  const model = await connect(url);
  const channel = await model.createChannel();
  const ofDomains = domains.flatMap((domain) => [`req.${domain}.read`, `req.${domain}.write`]);
  for (const queue of ['unrouted', 'dead', 'domains', ...queues, ...ofDomains])
    await channel.deleteQueue(`${prefix}.${queue}`);
  for (const exchange of ['request', 'unrouted', 'dead', 'event', 'events', 'admin', 'operate']) {
    await channel.deleteExchange(`${prefix}.${exchange}`);
  }
  await model.close();
}
