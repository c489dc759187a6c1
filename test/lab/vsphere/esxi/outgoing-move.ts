/**
 * A guest on its way from this host. All data is over, and was checked at both ends, before the guest is given away.
 *
 *   sending ⇄ held ──▶ switching ──▶ done
 *      └───────┴──▶ failed      └──▶ unknown ──settle──▶ done | failed (the guest runs here again)
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Wire } from '../../xapi/wire.ts';
import type { Flow, HoldPoint, MoveOrder, MoveStatus } from './agent.ts';
import { receiveHalf, sendGreeting, sendHalf } from './checked-duplex.ts';
import { SIGNALS } from './incoming-move.ts';

const CONNECTS_WITHIN_MS = 10_000;
/** The destination answers with an eighth of what it gets. */
const BACK_SHARE = 8;

export interface MoveHost {
  connect(flow: Flow): Socket;
  giveAway(): void;
  takeBack(): void;
}

export class OutgoingMove {
  readonly #order: MoveOrder;
  readonly #host: MoveHost;
  readonly #abort = new AbortController();
  readonly #wires: Wire[] = [];
  #state: MoveStatus['state'] = 'sending';
  #held: { readonly point: HoldPoint; readonly resume: PromiseWithResolvers<void> } | undefined;
  #passed = new Set<HoldPoint>();
  #sentBytes = 0;
  #error: string | undefined;

  constructor(order: MoveOrder, host: MoveHost) {
    this.#order = order;
    this.#host = host;
    // What waits for a peer that takes nothing more, and never hangs up, would wait for ever.
    this.#abort.signal.addEventListener('abort', () => {
      for (const wire of this.#wires) wire.socket.destroy();
    });
  }

  /** @param localAddress the connection comes from there */
  static connect(target: { readonly host: string; readonly port: number }, localAddress: string): Socket {
    return connect({ ...target, localAddress, allowHalfOpen: true });
  }

  get #totalBytes(): number {
    return this.#order.flows.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  status(): MoveStatus {
    const held = this.#state === 'sending' ? this.#held : undefined;
    const state = held === undefined ? this.#state : 'held';
    return {
      ...{ state, sentBytes: this.#sentBytes, totalBytes: this.#totalBytes },
      ...(held === undefined ? {} : { heldAt: held.point }),
      ...(this.#error === undefined ? {} : { error: this.#error }),
    };
  }

  /** @returns false when the guest has been given away, or will be at once */
  cancel(): boolean {
    if (this.#state !== 'sending') return this.#state === 'failed';
    this.#abort.abort(new Error('cancelled'));
    this.#held?.resume.resolve();
    return true;
  }

  resume(): void {
    this.#held?.resume.resolve();
  }

  settle(arrived: boolean): void {
    if (this.#state !== 'unknown') return;
    this.#state = arrived ? 'done' : 'failed';
    if (!arrived) this.#host.takeBack();
  }

  async run(): Promise<void> {
    try {
      const [first] = this.#order.flows;
      if (first === undefined) throw new Error('a move without a flow');
      const control = await this.#open(first);
      await sendGreeting(control, { move: this.#order.id, kind: 'control', index: 0, backBytes: 0 });
      await control.read(1);
      await Promise.all(this.#order.flows.flatMap((flow, i) => this.#connections(flow, i)));
      await this.#hold('switchover');
      this.#abort.signal.throwIfAborted();
      await this.#switchOver(control);
    } catch (error) {
      if (this.#state === 'sending') this.#state = 'failed';
      const { aborted, reason } = this.#abort.signal; // the first of them; what else failed did so because of it
      this.#error ??= ((aborted ? reason : error) as Error).message;
    } finally {
      for (const wire of this.#wires) if (this.#state !== 'done') wire.socket.destroy();
    }
  }

  async #switchOver(control: Wire): Promise<void> {
    this.#state = 'switching';
    this.#host.giveAway();
    try {
      await control.write(SIGNALS.run);
      await control.read(1);
      this.#state = 'done';
      control.socket.end();
    } catch (error) {
      this.#state = 'unknown';
      throw error;
    }
  }

  #connections(flow: Flow, index: number): Promise<void>[] {
    const { connections, bytes } = flow;
    const share = Math.floor(bytes / connections);
    return Array.from({ length: connections }, (_, i) => {
      const own = i === 0 ? bytes - share * (connections - 1) : share;
      return this.#data(flow, index * 100 + i, own);
    });
  }

  async #data(flow: Flow, index: number, bytes: number): Promise<void> {
    const { id, bytesPerSec, corrupt = false } = this.#order;
    const wire = await this.#open(flow);
    await sendGreeting(wire, { move: id, kind: 'data', index, backBytes: Math.floor(bytes / BACK_SHARE) });
    const sending = {
      seed: `${id}/${index}`,
      bytes,
      bytesPerSec: bytesPerSec && bytesPerSec / flow.connections,
      corrupt,
    };
    const onBytes = (sent: number) => this.#count(sent);
    const sent = sendHalf(wire, { ...sending, signal: this.#abort.signal, onBytes }).then(() => wire.socket.end());
    try {
      await Promise.all([sent, receiveHalf(wire)]);
    } catch (error) {
      this.#abort.abort(error);
      this.#held?.resume.resolve();
      throw error;
    }
  }

  async #count(bytes: number): Promise<void> {
    this.#sentBytes += bytes;
    if (this.#sentBytes * 2 >= this.#totalBytes) await this.#hold('half');
  }

  /** Every connection waits where one was told to; after the end of the move none, for nobody would wake it. */
  async #hold(point: HoldPoint): Promise<void> {
    this.#abort.signal.throwIfAborted();
    if (!this.#order.holds.includes(point) || this.#passed.has(point)) return;
    this.#held ??= { point, resume: Promise.withResolvers() };
    await this.#held.resume.promise;
    this.#passed.add(point);
    this.#held = undefined;
    this.#abort.signal.throwIfAborted();
  }

  async #open(flow: Flow): Promise<Wire> {
    const socket = this.#host.connect(flow);
    const timeout = setTimeout(() => socket.destroy(new Error('no answer')), CONNECTS_WITHIN_MS);
    try {
      await once(socket, 'connect', { signal: this.#abort.signal });
    } catch (error) {
      socket.destroy();
      throw new Error(`${flow.address}:${flow.port}: ${(error as Error).message}`, { cause: error });
    } finally {
      clearTimeout(timeout);
    }
    const wire = new Wire(socket);
    this.#wires.push(wire);
    return wire;
  }
}
