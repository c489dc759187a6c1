/**
 * Sockets with addresses that are not this machine's (IP_TRANSPARENT, ip(7)): a listener that accepts what TPROXY hands it, with the original
 * destination as its local address, and a connection made in the name of another host. They need koffi and CAP_NET_ADMIN.
 * A descriptor made here has exactly one owner: the caller.
 */
import net from 'node:net';
import { beginConnecting, connected, type SocketAddress } from './connecting.ts';
import { boundDescriptor, closeDescriptor, lastNativeError, type SocketTuning, setInt } from './sockets.ts';

const IPPROTO_IP = 0;
const IP_TRANSPARENT = 19;
const IPPROTO_IPV6 = 41;
const IPV6_TRANSPARENT = 75;

function unavailable(): Error {
  return Object.assign(new Error('koffi is missing'), { code: 'ENOSYS' });
}

function makeTransparent(fd: number, address: string): void {
  const taken = net.isIPv6(address)
    ? setInt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
    : setInt(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
  if (!taken) throw lastNativeError('setsockopt IP_TRANSPARENT');
}

/** Bound and not yet listening; for `server.listen({ fd })`. Throws the native error (EPERM without CAP_NET_ADMIN). */
export function transparentListener(address: string, tuning: SocketTuning): number {
  const fd = boundDescriptor(address, 0, tuning, (made) => makeTransparent(made, address));
  if (fd === null) throw unavailable();
  return fd;
}

/** Whether a transparent socket can be had; the native error if not. */
export function transparentSocketError(address: string): unknown {
  try {
    closeDescriptor(transparentListener(address, {}));
    return null;
  } catch (error) {
    return error;
  }
}

/**
 * A connection to `to` that comes from `from`, its port included where that is free (else from another port of the same address). Resolves with
 * its descriptor once it stands; rejects with the native error, or the signal's reason.
 */
export async function connectAs(
  from: SocketAddress,
  to: SocketAddress,
  tuning: SocketTuning,
  { signal }: { signal: AbortSignal },
): Promise<number> {
  signal.throwIfAborted();
  const fd = startConnecting(from, to, tuning) ?? startConnecting({ ...from, port: 0 }, to, tuning);
  if (fd === null) throw lastNativeError('connect');
  try {
    await connected(fd, to, signal);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/** Null when the address and port are taken: by a listener here, or by a connection between the same two ports that ended a moment ago. */
function startConnecting(from: SocketAddress, to: SocketAddress, tuning: SocketTuning): number | null {
  const fd = ownedUnlessTaken(() =>
    boundDescriptor(from.address, from.port, tuning, (made) => makeTransparent(made, from.address)),
  );
  if (fd === 'taken') return null;
  if (fd === null) throw unavailable();
  const error = beginConnecting(fd, to);
  if (error === null) return fd;
  closeDescriptor(fd);
  if (isTaken(error)) return null;
  throw error;
}

function ownedUnlessTaken(make: () => number | null): number | null | 'taken' {
  try {
    return make();
  } catch (error) {
    if (isTaken(error)) return 'taken';
    throw error;
  }
}

const codeOf = (error: unknown): unknown =>
  typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
const isTaken = (error: unknown): boolean => ['EADDRINUSE', 'EADDRNOTAVAIL'].includes(String(codeOf(error)));
