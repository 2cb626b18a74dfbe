import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, isIPv6, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { backoffMs } from '#sdk/time';

export interface Server {
  readonly host: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp' | 'tls';
  /** Empty: the certificates that Node knows. */
  readonly caFile: string;
}

/** Sends messages to a server. */
export interface Transport {
  /** Whether a message can be sent now. */
  readonly isReady: boolean;
  /** `onSent`: the system has taken it, or not. */
  send(message: Buffer, onSent: (isSent: boolean) => void): void;
  close(): void;
}

export interface TransportEvents {
  /** Messages can be sent again. */
  readonly onReady: () => void;
  readonly onFailure: (error: unknown) => void;
}

export function openTransport(server: Server, events: TransportEvents): Transport {
  return server.transport === 'udp' ? new Datagrams(server, events) : new Stream(server, events);
}

/** https://www.rfc-editor.org/rfc/rfc5426 */
class Datagrams implements Transport {
  readonly isReady = true;
  readonly #server: Server;
  readonly #events: TransportEvents;
  #socket: DatagramSocket | undefined;

  constructor(server: Server, events: TransportEvents) {
    this.#server = server;
    this.#events = events;
  }

  send(message: Buffer, onSent: (isSent: boolean) => void): void {
    const { host, port } = this.#server;
    this.#socket ??= this.#open();
    this.#socket.send(message, port, host, (error) => {
      if (error !== null) this.#events.onFailure(error);
      // n.b. nobody ever knows whether a datagram arrives: one that cannot be sent is not tried again.
      onSent(error === null);
    });
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  #open(): DatagramSocket {
    const socket = createSocket(isIPv6(this.#server.host) ? 'udp6' : 'udp4');
    socket.on('error', (error) => this.#events.onFailure(error));
    socket.unref();
    return socket;
  }
}

const CONNECT_MS = 10_000;
const RETRY = { minMs: 200, maxMs: 15_000 } as const;
const KEEP_ALIVE_MS = 30_000;

/** With the length of each message before it. https://www.rfc-editor.org/rfc/rfc6587#section-3.4.1, https://www.rfc-editor.org/rfc/rfc5425 */
class Stream implements Transport {
  readonly #server: Server;
  readonly #events: TransportEvents;
  #socket: Socket | undefined;
  #isOpen = false;
  #attempt = 0;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(server: Server, events: TransportEvents) {
    this.#server = server;
    this.#events = events;
    this.#connect();
  }

  get isReady(): boolean {
    return this.#isOpen && this.#socket?.writableNeedDrain === false;
  }

  send(message: Buffer, onSent: (isSent: boolean) => void): void {
    const length = Buffer.from(`${String(message.length)} `);
    this.#socket?.write(Buffer.concat([length, message]), (error) => onSent(error === undefined || error === null));
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#socket?.end();
    this.#socket?.destroySoon();
  }

  #connect(): void {
    let socket: Socket;
    try {
      socket = this.#open();
    } catch (error) {
      // The file of certificates cannot be read.
      this.#lost(error);
      return;
    }
    this.#socket = socket;
    let reason: unknown;
    socket.setTimeout(CONNECT_MS, () => {
      if (!this.#isOpen) socket.destroy(new Error('The server did not answer.'));
    });
    socket.once(this.#server.transport === 'tls' ? 'secureConnect' : 'connect', () => {
      socket.setTimeout(0);
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      this.#isOpen = true;
      this.#attempt = 0;
      this.#events.onReady();
    });
    socket.on('drain', () => this.#events.onReady());
    socket.on('error', (error) => (reason = error));
    // n.b. nothing is ever said by the server; unread, its end would not be seen.
    socket.resume();
    socket.once('close', () => {
      if (this.#socket === socket) this.#lost(reason);
    });
  }

  #open(): Socket {
    const { host, port, transport, caFile } = this.#server;
    if (transport === 'tcp') return connectTcp({ host, port, noDelay: true });
    const ca = caFile === '' ? {} : { ca: readFileSync(caFile) };
    return connectTls({ host, port, ...(isIPv6(host) || /^[\d.]+$/.test(host) ? {} : { servername: host }), ...ca });
  }

  #lost(reason: unknown): void {
    this.#isOpen = false;
    this.#socket = undefined;
    if (this.#isClosed) return;
    this.#events.onFailure(reason);
    this.#retry = setTimeout(() => this.#connect(), backoffMs(this.#attempt, RETRY));
    this.#attempt += 1;
  }
}
