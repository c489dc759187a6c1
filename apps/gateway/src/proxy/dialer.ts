/**
 * The far end of a route: connects once for each stream that the peer opens, to one target in the order in which the hypervisor
 * connected there, each dial finished before the next begins: multifd tells its channels apart by that order. What may be dialled
 * is the far end's own knowledge (redirected or transparent); it owns nothing of the streams.
 */
import type { RouteConfig } from '@lmas/gateway-api';
import { asGatewayError, GatewayError } from '../errors.ts';
import { MAX_FRAMES_IN_FLIGHT } from '../protocol/frame.ts';
import type { Endpoints } from '../protocol/payloads.ts';
import type { Stream } from '../tunnel/stream.ts';
import type { Wire } from '../tunnel/wire.ts';

const dialTimeoutMs = 20_000;

export interface DialerHost {
  accept(stream: Stream, wire: Wire): void;
  refuse(stream: Stream, error: GatewayError): void;
}

/** One address to connect to, and how. */
export interface Target {
  /** Dials to the same address wait for each other. */
  readonly address: string;
  connect(options: { signal: AbortSignal }): Promise<Wire>;
}

export interface FarEnd {
  readonly config: Extract<RouteConfig, { kind: 'dial' | 'transparent' }>;
  /** Checks and prepares; rejects with ADDRESS_FORBIDDEN and the like before anything is configured. */
  start(): Promise<void>;
  /** Where a stream goes that was opened with these endpoints. @throws GatewayError ENDPOINTS_REFUSED, ADDRESS_OUTSIDE_ROUTE */
  target(endpoints: Endpoints | null): Target;
  close(): void;
}

interface Turn {
  readonly stream: Stream;
  readonly endpoints: Endpoints | null;
}

export class Dialer {
  readonly id: string;
  readonly #end: FarEnd;
  readonly #host: DialerHost;
  #abort = new AbortController();
  /** By ordinal; null marks a turn that passes without a dial. */
  readonly #waiting = new Map<number, Turn | null>();
  #next = 0;
  /** The newest dial to each address that is not over. */
  readonly #lanes = new Map<string, Promise<void>>();
  /** Streams that were dialled, or wait for their address, and are not over. */
  readonly #open = new Set<Stream>();

  constructor(id: string, end: FarEnd, host: DialerHost) {
    this.id = id;
    this.#end = end;
    this.#host = host;
  }

  get config(): FarEnd['config'] {
    return this.#end.config;
  }

  start(): Promise<void> {
    return this.#end.start();
  }

  push(ordinal: number, stream: Stream | null, endpoints: Endpoints | null): void {
    if (ordinal < this.#next || ordinal >= this.#next + MAX_FRAMES_IN_FLIGHT) {
      if (stream !== null) this.#host.refuse(stream, new GatewayError('FRAME_INVALID', '(ordinal)'));
      return;
    }
    if (stream !== null && this.#open.size + this.#waiting.size >= this.config.maxStreams) {
      this.#host.refuse(stream, new GatewayError('TOO_MANY_STREAMS'));
      this.#waiting.set(ordinal, null);
    } else this.#waiting.set(ordinal, stream === null ? null : { stream, endpoints });
    this.#work();
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
    this.#end.close();
    for (const turn of this.#waiting.values()) {
      if (turn !== null) this.#host.refuse(turn.stream, new GatewayError('ROUTE_REMOVED'));
    }
    this.#waiting.clear();
  }

  #work(): void {
    for (let turn = this.#waiting.get(this.#next); turn !== undefined; turn = this.#waiting.get(this.#next)) {
      this.#waiting.delete(this.#next);
      this.#next += 1;
      if (turn !== null && !turn.stream.over) this.#enqueue(turn);
    }
  }

  #enqueue({ stream, endpoints }: Turn): void {
    let target: Target;
    try {
      target = this.#end.target(endpoints);
    } catch (error) {
      this.#host.refuse(stream, asGatewayError(error, 'DIAL_FAILED'));
      return;
    }
    this.#open.add(stream);
    const { signal } = this.#abort;
    const before = this.#lanes.get(target.address) ?? Promise.resolve();
    const dial = before.then(() => this.#dial(stream, target, signal));
    this.#lanes.set(target.address, dial);
    void dial.then(() => {
      if (this.#lanes.get(target.address) === dial) this.#lanes.delete(target.address);
    });
  }

  /** Never rejects. */
  async #dial(stream: Stream, target: Target, signal: AbortSignal): Promise<void> {
    if (stream.over) return;
    try {
      const wire = await target.connect({ signal: AbortSignal.any([signal, AbortSignal.timeout(dialTimeoutMs)]) });
      this.#host.accept(stream, wire);
    } catch (error) {
      this.#host.refuse(stream, asGatewayError(error, 'DIAL_FAILED'));
    }
  }
}
