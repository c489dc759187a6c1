/** Bytes that really cross: incompressible, in length-prefixed pieces, with a checksum that the other end compares. */
import { createCipheriv, createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Wire } from './wire.ts';

const PIECE_BYTES = 256 * 1024;
const DIGEST_BYTES = 32;

/** The same seed gives the same bytes. */
function* noise(seed: string, bytes: number): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(PIECE_BYTES);
  for (let left = bytes; left > 0; left -= PIECE_BYTES)
    yield cipher.update(zeros.subarray(0, Math.min(left, PIECE_BYTES)));
}

export interface Sending {
  readonly bytesPerSec: number;
  readonly signal: AbortSignal;
  /** Called with the bytes of each piece. */
  readonly onBytes: (bytes: number) => void | Promise<void>;
}

/** @throws the signal's reason, an error when the peer is gone, an error when it got other bytes than were sent */
export async function sendChecked(
  wire: Wire,
  seed: string,
  bytes: number,
  { bytesPerSec, signal, onBytes }: Sending,
): Promise<void> {
  const hash = createHash('sha256');
  const length = Buffer.alloc(4);
  const started = performance.now();
  let sent = 0;
  for (const piece of noise(seed, bytes)) {
    signal.throwIfAborted();
    hash.update(piece);
    length.writeUInt32BE(piece.length);
    await wire.write(Buffer.concat([length, piece]));
    sent += piece.length;
    await onBytes(piece.length);
    const ahead = (sent / bytesPerSec) * 1_000 - (performance.now() - started);
    if (ahead > 5) await sleep(ahead);
  }
  length.writeUInt32BE(0);
  await wire.write(length);
  const seen = await wire.read(DIGEST_BYTES);
  if (!seen.equals(hash.digest())) throw new Error('the destination received other bytes than were sent');
}

/** Takes everything, and answers with what it was. @returns how many bytes */
export async function receiveChecked(wire: Wire): Promise<number> {
  const hash = createHash('sha256');
  let received = 0;
  for (;;) {
    const length = (await wire.read(4)).readUInt32BE();
    if (length === 0) break;
    if (length > PIECE_BYTES) throw new Error('a piece that nobody sends');
    hash.update(await wire.read(length));
    received += length;
  }
  await wire.write(hash.digest());
  return received;
}

/** xenopsd's synchronisation points: a length, and that many bytes of error text; 0 is success. */
export const OK = Buffer.from([0, 0]);

/** An answer in HTTP, where none is due: the request was refused. */
const REFUSED = Buffer.from('HT').readUInt16BE();

export async function expectOk(wire: Wire, point: string): Promise<void> {
  const length = (await wire.read(2)).readUInt16BE();
  if (length === REFUSED) throw new Error(`${point}: refused`);
  if (length > 0) throw new Error(`${point}: ${(await wire.read(length)).toString()}`);
}
