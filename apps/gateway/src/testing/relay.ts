/**
 * Stands between two gateways of a test and does what networks and middle boxes do: cuts, swallows, holds back, slows down, changes.
 * It knows control channel and subflows apart by their preamble. It owns both halves of every connection that it carries.
 */
import net from 'node:net';
import type { TestContext } from 'node:test';
import { resetSocket } from '../tunnel/wire.ts';

export type ConnectionKind = 'control' | 'subflow';

export interface Chunk {
  readonly bytes: Buffer;
  readonly kind: ConnectionKind | null;
  /** From the dialling gateway to the listening one. */
  readonly toPeer: boolean;
  /** The connection's number, from 0. */
  readonly connection: number;
  /** Where the chunk begins in its direction of the connection. */
  readonly offset: number;
}

class Carried {
  kind: ConnectionKind | null = null;
  /** Nothing passes any more, not even the end of one half: as on a path that lost its route. */
  isLost = false;
  bytesPerSec = Number.POSITIVE_INFINITY;
  readonly number: number;
  readonly near: net.Socket;
  readonly far: net.Socket;
  constructor(number: number, near: net.Socket, far: net.Socket) {
    this.number = number;
    this.near = near;
    this.far = far;
  }
}

export class Relay {
  port = 0;
  /** False: who connects is reset, and counted. */
  accepting = true;
  turnedAway = 0;
  /** Swallows all that these kinds say from now on, on old connections and new ones. */
  swallows: ReadonlySet<ConnectionKind> = new Set();
  /** What goes on instead of a chunk. Null: the chunk is cut short in its middle, and its connection ends there. */
  change: (chunk: Chunk) => Buffer | null = ({ bytes }) => bytes;
  readonly #server: net.Server;
  readonly #carried = new Set<Carried>();
  #connections = 0;

  private constructor(peerPort: number) {
    this.#server = net.createServer({ allowHalfOpen: false }, (near) => {
      near.on('error', () => undefined);
      if (!this.accepting) {
        this.turnedAway += 1;
        resetSocket(near);
      } else this.#carry(near, net.connect(peerPort, '127.0.0.1'));
    });
  }

  static async start(t: Pick<TestContext, 'after'>, peerPort: number): Promise<Relay> {
    const relay = new Relay(peerPort);
    t.after(() => relay.close());
    await new Promise<void>((resolve) => relay.#server.listen(0, '127.0.0.1', resolve));
    relay.port = (relay.#server.address() as net.AddressInfo).port;
    return relay;
  }

  /** Resets connections of a kind, at most `count`; returns how many. */
  cut(kind: ConnectionKind, count = Number.POSITIVE_INFINITY): number {
    const chosen = this.#of(kind).slice(0, count);
    for (const { near, far } of chosen) {
      resetSocket(near);
      resetSocket(far);
    }
    return chosen.length;
  }
  /** Loses connections of a kind, at most `count`: they stay open, and nothing passes any more. */
  lose(kind: ConnectionKind, count = Number.POSITIVE_INFINITY): number {
    const chosen = this.#of(kind).slice(0, count);
    for (const carried of chosen) carried.isLost = true;
    return chosen.length;
  }
  /** Slows connections of a kind down, at most `count`, those that are there now. */
  slow(kind: ConnectionKind, bytesPerSec: number, count = Number.POSITIVE_INFINITY): void {
    for (const carried of this.#of(kind).slice(0, count)) carried.bytesPerSec = bytesPerSec;
  }
  /** Everything is cut, and nobody comes in until `accepting` is true again. */
  cutAll(): void {
    this.accepting = false;
    this.cut('control');
    this.cut('subflow');
  }
  close(): void {
    this.#server.close();
    for (const { near, far } of this.#carried) {
      near.destroy();
      far.destroy();
    }
  }

  #of(kind: ConnectionKind): Carried[] {
    return [...this.#carried].filter((carried) => carried.kind === kind && !carried.isLost && !carried.near.destroyed);
  }

  #carry(near: net.Socket, far: net.Socket): void {
    far.on('error', () => undefined);
    const carried = new Carried(this.#connections, near, far);
    this.#connections += 1;
    this.#carried.add(carried);
    this.#forward(carried, near, far, true);
    this.#forward(carried, far, near, false);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('close', () => {
        if (this.#swallows(carried)) return;
        to.destroy();
        this.#carried.delete(carried);
      });
    }
  }

  #forward(carried: Carried, from: net.Socket, to: net.Socket, toPeer: boolean): void {
    let offset = 0;
    from.on('data', (bytes: Buffer) => {
      if (toPeer && offset === 0) carried.kind = bytes[5] === 1 ? 'control' : 'subflow';
      const chunk = { bytes, kind: carried.kind, toPeer, connection: carried.number, offset };
      offset += bytes.length;
      if (this.#swallows(carried) || to.writableEnded) return;
      const changed = this.change(chunk);
      if (changed === null) {
        to.end(bytes.subarray(0, bytes.length >> 1));
        return;
      }
      const waitMs = (1_000 * bytes.length) / carried.bytesPerSec;
      if (waitMs > 0) from.pause();
      const flowing = to.write(changed);
      // A connection that is long gone keeps no test waiting.
      if (waitMs > 0) setTimeout(() => from.resume(), waitMs).unref();
      else if (!flowing) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    });
  }

  #swallows(carried: Carried): boolean {
    return carried.isLost || (carried.kind !== null && this.swallows.has(carried.kind));
  }
}
