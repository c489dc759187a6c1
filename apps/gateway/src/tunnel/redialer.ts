/**
 * The dialling gateway's loops: one that keeps a control channel, one for each wanted subflow that keeps it joined. Each tries again with a
 * growing wait until the session is closed, or so many subflows are wanted no more. It owns connections only while they are being made; what
 * was made belongs to the session.
 */
import type net from 'node:net';
import type tls from 'node:tls';
import type { SessionConfig } from '@lmas/gateway-api';
import { asGatewayError, GatewayError } from '../errors.ts';
import type { Identity } from '../security/certificate.ts';
import type { PeerPin } from '../security/control-tls.ts';
import type { SecretChain } from '../security/keys.ts';
import { Backoff } from './backoff.ts';
import { connectControl, connectSubflow, type PeerAddress } from './connector.ts';
import type { SubflowKeys } from './join.ts';
import type { Subflow } from './subflow.ts';

export interface RedialerHost {
  /** Resolves when the channel is gone again; rejects when the handshake fails. */
  control(socket: tls.TLSSocket): Promise<void>;
  subflow(id: number, generation: number, socket: net.Socket, keys: SubflowKeys): Subflow;
  failed(error: GatewayError): void;
}

export interface RedialerOptions {
  peer: PeerAddress;
  identity: Identity;
  pin: PeerPin;
  sessionId: Buffer;
  suite: SessionConfig['suite'];
  chain: SecretChain;
}

export class Redialer {
  readonly #options: RedialerOptions;
  readonly #host: RedialerHost;
  readonly #signal: AbortSignal;
  /** Generations grow with every join, whatever its subflow. */
  #nextGeneration = 1;
  #wanted = 0;
  /** Numbers of the subflows that a loop keeps. */
  readonly #kept = new Set<number>();
  #secretWaiters: (() => void)[] = [];
  /** Where the control channel was reached: of a name with several addresses all go to the same one. */
  #reached: PeerAddress;

  /** Ends when `signal` is aborted. */
  constructor(options: RedialerOptions, host: RedialerHost, { signal }: { signal: AbortSignal }) {
    this.#options = options;
    this.#reached = options.peer;
    this.#host = host;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.secretChanged(), { once: true });
  }

  start(): void {
    void this.#keep(
      () => this.#openControl(),
      () => true,
    );
  }

  /** Keeps the subflows 0 to `count` - 1 joined. One beyond is not joined again; somebody else ends it. */
  want(count: number): void {
    this.#wanted = count;
    for (let id = 0; id < count; id += 1) {
      if (this.#kept.has(id)) continue;
      this.#kept.add(id);
      const kept = this.#keep(
        () => this.#openSubflow(id),
        () => id < this.#wanted,
      );
      void kept.then(() => {
        this.#kept.delete(id);
        if (!this.#signal.aborted) this.want(this.#wanted); // It may be wanted again by now.
      });
    }
  }

  /** A control channel is up: there is a secret to join under. */
  secretChanged(): void {
    for (const waiter of this.#secretWaiters.splice(0)) waiter();
  }

  async #keep(open: () => Promise<void>, isWanted: () => boolean): Promise<void> {
    const backoff = new Backoff(this.#signal);
    while (!this.#signal.aborted && isWanted()) {
      try {
        await open();
        backoff.reset();
      } catch (error) {
        this.#host.failed(asGatewayError(error, 'CONNECT_FAILED'));
      }
      await backoff.wait();
    }
  }

  /** Resolves when the channel was there and is gone again. */
  async #openControl(): Promise<void> {
    const { peer, identity, pin } = this.#options;
    const socket = await connectControl(peer, identity, pin, { signal: this.#signal });
    this.#reached = { host: socket.remoteAddress ?? peer.host, port: peer.port };
    await this.#host.control(socket);
  }

  /** Resolves when the subflow was there and is gone again. */
  async #openSubflow(subflowId: number): Promise<void> {
    await this.#secretHeld();
    if (this.#signal.aborted) return;
    const { chain, suite, sessionId } = this.#options;
    const secret = chain.get(chain.epoch);
    if (secret === undefined) throw new GatewayError('JOIN_EPOCH');
    const join = { sessionId, epoch: chain.epoch, subflowId, generation: this.#nextGeneration };
    this.#nextGeneration += 1;
    // A copy: the chain wipes its own when it moves on.
    const held = Buffer.from(secret);
    const { socket, keys } = await connectSubflow(this.#reached, held, suite, join, { signal: this.#signal }).finally(
      () => held.fill(0),
    );
    await this.#host.subflow(subflowId, join.generation, socket, keys).gone;
  }

  #secretHeld(): Promise<void> {
    if (this.#options.chain.epoch > 0 || this.#signal.aborted) return Promise.resolve();
    return new Promise((resolve) => this.#secretWaiters.push(resolve));
  }
}
