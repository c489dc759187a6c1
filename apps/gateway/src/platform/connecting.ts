/**
 * Connections made by descriptor, for what has to be set before their first packet: the largest window that an end can ever tell is fixed in it,
 * by the buffer that the socket has then (the window scale, RFC 7323). They need koffi.
 */
import net from 'node:net';
import {
  boundDescriptor,
  closeDescriptor,
  duplicate,
  encodeSocketAddress,
  lastNativeError,
  libc,
  type NativeError,
  nativeError,
  type SocketTuning,
} from './sockets.ts';

/** Node has no name for it. */
const EINPROGRESS = 115;

export interface SocketAddress {
  /** Numeric. */
  readonly address: string;
  readonly port: number;
}

/** For platform/ only. Begins to connect; what is wrong at once, else null. */
export function beginConnecting(fd: number, { address, port }: SocketAddress): NativeError | null {
  const name = encodeSocketAddress(address, port);
  if (libc === null || libc.connect(fd, name, name.length) === 0) return null;
  const error = lastNativeError(`connect ${address}:${port}`);
  return error.errno === -EINPROGRESS ? null : error;
}

/**
 * For platform/ only. Waits until the connection stands; rejects with what connecting failed with, or the signal's reason. Node watches a second
 * number of it and never reads, because what the peer says first may be the first byte of a stream; an empty write is held back by the kernel
 * until the handshake is over (EAGAIN), and fails with what connecting failed with.
 */
export function connected(fd: number, { address, port }: SocketAddress, signal: AbortSignal): Promise<void> {
  const copy = duplicate(fd);
  if (copy === null) throw lastNativeError('fcntl');
  const watcher = new net.Socket({ fd: copy, readable: false, writable: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const aborted = () => reject(signal.reason);
  // Node names the write.
  const failed = (error: NodeJS.ErrnoException) =>
    reject(error.errno === undefined ? error : nativeError(`connect ${address}:${port}`, -error.errno));
  watcher.on('error', failed);
  signal.addEventListener('abort', aborted, { once: true });
  watcher.write(Buffer.alloc(0), (error) => {
    if (error === null || error === undefined) resolve();
    else failed(error);
  });
  return promise.finally(() => {
    signal.removeEventListener('abort', aborted);
    watcher.destroy();
  });
}

/**
 * A connection whose socket is tuned before it is made, as node's own from then on. Null where there is no koffi.
 * Rejects with the native error, or the signal's reason.
 */
export async function connectTuned(
  to: SocketAddress,
  tuning: SocketTuning,
  { signal }: { signal: AbortSignal },
): Promise<net.Socket | null> {
  signal.throwIfAborted();
  const fd = boundDescriptor(net.isIPv6(to.address) ? '::' : '0.0.0.0', 0, tuning);
  if (fd === null) return null;
  try {
    const error = beginConnecting(fd, to);
    if (error !== null) throw error;
    await connected(fd, to, signal);
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
  return new net.Socket({ fd, allowHalfOpen: true });
}
