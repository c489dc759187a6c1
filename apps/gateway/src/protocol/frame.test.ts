import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeHeader,
  emptyHeader,
  encodeHeader,
  type FrameHeader,
  FrameType,
  HEADER_BYTES,
  headerFault,
} from './frame.ts';

const golden = {
  header: {
    type: FrameType.DATA,
    flags: 1,
    keyPhase: 0x0203,
    payloadLength: 0x00010203,
    counter: 0x1122_3344_5566,
    sequence: 0x77,
    streamOffset: 2 ** 40 + 5,
    streamId: 9,
    plainLength: 0x00020000,
  },
  hex: '01010203000102030000112233445566000000000000007700000100000000050000000900020000',
};

test('the header is these bytes', () => {
  const out = Buffer.alloc(HEADER_BYTES + 3);
  encodeHeader(golden.header, out, 3);
  assert.equal(out.subarray(3).toString('hex'), golden.hex);
  const back = emptyHeader();
  decodeHeader(out, 3, back);
  assert.deepEqual(back, golden.header);
  assert.equal(headerFault(back), null);
});

test('a header that breaks a rule is refused with its reason', () => {
  const data: FrameHeader = { ...golden.header, flags: 0, plainLength: golden.header.payloadLength };
  const faults: [Partial<FrameHeader>, string][] = [
    [{ payloadLength: (1 << 20) + 1 }, 'payload too long'],
    [{ plainLength: (1 << 20) + 1 }, 'plain length too long'],
    [{ sequence: Number.NaN }, 'integer out of range'],
    [{ type: 0 }, 'unknown type'],
    [{ type: 6 }, 'unknown type'],
    [{ type: 23 }, 'unknown type'],
    [{ type: FrameType.RETIRE }, 'sequence number in the wrong place'],
    [{ sequence: 0 }, 'sequence number in the wrong place'],
    [{ type: FrameType.ACK }, 'sequence number in the wrong place'],
    [{ flags: 2 }, 'unknown flag'],
    [{ type: FrameType.FIN, flags: 1 }, 'only data may be compressed'],
    [{ plainLength: 1 }, 'lengths differ'],
    [{ payloadLength: 0, plainLength: 0 }, 'empty data'],
  ];
  assert.equal(headerFault(data), null);
  for (const [change, fault] of faults) assert.equal(headerFault({ ...data, ...change }), fault);
});

test('64-bit integers beyond the safe ones are refused', () => {
  const out = Buffer.from(golden.hex, 'hex');
  out.writeUInt32BE(0x20_0000, 8);
  const header = emptyHeader();
  decodeHeader(out, 0, header);
  assert.equal(headerFault(header), 'integer out of range');
});
