/**
 * TCP sockets as the data path needs them: their descriptor known, their options set, their state read. Connections are made and
 * accepted by node; `duplicateDescriptor` then makes a descriptor of our own, which is handed once to `new net.Socket({ fd })`,
 * its only owner from then on. Without koffi there is no descriptor, nothing is tuned, and node's own buffers do.
 */
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { ffi, type NativeFunction } from './ffi.ts';

const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const AF_INET = 2;
const AF_INET6 = 10;
const F_DUPFD_CLOEXEC = 1030;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_RCVLOWAT = 18;
const SO_MEMINFO = 55;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const TCP_CONGESTION = 13;
const TCP_USER_TIMEOUT = 18;
const TCP_NOTSENT_LOWAT = 25;

interface Libc {
  socket: NativeFunction;
  bind: NativeFunction;
  close: NativeFunction;
  fcntl: NativeFunction;
  connect: NativeFunction;
  getpeername: NativeFunction;
  getsockname: NativeFunction;
  setsockopt: NativeFunction;
  getsockopt: NativeFunction;
}

function bind(): Libc | null {
  if (ffi === null) return null;
  try {
    return {
      socket: ffi.func('int socket(int, int, int)'),
      bind: ffi.func('int bind(int, void *, uint32_t)'),
      close: ffi.func('int close(int)'),
      fcntl: ffi.func('int fcntl(int, int, int)'),
      connect: ffi.func('int connect(int, void *, uint32_t)'),
      getpeername: ffi.func('int getpeername(int, void *, void *)'),
      getsockname: ffi.func('int getsockname(int, void *, void *)'),
      setsockopt: ffi.func('int setsockopt(int, int, int, void *, uint32_t)'),
      getsockopt: ffi.func('int getsockopt(int, int, int, void *, void *)'),
    };
  } catch {
    return null; // A libc without these: as if there were no koffi.
  }
}

/** For platform/ only. */
export const libc = bind();
/** Whether descriptors can be made and tuned here. */
export const nativeSockets = libc !== null;

const scratch = Buffer.allocUnsafeSlow(512);
const scratchLength = Buffer.allocUnsafeSlow(4);
const addressScratch = Buffer.allocUnsafeSlow(128);

function checkFd(fd: number): number {
  if (!Number.isInteger(fd) || fd < 0) throw new RangeError('Not a file descriptor.');
  return fd;
}

/** For platform/ only. Whether the kernel took it. */
export function setInt(fd: number, level: number, option: number, value: number): boolean {
  if (libc === null) return false;
  if (!Number.isInteger(value) || value < 0 || value > 0x7fffffff) throw new RangeError('Not a socket option value.');
  scratch.writeInt32LE(value, 0);
  return libc.setsockopt(checkFd(fd), level, option, scratch, 4) === 0;
}

export interface SocketTuning {
  /** First congestion control of the list that the kernel grants. */
  congestionControl?: readonly string[];
  sendBufferBytes?: number;
  receiveBufferBytes?: number;
  /** The kernel calls the socket writable when fewer unsent bytes than this are queued. */
  notSentLowWaterBytes?: number;
  /** Unacknowledged data older than this ends the connection. */
  userTimeoutMs?: number;
}

/** Applies what it can; a refused option is not an error, because every one of them only makes things better. */
export function tune(fd: number, tuning: SocketTuning): void {
  if (libc === null) return;
  setCongestionControl(fd, tuning.congestionControl ?? []);
  const { sendBufferBytes, receiveBufferBytes } = tuning;
  if (sendBufferBytes !== undefined && !setInt(fd, SOL_SOCKET, SO_SNDBUFFORCE, sendBufferBytes)) {
    setInt(fd, SOL_SOCKET, SO_SNDBUF, sendBufferBytes);
  }
  if (receiveBufferBytes !== undefined && !setInt(fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBufferBytes)) {
    setInt(fd, SOL_SOCKET, SO_RCVBUF, receiveBufferBytes);
  }
  if (tuning.notSentLowWaterBytes !== undefined) setNotSentLowWater(fd, tuning.notSentLowWaterBytes);
  if (tuning.userTimeoutMs !== undefined) setInt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, tuning.userTimeoutMs);
}

/**
 * A bound socket for a server, tuned before it listens: what it accepts inherits its buffers from the first byte, and advertises no larger
 * window than they hold. The caller hands it to `server.listen({ fd })`, its owner from then on. Null where there is no koffi.
 * `prepare` sees it before it is bound; what it throws is thrown here, and nothing is left open.
 * Throws the native error (EADDRINUSE, EADDRNOTAVAIL, EACCES …) when the address cannot be had.
 */
export function boundDescriptor(
  address: string,
  port: number,
  tuning: SocketTuning,
  prepare: (fd: number) => void = () => undefined,
): number | null {
  if (libc === null || ffi === null) return null;
  const name = encodeSocketAddress(address, port);
  const fd = Number(libc.socket(name.readUInt16LE(0), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd < 0) throw nativeError('socket', ffi.errno());
  try {
    setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    tune(fd, tuning);
    prepare(fd);
    if (libc.bind(fd, name, name.length) !== 0) throw nativeError('bind', ffi.errno());
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** For platform/ only: the error of the call that just failed. */
export function lastNativeError(call: string): NativeError {
  return nativeError(call, ffi?.errno() ?? 0);
}

/** For platform/ only. */
export function closeDescriptor(fd: number): void {
  libc?.close(checkFd(fd));
}

export interface NativeError extends Error {
  /** Negative, as node has it. */
  errno: number;
  code: string;
}

/** For platform/ only. */
export function nativeError(call: string, errno: number): NativeError {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${call} ${code}`), { code, errno: -errno, syscall: call });
}

/** The kernel wakes the reader only when so many bytes are there (or the connection ended). */
export function setReceiveLowWater(fd: number, bytes: number): void {
  setInt(fd, SOL_SOCKET, SO_RCVLOWAT, bytes);
}

/** A `struct sockaddr_in` or `sockaddr_in6` for a numeric address. */
export function encodeSocketAddress(address: string, port: number): Buffer {
  if (net.isIPv4(address)) {
    const out = Buffer.alloc(16);
    out.writeUInt16LE(AF_INET, 0);
    out.writeUInt16BE(port, 2);
    address.split('.').forEach((part, index) => {
      out[4 + index] = Number(part);
    });
    return out;
  }
  if (!net.isIPv6(address)) throw new RangeError('Not a numeric address.');
  const out = Buffer.alloc(28);
  out.writeUInt16LE(AF_INET6, 0);
  out.writeUInt16BE(port, 2);
  ipv6Bytes(address).copy(out, 8);
  return out;
}

/** The 16 bytes of an IPv6 address. */
export function ipv6Bytes(address: string): Buffer {
  const [plain = ''] = address.split('%');
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(plain);
  const hex = (high = '0', low = '0') => ((Number(high) << 8) | Number(low)).toString(16);
  const text = dotted === null ? plain : `${dotted[1]}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}`;
  const [head = '', tail] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const words = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  const out = Buffer.alloc(16);
  for (const [index, word] of words.entries()) out.writeUInt16BE(Number.parseInt(word, 16), index * 2);
  return out;
}

/**
 * A second descriptor for the connection that `socket` owns, found by its two addresses among ours: node does not tell the
 * number. Both count in full: where connections are intercepted, the same peer's port may talk to several addresses here.
 * The caller hands it to a new socket and destroys the old one, which closes only its own number.
 */
export function duplicateDescriptor(socket: net.Socket): number | null {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  if (libc === null || remoteAddress === undefined || remotePort === undefined) return null;
  if (localAddress === undefined || localPort === undefined) return null;
  const remote = encodeSocketAddress(remoteAddress, remotePort);
  const local = encodeSocketAddress(localAddress, localPort);
  for (const name of ownDescriptors()) {
    const fd = Number(name);
    if (!hasAddress(libc.getpeername, fd, remote)) continue;
    const copy = duplicate(fd);
    if (copy !== null && hasAddress(libc.getsockname, copy, local)) return copy;
    if (copy !== null) libc.close(copy);
  }
  return null;
}

/** What the kernel may keep of what comes on a connection that is still node's. A smaller value takes back no window that was told. */
export function limitReceiveBuffer(socket: net.Socket, bytes: number): void {
  const copy = duplicateDescriptor(socket);
  if (copy === null) return;
  setInt(copy, SOL_SOCKET, SO_RCVBUF, bytes);
  closeDescriptor(copy);
}

/** Empty when there is no descriptor left to look with: node keeps the connection then. */
function ownDescriptors(): string[] {
  try {
    return readdirSync('/proc/self/fd');
  } catch (error) {
    if (['EMFILE', 'ENFILE'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

/** Another number for the same connection; null when there is none to be had. */
export function duplicate(fd: number): number | null {
  const copy = libc === null ? -1 : Number(libc.fcntl(checkFd(fd), F_DUPFD_CLOEXEC, 3));
  return copy >= 0 ? copy : null;
}

function hasAddress(nameOf: NativeFunction, fd: number, wanted: Buffer): boolean {
  scratchLength.writeUInt32LE(addressScratch.length, 0);
  return nameOf(fd, addressScratch, scratchLength) === 0 && sameAddress(wanted);
}

/** Family, port and address of what was left in the scratch, against ours; flow label and scope do not count. */
function sameAddress(wanted: Buffer): boolean {
  const [from, to] = wanted.readUInt16LE(0) === AF_INET ? [4, 8] : [8, 24];
  return wanted.compare(addressScratch, 0, 4, 0, 4) === 0 && wanted.compare(addressScratch, from, to, from, to) === 0;
}

export interface TcpInfo {
  /** Smoothed, and the smallest of the last minutes. */
  rttMs: number;
  minRttMs: number;
  retransmits: number;
  congestionWindowSegments: number;
  mssBytes: number;
  mtuBytes: number;
  unacknowledgedSegments: number;
  bytesAcknowledged: number;
  notSentBytes: number;
  deliveryRateBytesPerSec: number;
  /** Arrived at the peer's kernel, in order or not. */
  deliveredSegments: number;
  bytesSent: number;
  bytesRetransmitted: number;
}

/** struct tcp_info (linux/tcp.h); null where the kernel does not answer. Offsets are the ABI's and never change. */
export function tcpInfo(fd: number): TcpInfo | null {
  if (libc === null) return null;
  scratch.fill(0, 0, 256);
  scratchLength.writeUInt32LE(256, 0);
  if (libc.getsockopt(checkFd(fd), IPPROTO_TCP, TCP_INFO, scratch, scratchLength) !== 0) return null;
  return {
    mssBytes: scratch.readUInt32LE(16),
    unacknowledgedSegments: scratch.readUInt32LE(24),
    mtuBytes: scratch.readUInt32LE(60),
    rttMs: scratch.readUInt32LE(68) / 1000,
    congestionWindowSegments: scratch.readUInt32LE(80),
    retransmits: scratch.readUInt32LE(100),
    bytesAcknowledged: Number(scratch.readBigUInt64LE(120)),
    notSentBytes: scratch.readUInt32LE(144),
    minRttMs: scratch.readUInt32LE(148) / 1000,
    deliveryRateBytesPerSec: Number(scratch.readBigUInt64LE(160)),
    deliveredSegments: scratch.readUInt32LE(192),
    bytesSent: Number(scratch.readBigUInt64LE(200)),
    bytesRetransmitted: Number(scratch.readBigUInt64LE(208)),
  };
}

/** The kernel calls the socket writable when fewer unsent bytes than this are queued. */
export function setNotSentLowWater(fd: number, bytes: number): void {
  setInt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes);
}

/** Places in the answer to SO_MEMINFO (linux/sock_diag.h): received, set aside, queued to be sent, options, backlog. */
const heldPlaces = [0, 4, 5, 6, 7];

/** What the kernel holds in memory for a socket; null where it does not say. */
export function socketMemoryBytes(fd: number): number | null {
  if (libc === null) return null;
  scratchLength.writeUInt32LE(36, 0);
  if (libc.getsockopt(checkFd(fd), SOL_SOCKET, SO_MEMINFO, scratch, scratchLength) !== 0) return null;
  return heldPlaces.reduce((sum, place) => sum + scratch.readUInt32LE(4 * place), 0);
}

/** The first of these that the kernel grants; also while data flows. Without one it stays as it is. */
export function setCongestionControl(fd: number, names: readonly string[]): void {
  for (const name of names) {
    const length = scratch.write(name, 0, 16, 'latin1');
    if (libc?.setsockopt(checkFd(fd), IPPROTO_TCP, TCP_CONGESTION, scratch, length) === 0) return;
  }
}

/** Name of the congestion control in use. */
export function congestionControl(fd: number): string | null {
  if (libc === null) return null;
  scratchLength.writeUInt32LE(16, 0);
  if (libc.getsockopt(checkFd(fd), IPPROTO_TCP, TCP_CONGESTION, scratch, scratchLength) !== 0) return null;
  const name = scratch.toString('latin1', 0, 16);
  return name.slice(0, name.indexOf('\0'));
}
