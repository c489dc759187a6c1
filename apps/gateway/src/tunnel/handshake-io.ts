/** Reading a handshake from a socket: exactly so many bytes, within a deadline, and not one byte further than asked. */
import type { Duplex } from 'node:stream';
import { GatewayError } from '../errors.ts';
import { handshakeRecordLength, TLS_RECORD_HEADER_BYTES } from '../protocol/client-hello.ts';

/** First byte and handshake of a stranger must be there within this time. */
export const HANDSHAKE_TIMEOUT_MS = 5_000;

export function readExactly(socket: Duplex, length: number, { signal }: { signal: AbortSignal }): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const finish = (error: GatewayError | null, bytes?: Buffer) => {
      socket.off('readable', look);
      socket.off('end', ended);
      socket.off('close', ended);
      socket.off('error', ended);
      signal.removeEventListener('abort', aborted);
      if (error === null && bytes !== undefined) resolve(bytes);
      else reject(error ?? new GatewayError('INTERNAL'));
    };
    const look = () => {
      const bytes = socket.read(length) as Buffer | null;
      if (bytes === null) return;
      // At the end of a stream read() gives what there is.
      if (bytes.length < length) finish(new GatewayError('HANDSHAKE_TRUNCATED'));
      else finish(null, bytes);
    };
    const ended = () => finish(new GatewayError('HANDSHAKE_TRUNCATED'));
    const aborted = () => finish(new GatewayError('HANDSHAKE_TIMEOUT'));
    if (signal.aborted) return aborted();
    if (socket.destroyed) return ended();
    socket.on('readable', look);
    socket.once('end', ended);
    socket.once('close', ended);
    socket.once('error', ended);
    signal.addEventListener('abort', aborted, { once: true });
    look();
  });
}

/** The first record of a TLS connection. It is only looked at, and there again for whoever speaks TLS next. */
export async function peekTlsRecord(socket: Duplex, { signal }: { signal: AbortSignal }): Promise<Buffer> {
  const header = await readExactly(socket, TLS_RECORD_HEADER_BYTES, { signal });
  const length = handshakeRecordLength(header);
  const record = length === 0 ? header : Buffer.concat([header, await readExactly(socket, length, { signal })]);
  socket.unshift(record);
  return record;
}

/** Writes and waits until the system has it, so that the socket can change hands. */
export function writeAll(socket: Duplex, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(new GatewayError('HANDSHAKE_TRUNCATED', undefined, { cause: error }));
    });
  });
}
