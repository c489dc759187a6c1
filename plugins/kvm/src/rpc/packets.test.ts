import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  authTypes,
  encodePacket,
  KEEPALIVE,
  keepalivePacket,
  MAX_PACKET_BYTES,
  PACKET_TYPE,
  type Packet,
  PacketDecoder,
  PacketError,
  PROGRAM,
  remoteError,
  STATUS,
} from './packets.ts';
import { PROCEDURES } from './procedures.ts';
import { decode, encode } from './xdr.ts';

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');

/** Seen on the wire of libvirt 9.0. */
const AUTH_LIST = bytes('0000001c 20008086 00000001 00000042 00000000 00000001 00000000');
const AUTH_REPLY = bytes('00000024 20008086 00000001 00000042 00000001 00000001 00000000 00000001 00000000');

const call = (procedure: number, serial: number, payload: Buffer): Packet => {
  return { program: PROGRAM.remote, procedure, type: PACKET_TYPE.call, serial, status: STATUS.ok, payload };
};

test('AUTH_LIST is encoded as libvirt expects it, and its reply read', () => {
  assert.deepEqual(encodePacket(call(66, 1, encode(PROCEDURES.authList.args, undefined))), AUTH_LIST);
  const [reply] = new PacketDecoder().push(AUTH_REPLY);
  assert.ok(reply !== undefined);
  assert.deepEqual([reply.procedure, reply.type, reply.serial, reply.status], [66, PACKET_TYPE.reply, 1, STATUS.ok]);
  assert.deepEqual(decode(authTypes, reply.payload), [0]);
});

test('CONNECT_OPEN "qemu:///system"', () => {
  const payload = encode(PROCEDURES.connectOpen.args, { name: 'qemu:///system', flags: 0 });
  assert.deepEqual(
    encodePacket(call(1, 2, payload)),
    bytes(`00000038 20008086 00000001 00000001 00000000 00000002 00000000
      00000001 0000000e 71656d75 3a2f2f2f 73797374 656d0000 00000000`),
  );
});

test('keep-alive pings and pongs have no payload and no serial', () => {
  assert.deepEqual(
    keepalivePacket(KEEPALIVE.pong),
    bytes('0000001c 6b656570 00000001 00000002 00000002 00000000 00000000'),
  );
});

test('an error reply is read in full', () => {
  const payload = bytes(`0000002a 0000000a 00000001 00000010 446f6d61 696e206e 6f742066 6f756e64
    00000002 00000000 00000001 00000002 68690000 00000000 00000000 ffffffff 00000007 00000000`);
  const error = decode(remoteError, payload);
  assert.deepEqual(
    [error.code, error.domain, error.message, error.level, error.str1, error.int1, error.int2],
    [42, 10, 'Domain not found', 2, 'hi', -1, 7],
  );
});

describe('the decoder', () => {
  const stream = Buffer.concat([AUTH_REPLY, keepalivePacket(KEEPALIVE.ping), AUTH_REPLY]);

  for (const size of [1, 2, 3, 5, 27, 28, 29, 64, stream.length]) {
    test(`gives the same packets in pieces of ${size} bytes`, () => {
      const decoder = new PacketDecoder();
      const seen: Packet[] = [];
      for (let at = 0; at < stream.length; at += size) seen.push(...decoder.push(stream.subarray(at, at + size)));
      assert.deepEqual(
        seen.map(({ program, payload }) => [program, payload.length]),
        [
          [PROGRAM.remote, 8],
          [PROGRAM.keepalive, 0],
          [PROGRAM.remote, 8],
        ],
      );
    });
  }

  test('refuses lengths that cannot be, and versions it does not know', () => {
    for (const length of [0, 27, MAX_PACKET_BYTES + 1, 0xffff_ffff]) {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(length);
      assert.throws(() => [...new PacketDecoder().push(head)], PacketError);
    }
    const future = Buffer.from(AUTH_LIST);
    future.writeUInt32BE(2, 8);
    assert.throws(() => [...new PacketDecoder().push(future)], PacketError);
  });

  test('an oversized packet is refused before it is sent', () => {
    assert.throws(() => encodePacket(call(1, 1, Buffer.alloc(MAX_PACKET_BYTES))), PacketError);
  });
});
