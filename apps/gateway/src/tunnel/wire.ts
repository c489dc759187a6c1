/**
 * A byte connection as the tunnel sees it, whatever is below: a TCP socket read straight into pooled buffers (DescriptorWire),
 * or any duplex stream (DuplexWire: memory, TLS, and TCP where koffi is missing). The wire owns its socket; the sink owns the buffers.
 * Invariant: after `closed` nothing more is called on the sink, and `closed` comes exactly once.
 */
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { duplicateDescriptor, type SocketTuning, tune } from '../platform/sockets.ts';

export interface WireSink {
  /** Where the next bytes go; never empty. */
  buffer(): Uint8Array;
  /** `count` bytes are in the last buffer. Answer false to be left alone until `resume`. */
  received(count: number): boolean;
  /** The peer ended its direction. */
  ended(): void;
  /** The connection is gone; an error when it did not end by both sides' ends. */
  closed(error: Error | null): void;
}

export interface Wire {
  /** Who is at the other end, for people. */
  readonly peer: string;
  /** Descriptor for TCP_INFO and options; null where there is none. */
  readonly descriptor: number | null;
  start(sink: WireSink): void;
  resume(): void;
  /** `done` is called once: with true when the system has taken all bytes, which may not change before that, else with false. */
  write(bytes: Uint8Array, done: (taken: boolean) => void): void;
  /** Ends our direction after what was written. */
  end(): void;
  /** Aborts: the peer gets a reset where the transport knows one. */
  reset(): void;
}

abstract class SocketWire<T extends Duplex> implements Wire {
  readonly peer: string;
  abstract readonly descriptor: number | null;
  protected socket: T | null = null;
  #error: Error | null = null;

  constructor(peer: string) {
    this.peer = peer;
  }
  abstract start(sink: WireSink): void;
  abstract resume(): void;
  protected attach(socket: T, sink: WireSink): void {
    this.socket = socket;
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.once('end', () => this.ended(sink));
    socket.once('close', () => sink.closed(this.#error));
  }
  protected ended(sink: WireSink): void {
    sink.ended();
  }
  write(bytes: Uint8Array, done: (taken: boolean) => void): void {
    if (this.socket === null) throw new Error('The wire was written to before it was started.');
    this.socket.write(bytes, (error) => done(error === null || error === undefined));
  }
  end(): void {
    this.socket?.end();
  }
  abstract reset(): void;
}

/** TCP by descriptor: reads go into the sink's buffers without a copy in between. */
export class DescriptorWire extends SocketWire<net.Socket> {
  readonly descriptor: number;
  #early: Buffer;
  #resetEarly = false;

  /** `early` is what was read before the wire took over. */
  constructor(descriptor: number, peer: string, early: Buffer) {
    super(peer);
    this.descriptor = descriptor;
    this.#early = early;
  }
  start(sink: WireSink): void {
    // Before the socket exists: it is given the sink's next buffer when it is made.
    feed(this.#early, sink);
    this.#early = Buffer.alloc(0);
    const socket = new net.Socket({
      fd: this.descriptor,
      allowHalfOpen: true,
      onread: { buffer: () => sink.buffer(), callback: (count: number) => sink.received(count) },
    } as net.SocketConstructorOpts);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 15_000);
    this.attach(socket, sink);
    if (this.#resetEarly) resetSocket(socket);
  }
  resume(): void {
    this.socket?.resume();
  }
  reset(): void {
    // The sink may give up on the very first bytes.
    if (this.socket === null) this.#resetEarly = true;
    else resetSocket(this.socket);
  }
}

/** Any duplex: its chunks are copied into the sink's buffers. */
export class DuplexWire extends SocketWire<Duplex> {
  readonly descriptor = null;
  readonly #duplex: Duplex;
  #pending: Buffer = Buffer.alloc(0);
  #sink: WireSink | null = null;
  #ended = false;
  #isFeeding = false;

  constructor(duplex: Duplex, peer: string, early: Buffer = Buffer.alloc(0)) {
    super(peer);
    this.#duplex = duplex;
    this.#pending = early;
  }
  start(sink: WireSink): void {
    this.#sink = sink;
    this.attach(this.#duplex, sink);
    this.#duplex.on('data', (chunk: Buffer) => {
      this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
      this.resume();
    });
    this.resume();
  }
  resume(): void {
    const sink = this.#sink;
    // In memory an answer may come while the sink is still at what it answers: it waits for its turn.
    if (sink === null || this.#isFeeding) return;
    this.#isFeeding = true;
    try {
      this.#feedAll(sink);
    } finally {
      this.#isFeeding = false;
    }
    if (this.#ended && this.#pending.length === 0) {
      this.#ended = false;
      sink.ended();
    }
    if (this.#pending.length > 0) this.#duplex.pause();
    else if (this.#duplex.isPaused()) this.#duplex.resume();
  }
  #feedAll(sink: WireSink): void {
    for (let rest = 0; rest === 0 && this.#pending.length > 0; ) {
      const chunk = this.#pending;
      this.#pending = Buffer.alloc(0);
      const unwanted = feed(chunk, sink);
      rest = unwanted.length;
      if (rest > 0) this.#pending = Buffer.concat([unwanted, this.#pending]);
    }
  }
  /** The end comes after what the sink did not want yet. */
  protected override ended(): void {
    this.#ended = true;
    this.resume();
  }
  reset(): void {
    if (this.#duplex instanceof net.Socket && !(this.#duplex instanceof TLSSocket)) resetSocket(this.#duplex);
    else this.#duplex.destroy(Object.assign(new Error('reset'), { code: 'ECONNRESET' }));
  }
}

/**
 * Resets a connection, whatever it is doing. libuv refuses that while the end of our direction is on its way to the kernel (EINVAL), and Node
 * then loses the connection: it stays open, no 'close' comes, and a process that ends spins for ever. The end is out in a moment, in which
 * nothing more is read: the buffer of a DescriptorWire is the sink's, who has given it back.
 */
export function resetSocket(socket: net.Socket): void {
  const ending = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0 && !socket.destroyed;
  if (!ending) {
    socket.resetAndDestroy();
    return;
  }
  socket.pause();
  socket.once('finish', () => socket.resetAndDestroy());
}

/** Resets a connection that nobody wants any more, and that was not started. */
export function discardWire(wire: Wire): void {
  wire.start({
    buffer: () => Buffer.alloc(1),
    received: () => false,
    ended: () => undefined,
    closed: () => undefined,
  });
  wire.reset();
}

/** Copies `chunk` into the sink; returns what it did not want yet. */
function feed(chunk: Buffer, sink: WireSink): Buffer {
  let rest = chunk;
  while (rest.length > 0) {
    const room = sink.buffer();
    const count = Math.min(room.length, rest.length);
    room.set(rest.subarray(0, count));
    rest = rest.subarray(count);
    if (!sink.received(count)) break;
  }
  return rest;
}

/**
 * Takes a connected socket over from node. `socket` must not be used afterwards; nothing of it may be waiting to be written.
 */
export function wireOf(socket: net.Socket, tuning: SocketTuning): Wire {
  const peer = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
  socket.pause();
  const early = (socket.read() as Buffer | null) ?? Buffer.alloc(0);
  const descriptor = duplicateDescriptor(socket);
  socket.removeAllListeners();
  if (descriptor === null) {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 15_000);
    return new DuplexWire(socket, peer, early);
  }
  socket.on('error', () => undefined); // Of the number that we give up; the connection lives on in the other one.
  socket.destroy();
  tune(descriptor, tuning);
  return new DescriptorWire(descriptor, peer, early);
}

/** A connected socket that never was node's, tuned already; from now on the wire's. */
export function wireOfDescriptor(descriptor: number, peer: string): Wire {
  return new DescriptorWire(descriptor, peer, Buffer.alloc(0));
}
