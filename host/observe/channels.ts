import { channel } from 'node:diagnostics_channel';
import type { ConnectionChange } from '#sdk/amqp';
import { readable } from '../errors/thrown.js';

/**
 * Everything the host says about itself. Low layers publish here; the log, the metrics and the status subscribe. A channel
 * without a subscriber costs a call.
 */

export interface BrokerEvent {
  readonly broker: string;
  readonly event: 'channel-lost' | 'consumer-cancelled' | 'queue-missing' | 'queue-refused' | 'consuming' | 'failed';
  readonly queue?: string;
  readonly error?: unknown;
}

/** A fault of the host or of a template, with what is needed to find it. */
export interface FaultEvent {
  readonly where: string;
  readonly error: unknown;
  readonly domain?: string;
  readonly version?: string;
  /** Names the bytes of that version. */
  readonly hash?: string;
  readonly requestId?: string;
  /** What its caller said, for logs of several systems to be put together by. */
  readonly traceparent?: string | undefined;
}

export interface TemplateLogEvent {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly domain: string;
  readonly version: string;
  /** Absent where the code printed it: what runs beside requests belongs to none. */
  readonly requestId?: string;
  /** What its caller said. */
  readonly traceparent?: string | undefined;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A version of a domain changed its state. */
export interface LifecycleEvent {
  readonly domain: string;
  readonly version: string;
  /** Names the bytes; empty where they could not be read. */
  readonly hash: string;
  readonly state: string;
  readonly generation?: number;
  readonly findings?: readonly { readonly code: string; readonly message: string; readonly hint?: string }[];
  /** Milliseconds since the bytes were complete in the plugin directory. */
  readonly ms?: number;
}

/** Writes of a domain wait for a store that is away, or no longer do. */
export interface WritesEvent {
  readonly event: 'waiting' | 'going-on';
  readonly domain: string;
  readonly store: string;
  /** What the store said. */
  readonly code: string;
  readonly error: string;
}

export const connectionChannel = channel('beds:connection');
export const brokerChannel = channel('beds:broker');
export const faultChannel = channel('beds:fault');
export const templateLogChannel = channel('beds:template.log');
export const writesChannel = channel('beds:writes');
export const lifecycleChannel = channel('beds:lifecycle');

// n.b. publishing on a channel without a subscriber does nothing.
export const publishConnection = (event: ConnectionChange): void => connectionChannel.publish(event);
export const publishBroker = (event: BrokerEvent): void => brokerChannel.publish(event);
export const publishFault = (event: FaultEvent): void => faultChannel.publish(event);
export const publishTemplateLog = (event: TemplateLogEvent): void => templateLogChannel.publish(event);
export const publishWrites = (event: WritesEvent): void => writesChannel.publish(event);

/** One line of a log is not the place for more. */
const MAX_CHARACTERS = 8_192;

/** What code gives to one line of the log: its lines are counted, and none of them may be of any length. */
export function shorten(text: string): string {
  const given = readable(text);
  return given.length > MAX_CHARACTERS ? `${given.slice(0, MAX_CHARACTERS)}…` : given;
}
