/**
 * Puts the pieces of one stream back in order. A piece that is sent again has the same bounds as the first time, so that an exact
 * look-up by offset is enough. Owns the slabs of the pieces that wait.
 */
import type { Slab } from '../platform/slab.ts';

export interface Piece {
  slab: Slab;
  start: number;
  length: number;
}

export class Reorder {
  readonly #waiting = new Map<number, Piece>();
  /** Offset of the next byte that is wanted. */
  next = 0;

  get waiting(): number {
    return this.#waiting.size;
  }
  /** Takes over the piece; false (and the caller keeps it) when it overlaps what was there. */
  add(offset: number, piece: Piece): boolean {
    if (offset < this.next || this.#waiting.has(offset)) return false;
    this.#waiting.set(offset, piece);
    return true;
  }
  /** The next piece in order, now the caller's; undefined while it is missing. */
  take(): Piece | undefined {
    const piece = this.#waiting.get(this.next);
    if (piece === undefined) return undefined;
    this.#waiting.delete(this.next);
    this.next += piece.length;
    return piece;
  }
  clear(): void {
    for (const piece of this.#waiting.values()) piece.slab.release();
    this.#waiting.clear();
  }
}
