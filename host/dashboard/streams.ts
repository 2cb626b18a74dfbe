import type { ServerResponse } from 'node:http';
import { dashboardErrors } from '../errors/dashboard.js';
import type { Board } from './board.js';
import type { Sample } from './contract.js';
import { accountOf, type Identities, type Person, tokensOf } from './identities.js';

interface Stream {
  readonly response: ServerResponse;
  readonly person: Person;
  /** Whether it ends before its token does, so that the browser comes back with the next one. n.b. one that came back with the same token stays. */
  readonly isRenewed: boolean;
  /** Of the board, that was sent last. */
  revision: number;
  /** Milliseconds since 1970: since then the browser takes nothing. */
  stuckSinceMs: number | undefined;
}

const MAX_STREAMS = 500;
/** Nobody takes the places of all others. */
const MAX_OF_ACCOUNT = 60;
const BEAT_MS = 5_000;
/** n.b. what is written to an open stream brings no cookie: its token is exchanged when the browser comes back. */
const RENEW_BEFORE_MS = 300_000;
/** A browser that takes nothing for so long is let go; it comes back by itself and goes on where it was. */
const STUCK_MS = 20_000;

/** The browsers that watch. What one of them does not take is not kept for it: it is given the newest state later. */
export class Streams {
  readonly #board: Board;
  readonly #identities: Pick<Identities, 'check'>;
  readonly #onWatched: (isWatched: boolean) => void;
  readonly #streams = new Set<Stream>();
  readonly #beat = setInterval(() => this.#tend(), BEAT_MS);

  constructor(board: Board, identities: Pick<Identities, 'check'>, onWatched: (isWatched: boolean) => void) {
    this.#board = board;
    this.#identities = identities;
    this.#onWatched = onWatched;
  }

  get size(): number {
    return this.#streams.size;
  }

  /** The token of somebody who watches with an account. */
  get someToken(): string | undefined {
    for (const { person } of this.#streams) {
      const { token } = tokensOf(person.cookie);
      if (token !== '') return token;
    }
    return undefined;
  }

  /** Throws BEDS_DASHBOARD_TOO_MANY before anything is written. */
  open(response: ServerResponse, person: Person, since: string | undefined): void {
    const account = accountOf(person);
    const ofAccount = [...this.#streams].filter((each) => accountOf(each.person) === account).length;
    if (this.#streams.size >= MAX_STREAMS || ofAccount >= MAX_OF_ACCOUNT)
      throw dashboardErrors.make('BEDS_DASHBOARD_TOO_MANY');
    const isRenewed = !isSoonOver(person, Date.now());
    const revision = this.#board.revisionOf(since);
    const stream: Stream = { response, person, isRenewed, revision, stuckSinceMs: undefined };
    response.writeHead(200, { ...headersOf(response), 'content-type': 'text/event-stream; charset=utf-8' });
    response.write('retry: 1000\n\n');
    this.#streams.add(stream);
    this.#onWatched(true);
    response.on('drain', () => {
      stream.stuckSinceMs = undefined;
      this.#bringUpToDate(stream);
    });
    response.on('error', () => this.#close(stream));
    response.on('close', () => this.#close(stream));
    this.#bringUpToDate(stream);
  }

  /** The board has changed. */
  changed(): void {
    for (const stream of this.#streams) this.#bringUpToDate(stream);
  }

  sample(sample: Sample): void {
    const event = `event: sample\ndata: ${JSON.stringify(sample)}\n\n`;
    for (const stream of this.#streams) this.#write(stream, event);
  }

  close(): void {
    clearInterval(this.#beat);
    for (const stream of this.#streams) this.#close(stream);
  }

  #bringUpToDate(stream: Stream): void {
    if (stream.revision === this.#board.revision) return;
    if (this.#write(stream, this.#board.eventSince(stream.revision))) stream.revision = this.#board.revision;
  }

  /** False: it is not taken now, and not kept. */
  #write(stream: Stream, text: string): boolean {
    if (stream.stuckSinceMs !== undefined || stream.response.writableEnded) return false;
    if (!stream.response.write(text)) stream.stuckSinceMs = Date.now();
    return true;
  }

  #tend(): void {
    const now = Date.now();
    for (const stream of this.#streams) {
      if (stream.stuckSinceMs !== undefined && now - stream.stuckSinceMs > STUCK_MS) stream.response.destroy();
      else if (stream.isRenewed && isSoonOver(stream.person, now)) this.#close(stream);
      else this.#write(stream, 'event: beat\ndata: {}\n\n');
      if (!this.#streams.has(stream)) continue;
      this.#identities.check(stream.person).catch(() => {
        this.#write(stream, 'event: signed-out\ndata: {}\n\n');
        this.#close(stream);
      });
    }
  }

  #close(stream: Stream): void {
    if (!this.#streams.delete(stream)) return;
    if (stream.stuckSinceMs !== undefined) stream.response.destroy();
    else stream.response.end();
    this.#onWatched(this.#streams.size > 0);
  }
}

function isSoonOver({ cookie, expiresAtMs }: Person, nowMs: number): boolean {
  return tokensOf(cookie).refresh !== '' && expiresAtMs - nowMs < RENEW_BEFORE_MS;
}

/** What was set before the framework handed the response over. */
function headersOf(response: ServerResponse): Readonly<Record<string, string | number | string[] | undefined>> {
  return { ...response.getHeaders() };
}
