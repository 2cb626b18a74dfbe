import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
// First, as in a process that also holds a client: the guard must not depend on who loads amqplib before.
import 'amqplib';
import { connect, isHarmlessTable, MALFORMED_HEADERS, MAX_HEADER_DEPTH } from '../host/amqp/guarded-amqplib.js';
import { sharedServices } from './support/services.js';

interface Codec {
  encodeTable(buffer: Buffer, table: Record<string, unknown>, offset: number): number;
}

const require = createRequire(import.meta.url);
const { encodeTable } = require(join(dirname(require.resolve('amqplib')), 'lib', 'codec.js')) as Codec;

/** A field table nested `depth` deep, written by hand: amqplib's encoder is recursive too. */
function nestedTable(depth: number, kind: 'F' | 'A' = 'F'): Buffer {
  let inner = Buffer.alloc(0);
  for (let level = 1; level < depth; level++) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(inner.length);
    const isOutermost = level === depth - 1;
    const key = kind === 'F' || isOutermost ? Buffer.from([1, 0x74]) : Buffer.alloc(0);
    inner = Buffer.concat([key, Buffer.from(kind), length, inner]);
  }
  return inner;
}

function encode(table: Record<string, unknown>): Buffer {
  const buffer = Buffer.alloc(65_536);
  return buffer.subarray(4, encodeTable(buffer, table, 0));
}

describe('the header guard', () => {
  it('lets tables through up to its depth and no deeper', () => {
    assert.equal(isHarmlessTable(nestedTable(MAX_HEADER_DEPTH)), true);
    for (const depth of [MAX_HEADER_DEPTH + 1, 1_000, 20_000]) {
      assert.equal(isHarmlessTable(nestedTable(depth)), false, `tables, depth ${String(depth)}`);
      assert.equal(isHarmlessTable(nestedTable(depth, 'A')), false, `arrays, depth ${String(depth)}`);
    }
  });

  it('refuses __proto__ as a name at any depth', () => {
    const name = Buffer.concat([Buffer.from([9]), Buffer.from('__proto__'), Buffer.from('F\0\0\0\0')]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(name.length);
    assert.equal(isHarmlessTable(name), false);
    assert.equal(isHarmlessTable(Buffer.concat([Buffer.from([1, 0x61]), Buffer.from('F'), length, name])), false);
  });

  it('lets every ordinary value through', () => {
    const table = {
      text: 'é'.repeat(40),
      small: 7,
      negative: -70_000,
      large: 2 ** 40,
      fraction: 1.5,
      yes: true,
      nothing: null,
      bytes: Buffer.from('x'),
      list: [1, 'two', [3], { four: 4 }],
      table: { a: { b: { c: 1 } } },
      time: { '!': 'timestamp', value: 1 },
      price: { '!': 'decimal', value: { places: 2, digits: 314 } },
    };
    assert.equal(isHarmlessTable(encode(table)), true);
    assert.equal(isHarmlessTable(Buffer.alloc(0)), true);
  });
});

describe('a message with a header bomb', async () => {
  const { rabbitmq } = await sharedServices(['rabbitmq']);

  it('is delivered with a mark in place of its headers, and the connection stays', async (t) => {
    assert.ok(rabbitmq);
    const connection = await connect(rabbitmq.url, { noDelay: true, timeout: 5_000 });
    t.after(() => connection.close());
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    let headers: Record<string, unknown> = {};
    for (let depth = 0; depth < 1_000; depth++) headers = { t: headers };
    channel.sendToQueue(queue, Buffer.from('bomb'), { headers });
    channel.sendToQueue(queue, Buffer.from('plain'), { headers: { a: 1 } });
    const seen: unknown[] = [];
    await new Promise<void>((resolve, reject) => {
      connection.on('error', reject);
      void channel.consume(queue, (message) => {
        if (message === null) return;
        seen.push(message.properties.headers);
        channel.ack(message);
        if (seen.length === 2) resolve();
      });
    });
    assert.deepEqual(seen, [{ [MALFORMED_HEADERS]: true }, { a: 1 }]);
  });
});
