import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** Stands before the server, and can make it one that takes connections and says nothing. */
export class StallingProxy {
  readonly url: string;
  readonly #target: URL;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #stalled = false;

  private constructor(target: URL, port: number) {
    const through = new URL(target);
    through.host = `127.0.0.1:${port}`;
    this.url = through.href;
    this.#target = target;
  }

  static async start(t: TestContext, url: string): Promise<StallingProxy> {
    const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new StallingProxy(new URL(url), (server.address() as AddressInfo).port);
    server.on('connection', (near) => proxy.#join(near));
    t.after(() => {
      proxy.cut();
      server.close();
    });
    return proxy;
  }

  #join(near: Socket): void {
    const { hostname, port } = this.#target;
    const pair = [near, connect(Number(port), hostname)] as const;
    this.#pairs.add(pair);
    for (const socket of pair) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#pairs.delete(pair);
        for (const each of pair) each.destroy();
      });
    }
    if (!this.#stalled) near.pipe(pair[1]).pipe(near);
  }

  /** From now on nothing passes, on old connections and new ones. */
  stall(): void {
    this.#stalled = true;
    for (const socket of [...this.#pairs].flat()) socket.unpipe().pause();
  }

  /** Ends the connections that there are. */
  cut(): void {
    for (const socket of [...this.#pairs].flat()) socket.destroy();
  }

  resume(): void {
    this.#stalled = false;
    for (const [near, far] of this.#pairs) near.pipe(far).pipe(near);
  }
}
