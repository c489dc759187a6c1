/** A guest on its way to this host: its connections, and the moment when it runs here. */
import type { Wire } from '../../xapi/wire.ts';
import type { Guest } from './agent.ts';
import { type Greeting, receiveHalf, sendHalf } from './checked-duplex.ts';

/** On the control connection: ready, run it, it runs. */
export const SIGNALS = { ready: Buffer.from('R'), run: Buffer.from('S'), runs: Buffer.from('A') } as const;

export class IncomingMove {
  readonly #guest: Guest;
  readonly #adopt: (guest: Guest) => void;
  readonly #abort = new AbortController();

  constructor(guest: Guest, adopt: (guest: Guest) => void) {
    this.#guest = guest;
    this.#adopt = adopt;
  }

  /** @returns how many bytes of the guest came, and were right */
  async serve(wire: Wire, greeting: Greeting): Promise<number> {
    return greeting.kind === 'control' ? this.#control(wire) : this.#data(wire, greeting);
  }

  async #control(wire: Wire): Promise<number> {
    await wire.write(SIGNALS.ready);
    const signal = await wire.read(1);
    if (!signal.equals(SIGNALS.run)) throw new Error('a signal that nobody sends');
    this.#adopt(this.#guest);
    await wire.write(SIGNALS.runs);
    wire.socket.end();
    return 0;
  }

  async #data(wire: Wire, { move, index, backBytes }: Greeting): Promise<number> {
    const { signal } = this.#abort;
    const receiving = receiveHalf(wire);
    // The end of our half tells the source that all of its own was right.
    const back = { seed: `${move}/back/${index}`, bytes: backBytes, bytesPerSec: null };
    const [received] = await Promise.all([receiving, sendHalf(wire, { ...back, signal, endsAfter: receiving })]);
    wire.socket.end();
    return received;
  }
}
