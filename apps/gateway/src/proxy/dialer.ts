/**
 * The far end of a route: connects to the one address it was given, once for each stream that the peer opens, in the order in which
 * the hypervisor connected there, each dial finished before the next begins: multifd tells its channels apart by that order.
 */
import type { RouteConfig } from '@lmas/gateway-api';
import { asGatewayError, GatewayError } from '../errors.ts';
import { MAX_FRAMES_IN_FLIGHT } from '../protocol/frame.ts';
import { connectTcp } from '../tunnel/connector.ts';
import type { Stream } from '../tunnel/stream.ts';
import { type Wire, wireOf } from '../tunnel/wire.ts';
import { resolveDialAddress } from './addresses.ts';
import { hypervisorTuning } from './listener.ts';

const dialTimeoutMs = 20_000;

export interface DialerHost {
  accept(stream: Stream, wire: Wire): void;
  refuse(stream: Stream, error: GatewayError): void;
}

type DialConfig = Extract<RouteConfig, { kind: 'dial' }>;

export class Dialer {
  readonly id: string;
  readonly config: DialConfig;
  readonly #host: DialerHost;
  #abort = new AbortController();
  /** By ordinal; null marks a turn that passes without a dial. */
  readonly #waiting = new Map<number, Stream | null>();
  #next = 0;
  #dialling = false;
  /** Streams that were dialled and are not over. */
  readonly #open = new Set<Stream>();

  constructor(id: string, config: DialConfig, host: DialerHost) {
    this.id = id;
    this.config = config;
    this.#host = host;
  }

  /** Checks the address; rejects with ADDRESS_FORBIDDEN before anything is configured. */
  async check(): Promise<void> {
    await resolveDialAddress(this.config.host, this.config.allowSpecialAddress);
  }

  push(ordinal: number, stream: Stream | null): void {
    if (ordinal < this.#next || ordinal >= this.#next + MAX_FRAMES_IN_FLIGHT) {
      if (stream !== null) this.#host.refuse(stream, new GatewayError('FRAME_INVALID', '(ordinal)'));
      return;
    }
    if (stream !== null && this.#open.size + this.#waiting.size >= this.config.maxStreams) {
      this.#host.refuse(stream, new GatewayError('TOO_MANY_STREAMS'));
      this.#waiting.set(ordinal, null);
    } else this.#waiting.set(ordinal, stream);
    void this.#work();
  }

  /** A stream of this route is over. */
  ended(stream: Stream): void {
    this.#open.delete(stream);
  }

  /** A new session counts its streams from 0. The streams of the one before are over; a dial under way for one is given up. */
  startOver(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#waiting.clear();
    this.#open.clear();
    this.#next = 0;
  }

  close(): void {
    this.#abort.abort();
    for (const stream of this.#waiting.values()) {
      if (stream !== null) this.#host.refuse(stream, new GatewayError('ROUTE_REMOVED'));
    }
    this.#waiting.clear();
  }

  async #work(): Promise<void> {
    if (this.#dialling) return;
    this.#dialling = true;
    for (let stream = this.#waiting.get(this.#next); stream !== undefined; stream = this.#waiting.get(this.#next)) {
      this.#waiting.delete(this.#next);
      this.#next += 1;
      if (stream !== null && !stream.over) await this.#dial(stream);
    }
    this.#dialling = false;
  }

  async #dial(stream: Stream): Promise<void> {
    this.#open.add(stream);
    try {
      const host = await resolveDialAddress(this.config.host, this.config.allowSpecialAddress);
      const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(dialTimeoutMs)]);
      const socket = await connectTcp({ host, port: this.config.port }, 'DIAL_FAILED', { signal });
      this.#host.accept(stream, wireOf(socket, hypervisorTuning));
    } catch (error) {
      this.#host.refuse(stream, asGatewayError(error, 'DIAL_FAILED'));
    }
  }
}
