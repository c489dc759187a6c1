/**
 * The numbers of the streams that the peer opens. Frames of different streams overtake each other on different subflows, so that a number
 * may be skipped for a while; each becomes a stream once and never again.
 * Invariant: a number that was skipped has a frame under way, its OPEN, so that there are never more of them than such frames.
 */
import { GatewayError } from '../errors.ts';
import { MAX_FRAMES_IN_FLIGHT } from '../protocol/frame.ts';

export class PeerStreams {
  readonly #first: number;
  #largest = 0;
  /** Below the largest, not seen yet. */
  readonly #skipped = new Set<number>();

  /** The connector's streams have odd numbers, the acceptor's even ones. */
  constructor(peerIsConnector: boolean) {
    this.#first = peerIsConnector ? 1 : 2;
  }

  /** Whether this is the number of a new stream of the peer, which it is once; FRAME_INVALID for one that cannot be under way. */
  admit(id: number): boolean {
    if (id === 0 || id % 2 !== this.#first % 2) return false;
    if (id <= this.#largest) return this.#skipped.delete(id);
    if (id - this.#largest > 2 * MAX_FRAMES_IN_FLIGHT) throw new GatewayError('FRAME_INVALID', '(stream number)');
    const next = this.#largest === 0 ? this.#first : this.#largest + 2;
    for (let skipped = next; skipped < id; skipped += 2) this.#skipped.add(skipped);
    if (this.#skipped.size > MAX_FRAMES_IN_FLIGHT) throw new GatewayError('FRAME_INVALID', '(stream number)');
    this.#largest = id;
    return true;
  }
}
