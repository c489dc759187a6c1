/**
 * Which sequence numbers have arrived: drops what comes twice (a frame that was sent again although it had arrived) and says what
 * to acknowledge. Memory is fixed: one byte for each place of the window.
 */
import { MAX_FRAMES_IN_FLIGHT } from '../protocol/frame.ts';
import { type AckRange, MAX_ACK_RANGES } from '../protocol/payloads.ts';

export type Arrival = 'new' | 'seen' | 'impossible';

export class ReceiveLedger {
  readonly #seen = new Uint8Array(MAX_FRAMES_IN_FLIGHT);
  #cumulative = 0;
  #highest = 0;
  duplicates = 0;

  /** All sequence numbers up to this one have arrived. */
  get cumulative(): number {
    return this.#cumulative;
  }
  /** How far the arrivals reach beyond the first gap. */
  get reorderDepth(): number {
    return this.#highest - this.#cumulative;
  }

  arrive(sequence: number): Arrival {
    if (sequence <= this.#cumulative) return this.#again();
    if (sequence >= this.#cumulative + MAX_FRAMES_IN_FLIGHT) return 'impossible';
    const place = sequence % MAX_FRAMES_IN_FLIGHT;
    if (this.#seen[place] === 1) return this.#again();
    this.#seen[place] = 1;
    if (sequence > this.#highest) this.#highest = sequence;
    while (this.#seen[(this.#cumulative + 1) % MAX_FRAMES_IN_FLIGHT] === 1) {
      this.#cumulative += 1;
      this.#seen[this.#cumulative % MAX_FRAMES_IN_FLIGHT] = 0;
    }
    return 'new';
  }

  /** What lies beyond the first gap, lowest first, as far as one ACK can say it. */
  ranges(): AckRange[] {
    const out: AckRange[] = [];
    let first = 0;
    for (let sequence = this.#cumulative + 2; sequence <= this.#highest + 1; sequence += 1) {
      const here = sequence <= this.#highest && this.#seen[sequence % MAX_FRAMES_IN_FLIGHT] === 1;
      if (here && first === 0) first = sequence;
      if (here || first === 0) continue;
      out.push({ first, count: sequence - first });
      first = 0;
      if (out.length === MAX_ACK_RANGES) break;
    }
    return out;
  }

  #again(): Arrival {
    this.duplicates += 1;
    return 'seen';
  }
}
