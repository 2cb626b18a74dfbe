import { Buffer } from 'node:buffer';

const POOL_BYTES = 65_536;
/** Larger ones have memory of their own: what is left of a pool would be wasted for them. */
const MAX_BYTES = 8_192;
/** No character has more bytes in UTF-8, counted per UTF-16 unit. */
const MAX_BYTES_OF_UNIT = 3;
/** A view may be asked to begin at a multiple of this. */
const ALIGNMENT_BYTES = 8;

/**
 * The `Buffer` of the drivers and of the host in a thread where every other buffer has memory of its own: small ones are cut
 * from memory that they share, as everywhere in Node, and that templates cannot come by. A frame of AMQP would cost ten times as much else.
 */
export function makeDriverBuffer(): BufferConstructor {
  const pool = new Pool();
  const own = function Buffer(): never {
    throw new TypeError('Use Buffer.from() or Buffer.alloc().');
  };
  // What is not made otherwise here is Node's.
  Object.setPrototypeOf(own, Buffer);
  return Object.defineProperties(own, {
    prototype: { value: Buffer.prototype as object },
    allocUnsafe: { value: (bytes: number) => (isSmall(bytes) ? pool.cut(bytes) : Buffer.allocUnsafe(bytes)) },
    alloc: {
      value: (...given: Parameters<typeof Buffer.alloc>) =>
        given.length === 1 && isSmall(given[0]) ? pool.cut(given[0]).fill(0) : Buffer.alloc(...given),
    },
    from: {
      value: (...given: [text: string, encoding?: BufferEncoding]) => {
        const [text, encoding = 'utf8'] = given;
        const isText = typeof text === 'string' && encoding === 'utf8';
        return isText && isSmall(text.length * MAX_BYTES_OF_UNIT) ? pool.write(text) : Buffer.from(...given);
      },
    },
  }) as unknown as BufferConstructor;
}

function isSmall(bytes: unknown): boolean {
  return typeof bytes === 'number' && bytes >= 0 && bytes <= MAX_BYTES;
}

class Pool {
  #bytes = Buffer.alloc(POOL_BYTES);
  #used = 0;

  cut(bytes: number): Buffer<ArrayBuffer> {
    this.#reserve(bytes);
    return this.#take(bytes);
  }

  /** Of a text that may have `MAX_BYTES` at most. */
  write(text: string): Buffer<ArrayBuffer> {
    this.#reserve(text.length * MAX_BYTES_OF_UNIT);
    return this.#take(this.#bytes.write(text, this.#used));
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes <= POOL_BYTES) return;
    this.#bytes = Buffer.alloc(POOL_BYTES);
    this.#used = 0;
  }

  #take(bytes: number): Buffer<ArrayBuffer> {
    const taken = this.#bytes.subarray(this.#used, this.#used + bytes);
    this.#used += Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    return taken;
  }
}
