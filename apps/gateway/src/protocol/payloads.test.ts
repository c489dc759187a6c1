import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeAck,
  decodeCredit,
  decodeOpen,
  decodeReset,
  encodeAck,
  encodeCredit,
  encodeOpen,
  encodeReset,
} from './payloads.ts';

test('OPEN, RESET, ACK and CREDIT are these bytes', () => {
  const open = { priority: 'interactive', ordinal: 7, route: 'nbd-0', endpoints: null } as const;
  assert.equal(encodeOpen(open).toString('hex'), '0100000007056e62642d30');
  assert.deepEqual(decodeOpen(encodeOpen(open)), open);
  const endpoints = {
    source: { address: '10.1.0.10', port: 50_000 },
    destination: { address: '10.2.0.10', port: 8_000 },
  };
  const transparent = { ...open, endpoints };
  const bytes = '0100000007056e62642d30' + '04' + '0a01000a' + 'c350' + '0a02000a' + '1f40';
  assert.equal(encodeOpen(transparent).toString('hex'), bytes);
  assert.deepEqual(decodeOpen(Buffer.from(bytes, 'hex')), transparent);
  const six = { source: { address: 'fd91:1::10', port: 1 }, destination: { address: 'fd91:2::10', port: 65_535 } };
  assert.deepEqual(decodeOpen(encodeOpen({ ...open, endpoints: six }))?.endpoints, six);
  assert.equal(encodeReset('dial-failed', 'no').toString('hex'), '026e6f');
  assert.deepEqual(decodeReset(Buffer.from('026e6f', 'hex')), { reason: 'dial-failed', text: 'no' });
  const out = Buffer.alloc(64);
  const ack = out.subarray(0, encodeAck(5, [{ first: 7, count: 2 }], out, 0)).toString('hex');
  assert.equal(ack, '0000000000000005' + '0001' + '000000000000000700000002');
  assert.deepEqual(decodeAck(Buffer.from(ack, 'hex')), { cumulative: 5, ranges: [{ first: 7, count: 2 }] });
  const credit = out.subarray(0, encodeCredit(1 << 20, [{ streamId: 3, delivered: 2 ** 33 }], out, 0)).toString('hex');
  assert.equal(credit, '0000000000100000' + '0001' + '000000030000000200000000');
  const expected = { windowBytes: 1 << 20, entries: [{ streamId: 3, delivered: 2 ** 33 }] };
  assert.deepEqual(decodeCredit(Buffer.from(credit, 'hex')), expected);
});

test('anything that is not exactly right is refused', () => {
  assert.equal(decodeOpen(Buffer.from('0200000007056e62642d30', 'hex')), null, 'priority');
  assert.equal(decodeOpen(Buffer.from('0100000007046e62642d30', 'hex')), null, 'length');
  assert.equal(decodeOpen(Buffer.from('0100000007052e2e2f6162', 'hex')), null, 'name');
  const endpoints = (tail: string) => decodeOpen(Buffer.from(`0100000007056e62642d30${tail}`, 'hex'));
  assert.equal(endpoints('050a01000ac3500a02000a1f40'), null, 'family');
  assert.equal(endpoints('060a01000ac3500a02000a1f40'), null, 'length of the family');
  assert.equal(endpoints('040a01000ac3500a02000a1f4000'), null, 'bytes beyond');
  assert.equal(endpoints('040a01000ac3500a02000a0000'), null, 'port 0');
  assert.equal(decodeReset(Buffer.from([0])), null);
  assert.equal(decodeReset(Buffer.from([6])), null);
  const ack = (text: string) => decodeAck(Buffer.from(text, 'hex'));
  assert.equal(
    ack('0000000000000005' + '0001' + '000000000000000500000002'),
    null,
    'range below the cumulative number',
  );
  assert.equal(ack('0000000000000005' + '0001' + '000000000000000700000000'), null, 'empty range');
  assert.equal(ack('0000000000000005' + '0041'), null, 'too many ranges');
  assert.equal(ack('00000000000000050001'), null, 'truncated');
  assert.equal(decodeCredit(Buffer.from('00000000001000000002', 'hex')), null, 'truncated');
});
