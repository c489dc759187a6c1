/**
 * The wire format of frames: constants and the pure codec of the 40-byte header and of the small payloads. No I/O, no keys.
 * All integers are big-endian. PROTOCOL.md is the specification; the golden vectors in frame.test.ts hold the two together.
 */

export const PROTOCOL_VERSION = 1;
export const HEADER_BYTES = 40;
export const TAG_BYTES = 16;
/** Largest payload of one frame, on the wire and after decompression. */
export const MAX_PAYLOAD_BYTES = 1 << 20;
/** How far a sequence number may run ahead of the oldest one that is missing. */
export const MAX_FRAMES_IN_FLIGHT = 16_384;
/** TCP connections of one data channel. */
export const MAX_SUBFLOWS = 64;
/** Streams that each end may have opened and that are not over. */
export const MAX_STREAMS = 1_024;
/** What every stream may have outstanding whatever the others do, so that a stalled one never blocks the rest. */
export const GUARANTEED_STREAM_BYTES = 256 << 10;

/** DATA to RESET carry a sequence number, are acknowledged and sent again; the others are about now and are not. */
export const FrameType = {
  /** Bytes of a stream at an offset. */
  DATA: 1,
  /** A hypervisor connected: the peer dials in the order of `ordinal` on the named route. */
  OPEN: 2,
  /** The dial succeeded. */
  ACCEPT: 3,
  /** The hypervisor ended its direction; the offset is the length of the stream. */
  FIN: 4,
  /** The stream is aborted in both directions. */
  RESET: 5,
  /** Which sequence numbers have arrived. */
  ACK: 16,
  /** How far streams have been delivered, and how much may be outstanding. */
  CREDIT: 17,
  /** Answered at once by PONG with the same payload, on the same subflow. */
  PING: 18,
  PONG: 19,
  /** Thrown away by the receiver: probes. */
  PAD: 20,
  /** The last frame under the sender's present key. */
  REKEY: 21,
  /** The last frame of its subflow in this direction; answered by one in the other, then the connector closes it. */
  RETIRE: 22,
} as const;
export type FrameTypeNumber = (typeof FrameType)[keyof typeof FrameType];

export const FrameFlag = {
  /** The payload is one zstd frame of `plainLength` bytes. */
  COMPRESSED: 1,
} as const;

export interface FrameHeader {
  type: number;
  flags: number;
  /** Number of REKEY frames before this one, modulo 2^16. */
  keyPhase: number;
  payloadLength: number;
  /** Place of the frame in its subflow and direction, from 0: the nonce. */
  counter: number;
  /** Session-wide number of a sequenced frame, from 1; 0 for the others. */
  sequence: number;
  streamOffset: number;
  streamId: number;
  plainLength: number;
}

const two32 = 0x1_0000_0000;

/** Writes a non-negative safe integer as 64 bits. */
export function writeUint64(out: Buffer, value: number, offset: number): void {
  out.writeUInt32BE(Math.floor(value / two32), offset);
  out.writeUInt32BE(value % two32, offset + 4);
}

/** Reads 64 bits; NaN when they are no safe integer, which every validation below refuses. */
export function readUint64(from: Buffer, offset: number): number {
  const high = from.readUInt32BE(offset);
  if (high >= 0x20_0000) return Number.NaN;
  return high * two32 + from.readUInt32BE(offset + 4);
}

export function encodeHeader(header: FrameHeader, out: Buffer, offset: number): void {
  out[offset] = header.type;
  out[offset + 1] = header.flags;
  out.writeUInt16BE(header.keyPhase, offset + 2);
  out.writeUInt32BE(header.payloadLength, offset + 4);
  writeUint64(out, header.counter, offset + 8);
  writeUint64(out, header.sequence, offset + 16);
  writeUint64(out, header.streamOffset, offset + 24);
  out.writeUInt32BE(header.streamId, offset + 32);
  out.writeUInt32BE(header.plainLength, offset + 36);
}

/** Decodes into `into` (reused by the caller); says nothing about whether the header is sound. */
export function decodeHeader(from: Buffer, offset: number, into: FrameHeader): void {
  into.type = from[offset] ?? 0;
  into.flags = from[offset + 1] ?? 0;
  into.keyPhase = from.readUInt16BE(offset + 2);
  into.payloadLength = from.readUInt32BE(offset + 4);
  into.counter = readUint64(from, offset + 8);
  into.sequence = readUint64(from, offset + 16);
  into.streamOffset = readUint64(from, offset + 24);
  into.streamId = from.readUInt32BE(offset + 32);
  into.plainLength = from.readUInt32BE(offset + 36);
}

export function emptyHeader(): FrameHeader {
  return {
    type: 0,
    flags: 0,
    keyPhase: 0,
    payloadLength: 0,
    counter: 0,
    sequence: 0,
    streamOffset: 0,
    streamId: 0,
    plainLength: 0,
  };
}

export function isSequenced(type: number): boolean {
  return type >= FrameType.DATA && type <= FrameType.RESET;
}

/**
 * What can be known to be wrong before the tag is verified (so that nothing large is allocated for nonsense) and after it.
 * Returns the reason, or null.
 */
export function headerFault(header: FrameHeader): string | null {
  if (header.payloadLength > MAX_PAYLOAD_BYTES) return 'payload too long';
  if (header.plainLength > MAX_PAYLOAD_BYTES) return 'plain length too long';
  if (Number.isNaN(header.counter + header.sequence + header.streamOffset)) return 'integer out of range';
  if (!isSequenced(header.type) && (header.type < FrameType.ACK || header.type > FrameType.RETIRE))
    return 'unknown type';
  if (isSequenced(header.type) !== header.sequence > 0) return 'sequence number in the wrong place';
  if ((header.flags & ~FrameFlag.COMPRESSED) !== 0) return 'unknown flag';
  const compressed = (header.flags & FrameFlag.COMPRESSED) !== 0;
  if (compressed && header.type !== FrameType.DATA) return 'only data may be compressed';
  if (!compressed && header.plainLength !== header.payloadLength) return 'lengths differ';
  if (header.type === FrameType.DATA && header.plainLength === 0) return 'empty data';
  return null;
}
