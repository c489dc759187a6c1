/**
 * The packets of libvirt's RPC (virnetprotocol.x, virkeepaliveprotocol.x): a length word, a 24-byte header, a payload.
 * Pure. The decoder takes bytes as they come and gives whole packets.
 *
 *   0  length   counts itself: 28 + payload
 *   4  program  8 version  12 procedure  16 type  20 serial  24 status  28 payload
 */
import { array, type Codec, fixedOpaque, int, optional, string, struct, uint } from './xdr.ts';

export const PROGRAM = { remote: 0x20008086, keepalive: 0x6b656570 } as const;
export const PROTOCOL_VERSION = 1;

export const PACKET_TYPE = {
  /** Client to daemon: the arguments of a procedure. */
  call: 0,
  /** Daemon to client: its result, or an error by `status`. */
  reply: 1,
  /** Either way, never answered: events, keep-alive. */
  message: 2,
} as const;

export const STATUS = { ok: 0, error: 1 } as const;

export const KEEPALIVE = { ping: 1, pong: 2 } as const;

export const HEADER_BYTES = 28;
/** VIR_NET_MESSAGE_MAX plus the length word. */
export const MAX_PACKET_BYTES = 33_554_432 + 4;

export interface Packet {
  readonly program: number;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status: number;
  readonly payload: Buffer;
}

export class PacketError extends Error {
  override readonly name = 'PacketError';
}

export function encodePacket(packet: Packet): Buffer {
  const length = HEADER_BYTES + packet.payload.length;
  if (length > MAX_PACKET_BYTES) throw new PacketError(`a packet of ${length} bytes is too large`);
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt32BE(packet.program, 4);
  bytes.writeUInt32BE(PROTOCOL_VERSION, 8);
  bytes.writeInt32BE(packet.procedure, 12);
  bytes.writeUInt32BE(packet.type, 16);
  bytes.writeUInt32BE(packet.serial, 20);
  bytes.writeUInt32BE(packet.status, 24);
  packet.payload.copy(bytes, HEADER_BYTES);
  return bytes;
}

export const keepalivePacket = (procedure: number): Buffer =>
  encodePacket({
    program: PROGRAM.keepalive,
    procedure,
    type: PACKET_TYPE.message,
    serial: 0,
    status: STATUS.ok,
    payload: Buffer.alloc(0),
  });

function decodePacket(bytes: Buffer): Packet {
  const version = bytes.readUInt32BE(8);
  if (version !== PROTOCOL_VERSION) throw new PacketError(`protocol version ${version} is unknown`);
  return {
    program: bytes.readUInt32BE(4),
    procedure: bytes.readInt32BE(12),
    type: bytes.readUInt32BE(16),
    serial: bytes.readUInt32BE(20),
    status: bytes.readUInt32BE(24),
    payload: bytes.subarray(HEADER_BYTES),
  };
}

/** Cuts a byte stream into packets. After a PacketError the stream cannot be trusted any more: close it. */
export class PacketDecoder {
  #chunks: Buffer[] = [];
  #held = 0;

  /** @throws PacketError for a length that cannot be, or an unknown version */
  *push(chunk: Buffer): Generator<Packet> {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    while (this.#held >= 4) {
      const length = this.#head(4).readUInt32BE(0);
      if (length < HEADER_BYTES || length > MAX_PACKET_BYTES) throw new PacketError(`a packet of ${length} bytes`);
      if (this.#held < length) return;
      const whole = this.#head(length);
      const bytes = whole.subarray(0, length);
      this.#chunks = whole.length > length ? [whole.subarray(length), ...this.#chunks.slice(1)] : this.#chunks.slice(1);
      this.#held -= length;
      yield decodePacket(bytes);
    }
  }

  /** The first chunk, after joining as many as `bytes` needs. */
  #head(bytes: number): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && first.length >= bytes) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }
}

const text = string(4_194_304);

/** `remote_error` (remote_protocol.x): what comes with status 1. */
export const remoteError: Codec<{
  code: number;
  domain: number;
  message: string | null;
  level: number;
  about: { name: string; uuid: Buffer; id: number } | null;
  str1: string | null;
  str2: string | null;
  str3: string | null;
  int1: number;
  int2: number;
  network: { name: string; uuid: Buffer } | null;
}> = struct({
  code: int,
  domain: int,
  message: optional(text),
  level: int,
  about: optional(struct({ name: text, uuid: fixedOpaque(16), id: int })),
  str1: optional(text),
  str2: optional(text),
  str3: optional(text),
  int1: int,
  int2: int,
  network: optional(struct({ name: text, uuid: fixedOpaque(16) })),
});

/** The reply to AUTH_LIST. */
export const authTypes = array(uint, 20);
