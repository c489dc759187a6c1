/**
 * How much may be read from hypervisors before there is credit to send it: enough for full frames, no more, because a hypervisor takes
 * what we swallow for what the link carries. Shared by the streams of a session, with something kept for each, so that a stalled
 * stream never keeps another one from being read. Where there are many of them each has less, and reads in smaller chunks: a chunk is
 * memory that is held for the next read, also by a stream that says nothing.
 * Invariants: `heldBytes` is the sum of what all streams have read and not yet put into frames, `chunkBytes` that of the chunks they read into.
 */
import { allotment } from './allotment.ts';

/** What every stream may hold whatever the others do; all together beyond that; one alone at most. */
const guarantee = { leastBytes: 16 << 10, mostBytes: 64 << 10 };
const sharedBytes = 1 << 20;
const perStreamBytes = 512 << 10;
/** Chunks are of these sizes, up to one frame. */
const chunk = { leastBytes: 16 << 10, middleBytes: 64 << 10, mostBytes: 256 << 10 };
/** For what was read and for chunks. Past the least of each stream all together take no more. */
const totalBytes = 24 << 20;

export class ReadAhead {
  heldBytes = 0;
  chunkBytes = 0;

  /** A stream that holds `pendingBytes` has to stop reading. */
  stops(pendingBytes: number): boolean {
    return pendingBytes >= perStreamBytes || (pendingBytes >= this.#guaranteedBytes && this.heldBytes >= sharedBytes);
  }
  /** A stream that stopped may read again: at half, so that reads stay large. Always true for one that holds nothing. */
  resumes(pendingBytes: number): boolean {
    if (pendingBytes >= perStreamBytes / 2) return false;
    return pendingBytes < this.#guaranteedBytes / 2 || this.heldBytes < sharedBytes;
  }
  /** How large the next chunk of a stream is that would like one of `wantedBytes`. */
  chunkOf(wantedBytes: number): number {
    const bytes = Math.min(wantedBytes, allotment(this.#leftBytes, chunk));
    if (bytes >= chunk.mostBytes) return chunk.mostBytes;
    return bytes >= chunk.middleBytes ? chunk.middleBytes : chunk.leastBytes;
  }

  get #guaranteedBytes(): number {
    return allotment(this.#leftBytes, guarantee);
  }
  get #leftBytes(): number {
    return totalBytes - this.heldBytes - this.chunkBytes;
  }
}
