/** One alert of a node, as it is sent. */
export interface Alert {
  readonly kind: string;
  readonly node: string;
  /** ISO 8601 */
  readonly at: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

export interface SyslogForm {
  readonly facility: number;
  readonly enterpriseNumber: number;
  readonly maxBytes: number;
}

/** Severities of RFC 5424, by the kind of the alert. */
const SEVERITIES: Readonly<Record<string, number>> = {
  'store-lost': 2,
  'thread-ended': 3,
  quarantined: 3,
  'rolled-back': 4,
  'dead-letter': 4,
  'store-back': 5,
};
const WARNING = 4;
const BOM = '\uFEFF';
const MAX_VALUE_CHARACTERS = 200;
const NONE = '-';

/** https://www.rfc-editor.org/rfc/rfc5424#section-6 */
export function syslogMessage(alert: Alert, { facility, enterpriseNumber, maxBytes }: SyslogForm): Buffer {
  const { kind, node, at, message, fields } = alert;
  const priority = facility * 8 + (SEVERITIES[kind] ?? WARNING);
  const head = [`<${String(priority)}>1`, stamp(at), name(node, 255), 'beds', NONE, name(kind, 32)].join(' ');
  const params = Object.entries(fields).map(([key, value]) => `${paramName(key)}="${paramValue(String(value))}"`);
  const id = `beds@${String(enterpriseNumber)}`;
  // n.b. a message must not grow beyond the bound by its data: then there is less of that.
  let data = NONE;
  for (let count = params.length; count > 0; count -= 1) {
    const all = `[${[id, ...params.slice(0, count)].join(' ')}]`;
    if (Buffer.byteLength(`${head} ${all} ${BOM}`) > maxBytes / 2) continue;
    data = all;
    break;
  }
  return cutText(Buffer.from(`${head} ${data} ${BOM}${oneLine(message)}`), maxBytes);
}

/** n.b. at most microseconds, and an instant that cannot be read is none. */
function stamp(at: string): string {
  const ms = Date.parse(at);
  return Number.isNaN(ms) ? NONE : new Date(ms).toISOString();
}

/** Printable ASCII without blanks. */
function name(text: string, most: number): string {
  const safe = text.replaceAll(/[^\x21-\x7e]/g, '_').slice(0, most);
  return safe === '' ? NONE : safe;
}

function paramName(text: string): string {
  return name(text, 32).replaceAll(/[="\]]/g, '_');
}

function paramValue(text: string): string {
  return oneLine(text.slice(0, MAX_VALUE_CHARACTERS)).replaceAll(/["\\\]]/g, '\\$&');
}

/** n.b. servers write a line each: one that had a line break in it could forge the next. Half a pair cannot be written. */
function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex -- They are what must not be sent.
  return text.toWellFormed().replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ');
}

/** n.b. in front of a byte that begins a character. */
function cutText(bytes: Buffer, most: number): Buffer {
  if (bytes.length <= most) return bytes;
  let end = most;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}

/** What a node published. n.b. whoever may publish may publish anything. Undefined: it is no alert. */
export function readAlert(body: Buffer): Alert | undefined {
  try {
    const { node, at, data } = JSON.parse(body.toString()) as Readonly<Record<'node' | 'at' | 'data', unknown>>;
    const { kind, message, ...rest } = data as Readonly<Record<string, unknown>>;
    if (![node, at, kind, message].every((text) => typeof text === 'string')) return undefined;
    const fields = Object.entries(rest).filter(
      (entry): entry is [string, string | number] => typeof entry[1] === 'string' || typeof entry[1] === 'number',
    );
    return {
      ...{ kind: String(kind), node: String(node), at: String(at), message: String(message) },
      fields: Object.fromEntries(fields.slice(0, 20)),
    };
  } catch {
    return undefined;
  }
}
