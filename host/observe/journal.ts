import { existsSync } from 'node:fs';
import { LogOutput, type LogTaker, priorityOf } from './log.js';

/** Of a unit with a journal of its own (`LogNamespace=`) systemd puts that one here. */
const JOURNAL_SOCKET = '/run/systemd/journal/socket';
/** n.b. the kernel passes on some 200 KB as one datagram, and refuses what is larger. */
const MAX_MESSAGE_BYTES = 100_000;
const MAX_FIELD_BYTES = 1_000;
const encoder = new TextEncoder();

/** n.b. by its name: where nobody has installed it, all that needs it is fields. */
const PACKAGE = 'node-unix-socket';

/** The part of it that is used. */
interface DgramSocket {
  on(event: 'error', listener: () => void): void;
  /** n.b. sends at once: then `onWrite` is called before this returns. */
  sendTo(bytes: Buffer, offset: number, length: number, path: string, onWrite: (error?: Error) => void): void;
  close(): void;
}

/** What a line is found by, by its name in the line. */
const FIELDS: Readonly<Record<string, string>> = {
  node: 'NODE',
  domain: 'DOMAIN',
  version: 'VERSION',
  operation: 'OPERATION',
  requestId: 'REQUEST_ID',
  traceId: 'TRACE_ID',
  code: 'ERROR_CODE',
};

/** journald with the fields of each line; undefined: it is not here, or the package for its socket is none for this machine. */
export async function journalOutput(path = JOURNAL_SOCKET): Promise<LogOutput | undefined> {
  if (!existsSync(path)) return undefined;
  try {
    const { DgramSocket } = (await import(PACKAGE)) as { readonly DgramSocket: new () => DgramSocket };
    return new LogOutput(journalTaker(new DgramSocket(), path));
  } catch {
    // n.b. it is optional: its priorities journald reads from standard output as well.
    return undefined;
  }
}

function journalTaker(socket: DgramSocket, path: string): LogTaker {
  socket.on('error', () => undefined);
  // n.b. what journald does not read at once the package keeps and goes on with: one entry, the others wait in the output.
  let isTaken = true;
  return {
    bytesOf: entryOf,
    write: (bytes) => {
      if (!isTaken) throw coded('EAGAIN');
      let failure: Error | undefined;
      isTaken = false;
      socket.sendTo(bytes, 0, bytes.length, path, (error) => {
        isTaken = true;
        failure = error;
      });
      if (failure !== undefined) throw Object.assign(failure, { code: 'EPIPE' });
      return bytes.length;
    },
    close: () => socket.close(),
  };
}

function coded(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** A line of the log as an entry: https://systemd.io/JOURNAL_NATIVE_PROTOCOL. The line itself stays JSON. */
function entryOf(line: string): Buffer {
  const { level, ...values } = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const { code } = (values['error'] ?? values['err'] ?? {}) as Readonly<Record<string, unknown>>;
  const known: Readonly<Record<string, unknown>> = { code, ...values };
  const fields = Object.entries(FIELDS).flatMap(([name, field]) => {
    const value = known[name];
    return typeof value === 'string' && value !== '' ? fieldOf(field, value) : [];
  });
  const own = [fieldOf('PRIORITY', String(priorityOf(level))), fieldOf('SYSLOG_IDENTIFIER', 'beds')];
  return Buffer.concat([fieldOf('MESSAGE', line.trimEnd(), MAX_MESSAGE_BYTES), ...own, ...fields]);
}

/** n.b. with its length before it: what a line says is of others, and may have line breaks. Whole characters only. */
function fieldOf(name: string, value: string, most = MAX_FIELD_BYTES): Buffer {
  const bytes = new Uint8Array(Math.min(most, value.length * 3));
  const { written } = encoder.encodeInto(value, bytes);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(written));
  return Buffer.concat([Buffer.from(`${name}\n`), length, bytes.subarray(0, written), Buffer.from('\n')]);
}
