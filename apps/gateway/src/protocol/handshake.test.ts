import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ControlDecoder,
  ControlType,
  decodeBye,
  decodeHello,
  decodeJoinBody,
  decodePreamble,
  decodeSubflows,
  encodeBye,
  encodeControl,
  encodeHello,
  encodeJoinBody,
  encodePreamble,
  encodeSubflows,
  HELLO_BYTES,
  JOIN_BODY_BYTES,
} from './handshake.ts';

test('the preamble is these bytes', () => {
  assert.equal(encodePreamble('control').toString('hex'), '4c4d415301010000');
  assert.equal(encodePreamble('subflow').toString('hex'), '4c4d415301020000');
  assert.equal(decodePreamble(encodePreamble('subflow')), 'subflow');
  assert.equal(decodePreamble(Buffer.from('4c4d415302020000', 'hex')), 'version');
  for (const bad of ['4c4d415301030000', '4c4d415301010001', '1603010200010001', '4c4d4153010100']) {
    assert.equal(decodePreamble(Buffer.from(bad, 'hex')), null);
  }
});

test('JOIN and HELLO are these bytes', () => {
  const join = { sessionId: Buffer.alloc(16, 1), epoch: 2, subflowId: 3, generation: 4, nonce: Buffer.alloc(32, 5) };
  const body = encodeJoinBody(join);
  assert.equal(body.length, JOIN_BODY_BYTES);
  assert.equal(body.toString('hex'), `${'01'.repeat(16)}000000020000000300000004${'05'.repeat(32)}`);
  assert.deepEqual(decodeJoinBody(body), join);
  const hello = {
    version: 1,
    suite: 2,
    sessionId: Buffer.alloc(16, 1),
    instanceId: Buffer.alloc(16, 2),
    epoch: 3,
    windowBytes: 4,
    nonce: Buffer.alloc(32, 5),
  };
  const bytes = encodeHello(hello);
  assert.equal(
    bytes.toString('hex'),
    `01020000${'01'.repeat(16)}${'02'.repeat(16)}000000030000000000000004${'05'.repeat(32)}`,
  );
  assert.deepEqual(decodeHello(bytes), hello);
  assert.equal(decodeHello(bytes.subarray(1)), null);
  assert.equal(bytes.length, HELLO_BYTES);
});

test('control messages are cut out of the stream however it is chopped', () => {
  const bye = encodeControl(ControlType.BYE, encodeBye('SESSION_UNKNOWN', 'text'));
  const stream = Buffer.concat([encodeControl(ControlType.READY, Buffer.alloc(0)), bye, bye]);
  for (const step of [1, 2, 3, 7, stream.length]) {
    const decoder = new ControlDecoder();
    const messages = [];
    for (let at = 0; at < stream.length; at += step)
      messages.push(...(decoder.push(stream.subarray(at, at + step)) ?? []));
    assert.deepEqual(
      messages.map(({ type }) => type),
      [ControlType.READY, ControlType.BYE, ControlType.BYE],
    );
    assert.deepEqual(decodeBye(messages[2]?.body ?? Buffer.alloc(0)), { code: 'SESSION_UNKNOWN', text: 'text' });
  }
});

test('SUBFLOWS: golden, and what is none asks for nothing', () => {
  const message = encodeControl(ControlType.SUBFLOWS, encodeSubflows(12));
  assert.equal(message.toString('hex'), '000000030a000c');
  assert.equal(decodeSubflows(Buffer.from('000c', 'hex')), 12);
  for (const hex of ['', '0c', '0000', '00000c']) assert.equal(decodeSubflows(Buffer.from(hex, 'hex')), 1);
});

test('a control message longer than allowed ends the stream before it is stored', () => {
  assert.equal(new ControlDecoder().push(Buffer.from('00001001', 'hex')), null);
  assert.equal(new ControlDecoder().push(Buffer.from('00000000', 'hex')), null);
});
