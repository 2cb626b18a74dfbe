import type { Delivery } from '../../amqp/queue-consumer.js';
import { publishFault } from '../../observe/channels.js';
import type { OpenBroker } from '../contract.js';
import { readAlert, type SyslogForm, syslogMessage } from './message.js';
import { openTransport, type Server, type Transport } from './transport.js';

type Settings = Server & SyslogForm & { readonly maxMessageBytes: number; readonly maxWaiting: number };

interface Waiting {
  readonly delivery: Delivery;
  readonly message: Buffer;
}

/** Sends one alert after the other. RabbitMQ keeps each until it is sent: another broker goes on with what this one could not send. */
class Sender {
  readonly #settings: Settings;
  readonly #transport: Transport | undefined;
  readonly #waiting: Waiting[] = [];
  #lastFailure = '';
  sent = 0;
  dropped = 0;
  refused = 0;
  failures = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
    if (settings.host === '') return;
    this.#transport = openTransport(settings, {
      onReady: () => this.#send(),
      onFailure: (error) => this.#failed(error),
    });
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** `isFromHost`: nobody else is believed. */
  take(delivery: Delivery, isFromHost: boolean): void {
    const alert = isFromHost ? readAlert(delivery.body) : undefined;
    if (alert === undefined) {
      this.refused += 1;
      delivery.settle('ack');
      return;
    }
    const { maxMessageBytes: maxBytes, maxWaiting } = this.#settings;
    this.#waiting.push({ delivery, message: syslogMessage(alert, { ...this.#settings, maxBytes }) });
    this.#send();
    if (this.#waiting.length <= maxWaiting) return;
    this.#waiting.shift()?.delivery.settle('ack');
    this.dropped += 1;
  }

  close(): void {
    for (const { delivery } of this.#waiting.splice(0)) delivery.settle('requeue');
    this.#transport?.close();
  }

  #send(): void {
    const transport = this.#transport;
    while (transport?.isReady === true) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      transport.send(next.message, (isSent) => this.#sent(next, isSent));
    }
  }

  /** n.b. one whose connection was lost meanwhile goes to RabbitMQ, and comes again. */
  #sent({ delivery }: Waiting, isSent: boolean): void {
    if (isSent) this.sent += 1;
    else if (this.#settings.transport === 'udp') this.dropped += 1;
    delivery.settle(isSent || this.#settings.transport === 'udp' ? 'ack' : 'requeue');
    if (isSent) this.#lastFailure = '';
  }

  /** Said once for each reason, until something was sent again. */
  #failed(error: unknown): void {
    this.failures += 1;
    const words = error instanceof Error ? error.message : 'the server ended the connection';
    if (words === this.#lastFailure) return;
    this.#lastFailure = words;
    publishFault({ where: 'syslog', error: error ?? words });
  }
}

export const open: OpenBroker = ({ plan, isFromHost }) => {
  const sender = new Sender(plan.settings as unknown as Settings);
  return {
    handle: (delivery) => sender.take(delivery, isFromHost(delivery)),
    metrics: () => ({
      beds_admin_syslog_sent_total: sender.sent,
      beds_admin_syslog_dropped_total: sender.dropped,
      beds_admin_syslog_refused_total: sender.refused,
      beds_admin_syslog_failures_total: sender.failures,
      beds_admin_syslog_waiting: sender.waiting,
    }),
    close: () => sender.close(),
  };
};
