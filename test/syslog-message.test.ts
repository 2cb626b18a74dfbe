import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Alert, readAlert, syslogMessage } from '../host/brokers/admin-syslog/message.js';
import { parseSyslog } from './support/syslog-parser.js';

const FORM = { facility: 16, enterpriseNumber: 32_473, maxBytes: 2_048 };
const ALERT: Alert = {
  kind: 'thread-ended',
  node: 'node-1',
  at: '2026-11-30T05:00:00.123Z',
  message: 'Broker thread default-1 ended: exit code 1',
  fields: { domain: 'cities', version: '1.0.0' },
};

describe('a syslog message', () => {
  it('is what RFC 5424 says', () => {
    const message = syslogMessage(ALERT, FORM);
    assert.deepEqual(parseSyslog(message), {
      facility: 16,
      severity: 3,
      timestamp: '2026-11-30T05:00:00.123Z',
      hostname: 'node-1',
      appName: 'beds',
      procId: '-',
      msgId: 'thread-ended',
      data: { 'beds@32473': { domain: 'cities', version: '1.0.0' } },
      text: 'Broker thread default-1 ended: exit code 1',
    });
  });

  it('gives values back as they were, and lets nothing end them early', () => {
    const evil = 'a]"\\ "][x@1 y="z"] \\" ü 你好';
    const { data } = parseSyslog(syslogMessage({ ...ALERT, fields: { evil, 'a=b ]"': 'c' } }, FORM));
    assert.deepEqual(data, { 'beds@32473': { evil, a_b___: 'c' } });
  });

  it('is one line, whatever it says', () => {
    const message = 'one\n<13>1 - forged - - - - two\r\u2028three\u0000\u009b31m\ud800';
    const { text } = parseSyslog(syslogMessage({ ...ALERT, message, fields: { message } }, FORM));
    assert.equal(text, 'one <13>1 - forged - - - - two three 31m\ufffd');
  });

  it('has names that are allowed, whatever the node is called', () => {
    const parsed = parseSyslog(
      syslogMessage({ ...ALERT, node: 'Knoten 1 ü', kind: 'x'.repeat(50), at: 'yesterday', fields: {} }, FORM),
    );
    assert.equal(parsed.hostname, 'Knoten_1__');
    assert.equal(parsed.msgId, 'x'.repeat(32));
    assert.equal(parsed.timestamp, '-');
    assert.deepEqual(parsed.data, {});
    assert.equal(parseSyslog(syslogMessage({ ...ALERT, node: '' }, FORM)).hostname, '-');
  });

  it('is not longer than the server takes, and is cut between characters', () => {
    for (let maxBytes = 480; maxBytes < 490; maxBytes += 1) {
      const fields = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`f${String(n)}`, 'ü'.repeat(100)]));
      const message = syslogMessage({ ...ALERT, message: '語'.repeat(500), fields }, { ...FORM, maxBytes });
      assert.ok(message.length <= maxBytes && message.length > maxBytes - 3, String(message.length));
      assert.match(parseSyslog(message).text, /^語+$/);
    }
  });

  it('is made only of what a node tells', () => {
    const wrong = [
      '',
      'null',
      '[]',
      '{}',
      '{"node":"n","at":"x","data":{"kind":1,"message":"m"}}',
      '{"node":"n","at":"x"}',
    ];
    for (const body of wrong) assert.equal(readAlert(Buffer.from(body)), undefined, body);
    const body = {
      v: 1,
      at: 'now',
      node: 'n',
      topic: 't',
      data: { kind: 'k', message: 'm', domain: 'd', deep: { a: 1 } },
    };
    const read = readAlert(Buffer.from(JSON.stringify(body)));
    assert.deepEqual(read, { kind: 'k', node: 'n', at: 'now', message: 'm', fields: { domain: 'd' } });
  });
});
