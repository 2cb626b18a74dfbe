import { isBedsError } from '@beds/sdk';
import cliProgress from 'cli-progress';
import type { Output } from '../output.js';

/** A bar, or a few lines where nobody is watching. */
export interface Progress {
  advance(by: number): void;
  end(): void;
}

const LINE_EVERY_PERCENT = 25;

/** Tells the story of the demonstration: numbered steps, what happens in each, and how long each took. */
export class Narrator {
  readonly #out: Output;
  readonly #steps: number;
  #step = 0;

  constructor(out: Output, steps: number) {
    this.#out = out;
    this.#steps = steps;
  }

  /** Runs a step between its headline and its time. `work` resolves to the words for its end. */
  async step(title: string, work: () => Promise<string>): Promise<void> {
    this.#step += 1;
    this.#out.line();
    this.#out.line(this.#out.paint('bold', `${String(this.#step)}/${String(this.#steps)}  ${title}`));
    const startedAt = performance.now();
    const words = await work().catch((error: unknown) => {
      if (isBedsError(error)) this.#out.line(`     ${this.#out.paint('red', '✗')} ${error.message}`);
      throw error;
    });
    const took = ((performance.now() - startedAt) / 1_000).toFixed(1);
    this.#out.line(`     ${this.#out.paint('green', '✓')} ${words} ${this.#out.paint('dim', `(${took} s)`)}`);
  }

  /** Something on the way. */
  say(words: string): void {
    this.#out.line(this.#out.paint('dim', `     ${words}`));
  }

  progress(total: number, unit: string): Progress {
    return this.#out.interactive && process.stderr.isTTY ? drawn(total, unit) : this.#spoken(total, unit);
  }

  #spoken(total: number, unit: string): Progress {
    let done = 0;
    let told = 0;
    return {
      advance: (by) => {
        done += by;
        const percent = Math.floor((100 * done) / total);
        if (percent < told + LINE_EVERY_PERCENT) return;
        told = percent;
        this.say(`${String(percent)} % of ${total.toLocaleString('en')} ${unit}`);
      },
      end: () => undefined,
    };
  }
}

function drawn(total: number, unit: string): Progress {
  const bar = new cliProgress.SingleBar({
    format: `     {bar} {percentage} %  {value} of {total} ${unit}  {duration_formatted}`,
    barsize: 32,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false,
    stopOnComplete: false,
    barCompleteChar: '█',
    barIncompleteChar: '░',
  });
  bar.start(total, 0);
  return { advance: (by) => bar.increment(by), end: () => bar.stop() };
}
