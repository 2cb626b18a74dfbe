import assert from 'node:assert/strict';
import { closedLoop, type Load } from '../measure/load.js';
import { serveParent } from './child.js';

/** What everybody sends, and gets back. */
export const PAYLOAD = {
  text: 'a text that is as long as what people send, give or take',
  number: 42,
  flag: true,
} as const;

/** The same as an envelope of BEDS: about 200 bytes. The bare server gets it ready-made and sends it back as it is. */
export const BODY = Buffer.from(
  JSON.stringify({ v: 1, id: 'b-1', domain: 'echo', op: 'echo', payload: PAYLOAD, meta: { client: 'bench' } }),
);

/** Where an echo is served. */
export interface EchoPlace {
  readonly url: string;
  /** Of the queue, or what the library makes its names from. */
  readonly name: string;
  /** Unacknowledged messages of the server. */
  readonly prefetch: number;
  /** Domains of a host that are asked in turn. Default: echo. */
  readonly domains?: readonly string[];
}

/** A client that is connected. */
export interface EchoClient {
  /** Asks once; resolves to what came back. */
  readonly ask: () => Promise<unknown>;
  /** Finds in it what was sent; default: it is the same. Only the first answer is read so. */
  readonly read?: (reply: never) => unknown;
}

/** One way to write an echo. A process serves or asks, never both. */
export interface EchoWay {
  readonly serve?: (place: EchoPlace) => Promise<unknown>;
  readonly connect: (place: EchoPlace) => Promise<EchoClient>;
  readonly stop: () => Promise<unknown>;
}

/** Makes a program of it that the benchmark can start. */
export function serveEcho({ serve, connect, stop }: EchoWay): void {
  let client: EchoClient | undefined;
  serveParent({
    calls: {
      serve: async (place: EchoPlace) => {
        await serve?.(place);
      },
      connect: async (place: EchoPlace) => {
        client = await connect(place);
        const { ask, read } = client;
        const reply = await ask();
        // A fast wrong answer must not win.
        assert.deepEqual(read === undefined ? reply : read(reply as never), PAYLOAD, 'the echo returns what was sent');
      },
      run: (load: Load) => {
        assert.ok(client, 'connect comes first');
        return closedLoop(client.ask, load);
      },
    },
    stop,
  });
}
