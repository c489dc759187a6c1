/**
 * One TCP connection of a move: incompressible bytes in both directions at once, each direction with a checksum that the receiver
 * compares, and closed in two halves. What a gateway must carry unchanged.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Wire } from '../../xapi/wire.ts';

const PIECE_BYTES = 64 * 1024;
const DIGEST_BYTES = 32;

export interface Sending {
  readonly seed: string;
  readonly bytes: number;
  /** `null`: as fast as it goes. */
  readonly bytesPerSec: number | null;
  readonly signal: AbortSignal;
  /** Called with the bytes of each piece; what it returns is waited for. */
  readonly onBytes?: (bytes: number) => void | Promise<void>;
  /** The end mark is not sent before; when it fails, never. */
  readonly endsAfter?: Promise<unknown>;
  /** One byte is changed after it was counted into the checksum: what the other end must notice. */
  readonly corrupt?: boolean;
}

/** The same seed gives the same bytes. */
function* noise(seed: string, bytes: number): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(PIECE_BYTES);
  for (let left = bytes; left > 0; left -= PIECE_BYTES)
    yield cipher.update(zeros.subarray(0, Math.min(left, PIECE_BYTES)));
}

/** Pieces, an end mark, the checksum, and nothing more in this direction. @throws the signal's reason */
export async function sendHalf(wire: Wire, sending: Sending): Promise<void> {
  const { seed, bytes, bytesPerSec, signal, onBytes } = sending;
  const hash = createHash('sha256');
  const started = performance.now();
  let corrupt = sending.corrupt === true;
  let sent = 0;
  for (const piece of noise(seed, bytes)) {
    signal.throwIfAborted();
    hash.update(piece);
    if (corrupt) piece.writeUInt8((piece.readUInt8(0) + 1) % 256, 0);
    corrupt = false;
    await wire.write(Buffer.concat([lengthOf(piece.length), piece]));
    sent += piece.length;
    await onBytes?.(piece.length);
    const ahead = bytesPerSec === null ? 0 : (sent / bytesPerSec) * 1_000 - (performance.now() - started);
    if (ahead > 5) await sleep(ahead, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
  await sending.endsAfter;
  await wire.write(Buffer.concat([lengthOf(0), hash.digest()]));
}

/** @returns how many bytes came. @throws when other bytes came than were sent, or the peer hangs up */
export async function receiveHalf(wire: Wire): Promise<number> {
  const hash = createHash('sha256');
  let received = 0;
  for (;;) {
    const length = (await wire.read(4)).readUInt32BE();
    if (length === 0) break;
    if (length > PIECE_BYTES) throw new Error('a piece that nobody sends');
    hash.update(await wire.read(length));
    received += length;
  }
  const said = await wire.read(DIGEST_BYTES);
  if (!said.equals(hash.digest())) throw new Error('other bytes came than were sent');
  return received;
}

function lengthOf(bytes: number): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes);
  return length;
}

/** What a connection begins with. */
export interface Greeting {
  readonly move: string;
  readonly kind: 'control' | 'data';
  readonly index: number;
  /** What the destination sends back meanwhile. */
  readonly backBytes: number;
}

export async function sendGreeting(wire: Wire, greeting: Greeting): Promise<void> {
  const text = Buffer.from(JSON.stringify(greeting));
  await wire.write(Buffer.concat([lengthOf(text.length), text]));
}

export async function readGreeting(wire: Wire): Promise<Greeting> {
  const length = (await wire.read(4)).readUInt32BE();
  if (length > 4_096) throw new Error('not a greeting');
  return JSON.parse((await wire.read(length)).toString()) as Greeting;
}
