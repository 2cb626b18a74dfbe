import type { OperationMode } from '@beds/sdk';

/** Every exchange and queue name of a host, from its configured prefix. */
export interface Names {
  readonly prefix: string;
  /** Topic exchange; routing key `<domain>.<operation>`. */
  readonly requests: string;
  /** Alternate exchange of `requests`, and the queue behind it: requests that no domain is bound for. */
  readonly unrouted: string;
  /** Exchange and queue of rejected messages. */
  readonly dead: string;
  /** Queue of the names of all domains that have queues: nobody consumes it, and RabbitMQ tells no names otherwise. */
  readonly domains: string;
  /** Topic exchange of events. */
  readonly events: string;
  /** Topic exchange of what happened in domains: `session.revoked`. */
  readonly happened: string;
  /** Fanout exchange that reaches every host with a query of an administrator. */
  readonly admin: string;
  /** Fanout exchange that reaches every host with a command of an administrator. */
  readonly operate: string;
  /** Queue of what operators send, where an admin node runs. */
  readonly desk: string;
  /** Queue of what nodes report, where an admin node runs. */
  readonly fleet: string;
  queue(domain: string, mode: OperationMode): string;
}

export function makeNames(prefix: string): Names {
  return {
    prefix,
    requests: `${prefix}.request`,
    unrouted: `${prefix}.unrouted`,
    dead: `${prefix}.dead`,
    domains: `${prefix}.domains`,
    events: `${prefix}.event`,
    happened: `${prefix}.events`,
    admin: `${prefix}.admin`,
    operate: `${prefix}.operate`,
    desk: `${prefix}.admin.in`,
    fleet: `${prefix}.admin.out`,
    queue: (domain, mode) => `${prefix}.req.${domain}.${mode}`,
  };
}
