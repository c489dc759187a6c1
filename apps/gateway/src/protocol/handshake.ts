/**
 * The bytes before frames: the preamble of every connection, the three messages of a subflow join, and the messages of the
 * control channel (inside TLS). Pure; sizes of what a stranger may send are fixed.
 */
import { PROTOCOL_VERSION, readUint64, writeUint64 } from './frame.ts';

export const PREAMBLE_BYTES = 8;
const magic = Buffer.from('LMAS', 'latin1');
export type ConnectionKind = 'control' | 'subflow';

/** "LMAS", u8 version, u8 kind (1 control, 2 subflow), u16 zero. */
export function encodePreamble(kind: ConnectionKind): Buffer {
  return Buffer.concat([magic, Buffer.from([PROTOCOL_VERSION, kind === 'control' ? 1 : 2, 0, 0])]);
}

export function decodePreamble(from: Buffer): ConnectionKind | 'version' | null {
  if (from.length !== PREAMBLE_BYTES || from.compare(magic, 0, 4, 0, 4) !== 0) return null;
  if (from[4] !== PROTOCOL_VERSION) return 'version';
  if (from.readUInt16BE(6) !== 0) return null;
  return from[5] === 1 ? 'control' : from[5] === 2 ? 'subflow' : null;
}

export const MAC_BYTES = 32;
export const NONCE_BYTES = 32;
/** JOIN without its MAC: session 16, epoch 4, subflow 4, generation 4, nonce 32. */
export const JOIN_BODY_BYTES = 60;
export const JOIN_BYTES = JOIN_BODY_BYTES + MAC_BYTES;
/** ACCEPT: nonce 32, MAC 32. */
export const JOIN_ACCEPT_BYTES = NONCE_BYTES + MAC_BYTES;
/** CONFIRM: MAC 32. */
export const JOIN_CONFIRM_BYTES = MAC_BYTES;

export interface Join {
  sessionId: Buffer;
  /** Number of the secret that the MACs and keys come from. */
  epoch: number;
  subflowId: number;
  /** Grows with every join that the connecting gateway sends. */
  generation: number;
  nonce: Buffer;
}

export function encodeJoinBody(join: Join): Buffer {
  const out = Buffer.alloc(JOIN_BODY_BYTES);
  join.sessionId.copy(out, 0);
  out.writeUInt32BE(join.epoch, 16);
  out.writeUInt32BE(join.subflowId, 20);
  out.writeUInt32BE(join.generation, 24);
  join.nonce.copy(out, 28);
  return out;
}

export function decodeJoinBody(from: Buffer): Join {
  return {
    sessionId: Buffer.from(from.subarray(0, 16)),
    epoch: from.readUInt32BE(16),
    subflowId: from.readUInt32BE(20),
    generation: from.readUInt32BE(24),
    nonce: Buffer.from(from.subarray(28, 60)),
  };
}

/** Messages of the control channel: u32 length of what follows, u8 type, body. */
export const ControlType = {
  HELLO: 1,
  PROOF: 2,
  READY: 3,
  PING: 4,
  PONG: 5,
  PROBE_RESET: 6,
  PROBE_QUERY: 7,
  PROBE_REPORT: 8,
  BYE: 9,
  SUBFLOWS: 10,
} as const;
export const MAX_CONTROL_MESSAGE_BYTES = 4096;

/** SUBFLOWS: u16, how many the listening end would like for what it sends. */
export function encodeSubflows(count: number): Buffer {
  const out = Buffer.alloc(2);
  out.writeUInt16BE(count, 0);
  return out;
}

/** 1 for a body that is none: it asks for nothing. */
export function decodeSubflows(body: Buffer): number {
  return body.length === 2 ? Math.max(1, body.readUInt16BE(0)) : 1;
}

export function encodeControl(type: number, body: Buffer): Buffer {
  const out = Buffer.alloc(5 + body.length);
  out.writeUInt32BE(1 + body.length, 0);
  out[4] = type;
  body.copy(out, 5);
  return out;
}

/** Cuts messages out of a byte stream, however it is chopped. `push` returns null when the stream cannot be ours. */
export class ControlDecoder {
  #rest: Buffer = Buffer.alloc(0);
  push(chunk: Buffer): { type: number; body: Buffer }[] | null {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const out: { type: number; body: Buffer }[] = [];
    while (this.#rest.length >= 4) {
      const length = this.#rest.readUInt32BE(0);
      if (length < 1 || length > MAX_CONTROL_MESSAGE_BYTES) return null;
      if (this.#rest.length < 4 + length) break;
      out.push({ type: this.#rest[4] ?? 0, body: Buffer.from(this.#rest.subarray(5, 4 + length)) });
      this.#rest = this.#rest.subarray(4 + length);
    }
    return out;
  }
}

export const suiteNumbers = { 'aes-256-gcm': 1, 'chacha20-poly1305': 2, none: 3 } as const;

/** version 1, suite 1, flags 2, session 16, instance 16, epoch 4, window 8, nonce 32. */
export const HELLO_BYTES = 80;
export interface Hello {
  version: number;
  suite: number;
  sessionId: Buffer;
  /** Random name of the process: a gateway that was started again has another one. */
  instanceId: Buffer;
  /** Number of the newest secret that this end holds; 0 is none. */
  epoch: number;
  /** What this end accepts to have outstanding. */
  windowBytes: number;
  nonce: Buffer;
}

export function encodeHello(hello: Hello): Buffer {
  const out = Buffer.alloc(HELLO_BYTES);
  out[0] = hello.version;
  out[1] = hello.suite;
  hello.sessionId.copy(out, 4);
  hello.instanceId.copy(out, 20);
  out.writeUInt32BE(hello.epoch, 36);
  writeUint64(out, hello.windowBytes, 40);
  hello.nonce.copy(out, 48);
  return out;
}

export function decodeHello(from: Buffer): Hello | null {
  if (from.length !== HELLO_BYTES || from.readUInt16BE(2) !== 0) return null;
  const windowBytes = readUint64(from, 40);
  if (Number.isNaN(windowBytes)) return null;
  return {
    version: from[0] ?? 0,
    suite: from[1] ?? 0,
    sessionId: Buffer.from(from.subarray(4, 20)),
    instanceId: Buffer.from(from.subarray(20, 36)),
    epoch: from.readUInt32BE(36),
    windowBytes,
    nonce: Buffer.from(from.subarray(48, 80)),
  };
}

/** BYE: the code of the error table that ends the channel, then text for people. u8 length, code, text. */
export function encodeBye(code: string, text: string): Buffer {
  const name = Buffer.from(code, 'latin1').subarray(0, 64);
  return Buffer.concat([Buffer.from([name.length]), name, Buffer.from(text, 'utf8').subarray(0, 200)]);
}

export function decodeBye(from: Buffer): { code: string; text: string } {
  const length = Math.min(from[0] ?? 0, 64);
  return { code: from.toString('latin1', 1, 1 + length), text: from.toString('utf8', 1 + length) };
}
