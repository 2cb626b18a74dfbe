import { subscribe } from 'node:diagnostics_channel';
import { isBedsError } from '@beds/sdk';
import type { EventPublisher } from '../amqp/event-publisher.js';
import {
  type BrokerEvent,
  brokerChannel,
  type ConnectionEvent,
  connectionChannel,
  type FaultEvent,
  faultChannel,
  type StoreLimitEvent,
  storeLimitChannel,
  type TemplateLogEvent,
  templateLogChannel,
  type WritesEvent,
  writesChannel,
} from '../observe/channels.js';
import type { LogLevel, ThreadMessage } from './protocol.js';

type LogMessage = Extract<ThreadMessage, { kind: 'log' }>;

/** Subscribes to what happens in this thread and sends it to the supervisor's log; faults become events as well. */
export function forwardObservations(send: (message: LogMessage) => void, events: EventPublisher): void {
  const log = (level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>): void => {
    send({ kind: 'log', level, message, fields });
  };
  subscribe(connectionChannel.name, (message) => {
    const { connection, state, waitMs, error } = message as ConnectionEvent;
    const level = state === 'waiting' || state === 'blocked' ? 'warn' : 'debug';
    log(level, `connection ${state}`, { connection, waitMs, error: describe(error) });
  });
  subscribe(brokerChannel.name, (message) => {
    const { broker, event, queue, error } = message as BrokerEvent;
    log(event === 'consuming' ? 'debug' : 'warn', `broker ${event}`, { broker, queue, error: describe(error) });
  });
  subscribe(faultChannel.name, (message) => {
    const { where, error, domain, version, hash, requestId } = message as FaultEvent;
    log('error', `fault in ${where}`, { domain, version, hash, requestId, error: describe(error) });
    events.publish({ topic: `fault.${domain ?? 'host'}`, data: { where, domain, version, hash, requestId } });
  });
  subscribe(storeLimitChannel.name, (message) => {
    const { reason, ...fields } = message as StoreLimitEvent;
    log('debug', `calls at once: ${reason}`, fields);
  });
  subscribe(writesChannel.name, (message) => {
    const { event, domain, store, code, error } = message as WritesEvent;
    if (event === 'waiting') log('warn', `writes of ${domain} wait for store ${store}`, { domain, store, code, error });
    else log('info', `writes of ${domain} go on`, { domain, store });
  });
  subscribe(templateLogChannel.name, (message) => {
    const { level, fields, message: text, ...rest } = message as TemplateLogEvent;
    log(level, text, { ...rest, fields });
  });
}

function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = isBedsError(error) ? error.code : (error as { code?: unknown }).code;
  return { message: error.message, ...(code === undefined ? {} : { code }), stack: error.stack };
}
