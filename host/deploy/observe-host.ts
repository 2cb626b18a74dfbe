import type { ConnectionChange } from '#sdk/amqp';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { connectionChannel, type FaultEvent, faultChannel, publishLifecycle } from '../observe/channels.js';
import type { Log } from '../observe/log.js';
import type { History } from './history.js';
import type { Transition } from './state.js';
import type { HostMetrics } from '../metrics/host-metrics.js';

/** Brings what happens on the supervisor's own thread into the log, until the returned function is called. */
export function observeHost(log: Log): () => void {
  const onConnection = (message: unknown): void => {
    const { connection, state, waitMs, error } = message as ConnectionChange;
    const level = state === 'waiting' || state === 'blocked' ? 'warn' : 'debug';
    log[level]({ connection, waitMs, err: error }, `connection ${state}`);
  };
  const onFault = (message: unknown): void => {
    const { where, error, ...rest } = message as FaultEvent;
    log.error({ ...rest, err: error }, `fault in ${where}`);
  };
  subscribe(connectionChannel.name, onConnection);
  subscribe(faultChannel.name, onFault);
  return () => {
    unsubscribe(connectionChannel.name, onConnection);
    unsubscribe(faultChannel.name, onFault);
  };
}

export interface TransitionSinks {
  readonly log: Log;
  readonly history: History | undefined;
  readonly metrics: HostMetrics;
}

/** One change of state: in the durable history, in the log, on the diagnostics channel. */
export function recordTransitions(transition: Transition, { log, history, metrics }: TransitionSinks): void {
  const { domain, generation: _, cause, flipMs, ...view } = transition;
  publishLifecycle(transition);
  metrics.transition(transition);
  log[levelOf(transition)](transition, `${domain} ${view.version} ${view.state}`);
  history?.append({ domain, ...view, ...(cause === undefined ? {} : { cause }) }).catch((error: unknown) => {
    log.error({ err: error }, 'the history could not be written');
  });
}

function levelOf({ state, left, findings = [] }: Transition): 'info' | 'warn' | 'error' {
  if (state === 'rejected' || state === 'quarantined') return 'error';
  return state === 'waiting' || left !== undefined || findings.length > 0 ? 'warn' : 'info';
}
