import { HandOver } from '../../host/amqp/hand-over.js';
import type { Config } from '../../host/config/schema.js';
import { PoisonTracker } from '../../host/request/poison-tracker.js';
import { RequestPath, type RequestPathOptions } from '../../host/request/request-path.js';

type Parts = Pick<RequestPathOptions, 'registry' | 'replies' | 'callers'>;

/** The request path without RabbitMQ, databases and a trail. */
export function bareRequestPath(config: Config, parts: Parts): RequestPath {
  return new RequestPath({
    ...parts,
    node: 'bench',
    config,
    poison: new PoisonTracker(() => undefined),
    gaps: { readSince: (nowMs) => nowMs },
    entering: () => undefined,
    handOver: new HandOver(),
    adapters: new Map(),
  });
}
