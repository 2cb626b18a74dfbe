import assert from 'node:assert/strict';

/** A message of RFC 5424, taken apart by its grammar. */
export interface SyslogParts {
  readonly facility: number;
  readonly severity: number;
  readonly timestamp: string;
  readonly hostname: string;
  readonly appName: string;
  readonly procId: string;
  readonly msgId: string;
  readonly data: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly text: string;
}

const HEADER =
  /^<(0|[1-9]\d{0,2})>1 (-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) ([\x21-\x7e]{1,255}) ([\x21-\x7e]{1,48}) ([\x21-\x7e]{1,128}) ([\x21-\x7e]{1,32}) /;
const SD_NAME = '[^\\x00-\\x20\\x7f-\\uffff="\\]]{1,32}';
const PARAM = new RegExp(`^ (${SD_NAME})="((?:[^"\\\\\\]]|\\\\["\\\\\\]])*)"`, 'u');
const BOM = '\uFEFF';

/** Reads it strictly: everything that the grammar does not allow throws. https://www.rfc-editor.org/rfc/rfc5424#section-6 */
export function parseSyslog(bytes: Uint8Array): SyslogParts {
  const whole = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  const header = HEADER.exec(whole);
  assert.ok(header, `no header: ${whole}`);
  const [all, priority, timestamp = '', hostname = '', appName = '', procId = '', msgId = ''] = header;
  assert.ok(Number(priority) <= 191);
  let rest = whole.slice(all.length);
  const data: Record<string, Record<string, string>> = {};
  if (rest.startsWith('-')) rest = rest.slice(1);
  else {
    assert.ok(rest.startsWith('['), `no structured data: ${rest}`);
    while (rest.startsWith('[')) {
      const [element, id = ''] = new RegExp(`^\\[(${SD_NAME})`, 'u').exec(rest) ?? [];
      assert.ok(element !== undefined && /^[^@]+@\d+$/.test(id) && data[id] === undefined, `no name of data: ${rest}`);
      const params: Record<string, string> = {};
      rest = rest.slice(element.length);
      for (let param = PARAM.exec(rest); param !== null; param = PARAM.exec(rest)) {
        const [text, name = '', value = ''] = param;
        params[name] = value.replaceAll(/\\(["\\\]])/g, '$1');
        rest = rest.slice(text.length);
      }
      assert.ok(rest.startsWith(']'), `data does not end: ${rest}`);
      rest = rest.slice(1);
      data[id] = params;
    }
  }
  assert.ok(rest.startsWith(` ${BOM}`), `no text in UTF-8: ${rest}`);
  return {
    ...{ facility: Number(priority) >> 3, severity: Number(priority) & 7 },
    ...{ timestamp, hostname, appName, procId, msgId, data, text: rest.slice(2) },
  };
}
