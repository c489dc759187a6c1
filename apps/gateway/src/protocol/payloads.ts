/**
 * Payloads of the small frames: OPEN, RESET, ACK, CREDIT. Pure; decoders return null for anything that is not exactly right.
 */
import ipaddr from 'ipaddr.js';
import { readUint64, writeUint64 } from './frame.ts';

export interface Endpoint {
  /** Numeric. */
  address: string;
  port: number;
}
/** The two ends of an intercepted connection, as its hosts see them. */
export interface Endpoints {
  source: Endpoint;
  destination: Endpoint;
}

export interface OpenPayload {
  /** 0 bulk, 1 interactive. */
  priority: 'bulk' | 'interactive';
  /** How many streams were opened on this route before: the dial order. */
  ordinal: number;
  route: string;
  /** Of a transparent route only. What of it may be dialled is the far end's decision. */
  endpoints: Endpoints | null;
}
const routePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** u8 priority, u32 ordinal, u8 length, route id; then, for transparent routes, the endpoints. */
export function encodeOpen(open: OpenPayload): Buffer {
  const route = Buffer.from(open.route, 'latin1');
  const out = Buffer.alloc(6);
  out[0] = open.priority === 'interactive' ? 1 : 0;
  out.writeUInt32BE(open.ordinal, 1);
  out[5] = route.length;
  return Buffer.concat([out, route, open.endpoints === null ? Buffer.alloc(0) : encodeEndpoints(open.endpoints)]);
}

export function decodeOpen(from: Buffer): OpenPayload | null {
  const [priority = 2] = from;
  if (from.length < 7 || priority > 1) return null;
  const end = 6 + (from[5] ?? 0);
  const route = from.toString('latin1', 6, end);
  if (from.length < end || !routePattern.test(route)) return null;
  const endpoints = from.length === end ? null : decodeEndpoints(from.subarray(end));
  if (endpoints === undefined) return null;
  return { priority: priority === 1 ? 'interactive' : 'bulk', ordinal: from.readUInt32BE(1), route, endpoints };
}

/** u8 family (4 or 6), source address, u16 source port, destination address, u16 destination port. */
function encodeEndpoints({ source, destination }: Endpoints): Buffer {
  const [from, to] = [ipaddr.parse(source.address), ipaddr.parse(destination.address)];
  if (from.kind() !== to.kind()) throw new RangeError('Two families in one connection.');
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(source.port, 0);
  ports.writeUInt16BE(destination.port, 2);
  return Buffer.from([
    from.kind() === 'ipv4' ? 4 : 6,
    ...[...from.toByteArray(), ...ports.subarray(0, 2)],
    ...[...to.toByteArray(), ...ports.subarray(2)],
  ]);
}

/** Undefined for what is not exactly that. */
function decodeEndpoints(from: Buffer): Endpoints | undefined {
  const size = from[0] === 4 ? 4 : 16;
  if ((from[0] !== 4 && from[0] !== 6) || from.length !== 5 + 2 * size) return undefined;
  const endpoint = (at: number): Endpoint => ({
    address: ipaddr.fromByteArray([...from.subarray(at, at + size)]).toString(),
    port: from.readUInt16BE(at + size),
  });
  const [source, destination] = [endpoint(1), endpoint(3 + size)];
  return source.port === 0 || destination.port === 0 ? undefined : { source, destination };
}

/** Why a stream was reset, in the order of the numbers on the wire, from 1. */
export const resetReasons = ['hypervisor', 'dial-failed', 'refused', 'route-removed', 'internal'] as const;
export type ResetReason = (typeof resetReasons)[number];

/** u8 reason, then at most 200 bytes of UTF-8 for people. */
export function encodeReset(reason: ResetReason, text: string): Buffer {
  const words = Buffer.from(text, 'utf8').subarray(0, 200);
  return Buffer.concat([Buffer.from([resetReasons.indexOf(reason) + 1]), words]);
}

export function decodeReset(from: Buffer): { reason: ResetReason; text: string } | null {
  const reason = resetReasons[(from[0] ?? 0) - 1];
  if (reason === undefined || from.length > 201) return null;
  return { reason, text: from.toString('utf8', 1) };
}

/** Most ranges in one ACK. */
export const MAX_ACK_RANGES = 64;
export interface AckRange {
  first: number;
  count: number;
}

/** u64 cumulative (all up to it have arrived), u16 count, count × (u64 first, u32 count). Returns the bytes written. */
export function encodeAck(cumulative: number, ranges: readonly AckRange[], out: Buffer, offset: number): number {
  writeUint64(out, cumulative, offset);
  out.writeUInt16BE(ranges.length, offset + 8);
  let at = offset + 10;
  for (const range of ranges) {
    writeUint64(out, range.first, at);
    out.writeUInt32BE(range.count, at + 8);
    at += 12;
  }
  return at - offset;
}

export function decodeAck(from: Buffer): { cumulative: number; ranges: AckRange[] } | null {
  if (from.length < 10) return null;
  const cumulative = readUint64(from, 0);
  const count = from.readUInt16BE(8);
  if (Number.isNaN(cumulative) || count > MAX_ACK_RANGES || from.length !== 10 + count * 12) return null;
  const ranges: AckRange[] = [];
  let last = cumulative;
  for (let index = 0; index < count; index += 1) {
    const first = readUint64(from, 10 + index * 12);
    const length = from.readUInt32BE(18 + index * 12);
    if (!(first > last) || length === 0) return null;
    ranges.push({ first, count: length });
    last = first + length - 1;
  }
  return { cumulative, ranges };
}

/** Most streams in one CREDIT. */
export const MAX_CREDIT_ENTRIES = 256;
export interface CreditEntry {
  streamId: number;
  /** All bytes of the stream below this offset have been written to the hypervisor. */
  delivered: number;
}

/** u64 window, u16 count, count × (u32 stream, u64 delivered). Returns the bytes written. */
export function encodeCredit(
  windowBytes: number,
  entries: readonly CreditEntry[],
  out: Buffer,
  offset: number,
): number {
  writeUint64(out, windowBytes, offset);
  out.writeUInt16BE(entries.length, offset + 8);
  let at = offset + 10;
  for (const entry of entries) {
    out.writeUInt32BE(entry.streamId, at);
    writeUint64(out, entry.delivered, at + 4);
    at += 12;
  }
  return at - offset;
}

export function decodeCredit(from: Buffer): { windowBytes: number; entries: CreditEntry[] } | null {
  if (from.length < 10) return null;
  const windowBytes = readUint64(from, 0);
  const count = from.readUInt16BE(8);
  if (Number.isNaN(windowBytes) || count > MAX_CREDIT_ENTRIES || from.length !== 10 + count * 12) return null;
  const entries: CreditEntry[] = [];
  for (let index = 0; index < count; index += 1) {
    const delivered = readUint64(from, 14 + index * 12);
    if (Number.isNaN(delivered)) return null;
    entries.push({ streamId: from.readUInt32BE(10 + index * 12), delivered });
  }
  return { windowBytes, entries };
}
