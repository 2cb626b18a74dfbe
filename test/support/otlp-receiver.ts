import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { lastFirst, type Teardown } from './services.js';

/** A span as it came over the wire. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly id: string;
  readonly parentId: string;
  readonly state: string;
  readonly name: string;
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly status: { readonly code: number; readonly message: string };
  /** Of the process that it is from. */
  readonly resource: Readonly<Record<string, unknown>>;
}

export interface OtlpReceiver {
  readonly endpoint: string;
  readonly spans: ReceivedSpan[];
  readonly headers: readonly Readonly<Record<string, unknown>>[];
  /** What is answered from now on; `never`: nothing is. */
  answer: number | 'never';
}

/** A collector that takes traces as OTLP over HTTP in protobuf, and remembers them. */
export async function openOtlpReceiver(t: Teardown): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const headers: Readonly<Record<string, unknown>>[] = [];
  const receiver = { endpoint: '', spans, headers, answer: 200 as number | 'never' };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      headers.push(request.headers);
      const { answer } = receiver;
      if (answer === 'never') return;
      const body = Buffer.concat(chunks);
      const isPacked = request.headers['content-encoding'] === 'gzip';
      if (answer === 200) spans.push(...spansIn(isPacked ? gunzipSync(body) : body));
      response.writeHead(answer, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lastFirst(t, () => {
    server.closeAllConnections();
    server.close();
  });
  receiver.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`;
  return receiver;
}

interface Field {
  readonly number: number;
  readonly bytes: Buffer;
  readonly value: bigint;
}

/** The fields of a message, one level deep. https://protobuf.dev/programming-guides/encoding/ */
function fieldsOf(message: Buffer): readonly Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at);
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = Number(varint());
    const [number, type] = [tag >> 3, tag & 7];
    if (type === 0) fields.push({ number, bytes: Buffer.alloc(0), value: varint() });
    else if (type === 2) {
      const length = Number(varint());
      fields.push({ number, bytes: message.subarray(at, at + length), value: 0n });
      at += length;
    } else {
      const length = type === 1 ? 8 : 4;
      const bytes = message.subarray(at, at + length);
      fields.push({ number, bytes, value: length === 8 ? bytes.readBigUInt64LE() : BigInt(bytes.readUInt32LE()) });
      at += length;
    }
  }
  return fields;
}

function all(message: Buffer, number: number): readonly Field[] {
  return fieldsOf(message).filter((field) => field.number === number);
}

function one(message: Buffer, number: number): Field {
  return all(message, number).at(-1) ?? { number, bytes: Buffer.alloc(0), value: 0n };
}

/** Numbers as in opentelemetry/proto/trace/v1/trace.proto. */
function spansIn(body: Buffer): readonly ReceivedSpan[] {
  return all(body, 1).flatMap(({ bytes: resourceSpans }) => {
    const resource = attributesOf(one(resourceSpans, 1).bytes, 1);
    return all(resourceSpans, 2).flatMap(({ bytes: scopeSpans }) =>
      all(scopeSpans, 2).map(({ bytes: span }): ReceivedSpan => {
        const status = one(span, 15).bytes;
        return {
          traceId: one(span, 1).bytes.toString('hex'),
          id: one(span, 2).bytes.toString('hex'),
          parentId: one(span, 4).bytes.toString('hex'),
          state: one(span, 3).bytes.toString(),
          name: one(span, 5).bytes.toString(),
          kind: Number(one(span, 6).value),
          startNs: one(span, 7).value,
          endNs: one(span, 8).value,
          attributes: attributesOf(span, 9),
          status: { message: one(status, 2).bytes.toString(), code: Number(one(status, 3).value) },
          resource,
        };
      }),
    );
  });
}

function attributesOf(message: Buffer, number: number): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    all(message, number).map(({ bytes }) => [one(bytes, 1).bytes.toString(), valueOf(one(bytes, 2).bytes)]),
  );
}

function valueOf(value: Buffer): unknown {
  const [field] = fieldsOf(value);
  if (field === undefined) return undefined;
  if (field.number === 1) return field.bytes.toString();
  if (field.number === 2) return field.value === 1n;
  return field.number === 3 ? Number(field.value) : field.bytes.readDoubleLE();
}
