import { createServer, connect as connectTcp, type AddressInfo, type Server, type Socket } from 'node:net';

/** What happens to connections from now on. */
export interface Chaos {
  /** Cut a connection after this many bytes from the server. */
  readonly cutAfterBytes?: number;
  /** Accept connections and pass nothing on. */
  readonly blackhole?: boolean;
  /** What the server says comes this much later. */
  readonly delayMs?: number;
}

/** A TCP proxy on a loopback port that misbehaves on demand, between the host and a server. */
export class ChaosProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #chaos: Chaos = {};
  #connections = 0;

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.#server = createServer((client) => {
      this.#connections += 1;
      this.#pipe(client, connectTcp(target));
    });
  }

  /** Listens on a free port in front of `target`. Close it when done. */
  static async start(target: { readonly host: string; readonly port: number }): Promise<ChaosProxy> {
    const proxy = new ChaosProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections accepted so far. */
  get connections(): number {
    return this.#connections;
  }

  /** The same URL, through the proxy. */
  through(url: string): string {
    const target = new URL(url);
    target.hostname = '127.0.0.1';
    target.port = String(this.port);
    return target.href;
  }

  /** Applies to connections made from now on. */
  misbehave(chaos: Chaos): void {
    this.#chaos = chaos;
  }

  /** Resets every open connection. */
  cut(): void {
    this.#sockets.forEach(reset);
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pipe(client: Socket, server: Socket): void {
    const { cutAfterBytes = Infinity, blackhole = false, delayMs = 0 } = this.#chaos;
    let passed = 0;
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.on('data', (bytes: Buffer) => {
        if (blackhole) return;
        if (from === server) passed += bytes.length;
        if (passed > cutAfterBytes) reset(client);
        else if (from === server && delayMs > 0) setTimeout(() => to.write(bytes), delayMs);
        else to.write(bytes);
      });
    }
  }
}

/** n.b. Node lets go of a socket that is being shut down without closing it, and the process then spins instead of ending. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
