import { Access } from '../../host/access/access.js';
import { ProgramPolicy } from '../../host/access/programs.js';
import { HandOver } from '../../host/amqp/hand-over.js';
import type { Config } from '../../host/config/schema.js';
import { requestErrors } from '../../host/errors/request.js';
import { PoisonTracker } from '../../host/request/poison-tracker.js';
import { RequestPath, type RequestPathOptions } from '../../host/request/request-path.js';

type Parts = Pick<RequestPathOptions, 'registry' | 'replies' | 'callers'>;

/** The request path without RabbitMQ, databases and a trail. */
export function bareRequestPath(config: Config, parts: Parts): RequestPath {
  const access = new Access({
    security: config.security,
    resolve: () => Promise.resolve(null),
    listen: () => undefined,
  });
  return new RequestPath({
    ...parts,
    node: 'bench',
    spans: undefined,
    config,
    poison: new PoisonTracker(() => undefined),
    gaps: { readSince: (nowMs) => nowMs },
    remote: {
      call: () => Promise.reject(new TypeError('there is no other node')),
      roleOf: () => undefined,
      absent: () => requestErrors.make('BEDS_REQUEST_ROLE_ABSENT'),
      unbound: () => Promise.resolve(requestErrors.make('BEDS_REQUEST_ROLE_ABSENT')),
    },
    serves: () => true,
    wrote: () => undefined,
    entering: () => undefined,
    handOver: new HandOver(),
    adapters: new Map(),
    access,
    programs: new ProgramPolicy(config.callers, ''),
  });
}
