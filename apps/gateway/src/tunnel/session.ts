/**
 * What the two gateways of a pair share: one control channel, one data channel, and the secrets between them. The session decides
 * when the pair counts as connected, brings back what was lost, and gives up after the grace time.
 *
 *   listening | connecting ──control + subflow──▶ established ◀──both back──┐
 *                                                   └──either lost──▶ interrupted ──grace over──▶ closed
 *   any ──close, BYE, SESSION_UNKNOWN──▶ closed
 *
 * It owns the acceptor or the redialer, the control channel, the data channel and every timer of them.
 */
import { randomBytes } from 'node:crypto';
import type net from 'node:net';
import type tls from 'node:tls';
import type { Limits, SessionConfig, SessionState } from '@lmas/gateway-api';
import { asGatewayError, GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import { SlabPool } from '../platform/slab.ts';
import { MAX_SUBFLOWS } from '../protocol/frame.ts';
import { ControlType, encodeSubflows } from '../protocol/handshake.ts';
import type { Identity } from '../security/certificate.ts';
import { parseCertificate } from '../security/certificate.ts';
import { exporterOf, type PeerPin } from '../security/control-tls.ts';
import { SecretChain } from '../security/keys.ts';
import { Acceptor } from './acceptor.ts';
import type { PeerAddress } from './connector.ts';
import { byeError, ControlChannel, type ControlMessage } from './control-channel.ts';
import { DataChannel, type DataChannelEvents } from './data-channel.ts';
import type { SubflowKeys } from './join.ts';
import { Probe } from './probe.ts';
import { Redialer, type RedialerHost } from './redialer.ts';
import { type StallLimits, watchSubflows } from './stall-watch.ts';
import { type RekeyLimits, Subflow, subflowTuning } from './subflow.ts';
import { subflowRange } from './subflow-count.ts';
import { SubflowKeeper } from './subflow-keeper.ts';
import { wireOf } from './wire.ts';

/** A third of a long round trip, so that the window sees a queue in time. */
const tickMs = 20;
const controlPingMs = 2_000;
const controlSilenceMs = 10_000;
/** Memory that was not needed for so long goes back to the system. */
const trimMs = 2_000;
/** While the peer cannot be reached, one warning at once and another after so long. */
const unreachedWarningMs = 30_000;

export interface SessionEvents extends Omit<DataChannelEvents, 'subflowLost' | 'subflowRetired' | 'violated'> {
  stateChanged(state: SessionState['state']): void;
  refused(error: GatewayError, from: string): void;
}

/** What the protocol fixes; tests make it shorter. */
export interface SessionTuning {
  stall?: StallLimits;
  rekey?: RekeyLimits;
}

export interface SessionDependencies {
  identity: Identity;
  config: SessionConfig;
  log: Log;
  events: SessionEvents;
  tuning?: SessionTuning | undefined;
}

export class Session {
  readonly config: SessionConfig;
  readonly pool = new SlabPool();
  readonly data: DataChannel;
  readonly probe: Probe;
  readonly subflows: SubflowKeeper;
  subflowsReplaced = 0;
  rekeysOfLostSubflows = 0;
  lastError: GatewayError | null = null;
  /** When it was closed. */
  endedAt: Date | null = null;
  listening: { address: string; port: number } | null = null;

  readonly #deps: SessionDependencies;
  readonly #sessionId: Buffer;
  readonly #instanceId = randomBytes(16);
  readonly #pin: PeerPin;
  readonly #chain = new SecretChain();
  readonly #abort = new AbortController();
  readonly #generations = new Map<number, number>();
  #acceptor: Acceptor | null = null;
  #redialer: Redialer | null = null;
  #control: ControlChannel | null = null;
  #state: SessionState['state'];
  #everEstablished = false;
  #graceMs: number | null;
  #graceTimer: NodeJS.Timeout | null = null;
  #tickTimer: NodeJS.Timeout | null = null;
  #pingedAtMs = 0;
  #trimmedAtMs = 0;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: SessionDependencies) {
    this.#deps = deps;
    this.config = deps.config;
    this.#graceMs = deps.config.graceMs;
    this.#sessionId = Buffer.from(deps.config.sessionId.replaceAll('-', ''), 'hex');
    this.#pin = { certificateDer: parseCertificate(deps.config.peerCertificate).raw };
    this.#state = deps.config.role.kind === 'listen' ? 'listening' : 'connecting';
    this.data = new DataChannel({
      connector: deps.config.role.kind === 'dial',
      maxWindowBytes: deps.config.maxWindowBytes,
      bandwidthBytesPerSec: deps.config.bandwidthBytesPerSec,
      compression: deps.config.compression === 'auto',
      subflows: subflowRange(deps.config.subflows),
      pool: this.pool,
      events: {
        opened: (stream, open) => deps.events.opened(stream, open),
        skipped: (open) => deps.events.skipped(open),
        streamClosed: (closed) => deps.events.streamClosed(closed),
        subflowLost: (subflow, error) => this.#subflowLost(subflow, error),
        subflowRetired: (subflow) => this.#subflowRetired(subflow),
        violated: (error) => this.close(error, 'session-lost'),
      },
    });
    this.probe = new Probe(this.data, (type, body) => this.#control?.send(type, body));
    this.subflows = new SubflowKeeper(this.data, deps.config.role.kind === 'dial', {
      join: (count) => this.#redialer?.want(count),
      tell: (count) => this.#control?.send(ControlType.SUBFLOWS, encodeSubflows(count)),
    });
  }

  get state(): SessionState['state'] {
    return this.#state;
  }
  /** Those in force, whoever set them. */
  get limits(): { bandwidthBytesPerSec: number | null; graceMs: number | null } {
    return { bandwidthBytesPerSec: this.data.sender.limit.rate, graceMs: this.#graceMs };
  }
  /** Changes what is named. */
  setLimits({ bandwidthBytesPerSec, graceMs }: Limits): void {
    if (bandwidthBytesPerSec !== undefined) this.data.sender.limit.rate = bandwidthBytesPerSec;
    if (graceMs !== undefined) this.setGrace(graceMs);
  }
  /** Changes how long streams wait for what was lost; `null`: for as long as it takes. A wait under way begins anew. */
  setGrace(graceMs: number | null): void {
    this.#graceMs = graceMs;
    if (this.#state === 'interrupted') this.#startGrace();
  }
  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** Binds or starts to dial. Rejects with LISTEN_FAILED when the port cannot be had. */
  async start(): Promise<void> {
    const { role } = this.config;
    if (role.kind === 'listen') {
      this.#acceptor = this.#makeAcceptor();
      this.listening = await this.#acceptor.listen(role.address, role.port);
    } else {
      this.#redialer = this.#makeRedialer({ host: role.host, port: role.port });
      this.#redialer.start();
    }
    this.subflows.keep();
    this.#tickTimer = setInterval(() => this.#tick(), tickMs);
  }

  /** Ends the session for good and tells the peer. */
  close(error: GatewayError, outcome: 'session-lost' | 'reset-by-peer' = 'session-lost'): void {
    if (this.isClosed) return;
    this.lastError = error;
    this.endedAt = new Date();
    this.#state = 'closed';
    this.#abort.abort();
    if (this.#tickTimer !== null) clearInterval(this.#tickTimer);
    if (this.#graceTimer !== null) clearTimeout(this.#graceTimer);
    this.#acceptor?.close();
    this.data.close(error, outcome);
    this.#control?.bye(error.code === 'SESSION_CLOSED' ? new GatewayError('PEER_CLOSED') : error);
    this.probe.cancel(error);
    this.#chain.wipe();
    this.#tellState(); // Whoever looks now finds no stream any more.
  }

  // The listening end.

  #makeAcceptor(): Acceptor {
    return new Acceptor({
      identity: this.#deps.identity,
      pin: this.#pin,
      join: {
        sessionId: this.#sessionId,
        suite: this.config.suite,
        maxSubflows: MAX_SUBFLOWS,
        secret: (epoch) => this.#chain.get(epoch),
        lastGeneration: (id) => this.#generations.get(id) ?? 0,
        seen: (id, generation) => this.#generations.set(id, generation),
      },
      events: {
        control: (socket) => void this.#establishControl(socket),
        subflow: (socket, join, keys) => this.#addSubflow(join.subflowId, join.generation, socket, keys),
        refused: (error, from) => this.#deps.events.refused(error, from),
      },
    });
  }

  // The dialling end.

  #makeRedialer(peer: PeerAddress): Redialer {
    const options = {
      peer,
      identity: this.#deps.identity,
      pin: this.#pin,
      sessionId: this.#sessionId,
      suite: this.config.suite,
      chain: this.#chain,
    };
    const host: RedialerHost = {
      control: (socket) => this.#establishControl(socket),
      subflow: (id, generation, socket, keys) => this.#addSubflow(id, generation, socket, keys),
      failed: (error) => this.#noteFailure(error),
    };
    return new Redialer(options, host, { signal: this.#abort.signal });
  }

  #noteFailure(error: GatewayError): void {
    if (this.isClosed) return;
    if (error.code === 'SESSION_UNKNOWN') {
      this.close(error);
      return;
    }
    // While it is established a subflow that can't be had is its keeper's business.
    if (this.#state !== 'established') this.lastError = error;
    const now = performance.now();
    const isDue = this.#state !== 'established' && now - this.#warnedAtMs >= unreachedWarningMs;
    if (isDue) this.#warnedAtMs = now;
    const { role } = this.config;
    const peer = role.kind === 'dial' ? `${role.host}:${role.port}` : null;
    const fields = { peer, code: error.code, reason: error.message };
    if (isDue) this.#deps.log.warn('the peer is not reached yet; trying again', fields);
    else this.#deps.log.debug('connecting failed', fields);
  }

  // Both ends.

  /** Resolves when the channel is gone again. Rejects on the dialling end only, when the handshake fails. */
  async #establishControl(socket: tls.TLSSocket): Promise<void> {
    const role = this.config.role.kind === 'listen' ? 'acceptor' : 'connector';
    const channel = new ControlChannel(socket);
    const from = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
    try {
      const local = {
        suite: this.config.suite,
        sessionId: this.#sessionId,
        instanceId: this.#instanceId,
        windowBytes: this.config.maxWindowBytes,
      };
      const hello = await channel.handshake(role, local, this.#chain, exporterOf(socket, this.#sessionId));
      this.data.sender.peerWindowBytes = hello.windowBytes;
    } catch (error) {
      const reason = asGatewayError(error, 'CONTROL_LOST');
      if (role === 'connector') throw reason;
      this.#deps.events.refused(reason, from);
      // A peer that lost the session cannot come back to it; while the old channel lives it is only refused.
      if (reason.code === 'SESSION_UNKNOWN' && this.#control?.isOpen !== true) this.close(reason);
      return;
    }
    await this.#adoptControl(channel);
  }

  #adoptControl(channel: ControlChannel): Promise<void> {
    if (this.isClosed) {
      channel.close(new GatewayError('SESSION_CLOSED'));
      return Promise.resolve();
    }
    const old = this.#control;
    this.#control = channel;
    old?.close(new GatewayError('CONTROL_LOST', '(replaced)'));
    this.#redialer?.secretChanged();
    this.#deps.log.info('control channel established', { epoch: this.#chain.epoch });
    return new Promise((resolve) => {
      channel.listen(
        (message) => this.#message(message),
        (error) => {
          if (this.#control === channel) this.#control = null;
          if (!this.isClosed) this.#deps.log.warn('control channel lost', { code: error.code });
          this.#review(error);
          resolve();
        },
      );
      this.#review(null);
      this.subflows.startOver();
    });
  }

  #message(message: ControlMessage): void {
    if (message.type === ControlType.PING) this.#control?.send(ControlType.PONG, this.probe.pong(message.body));
    else if (message.type === ControlType.BYE) this.close(byeError(message.body), 'reset-by-peer');
    else if (message.type === ControlType.SUBFLOWS) this.subflows.heard(message.body);
    else this.probe.message(message);
  }

  #addSubflow(id: number, generation: number, socket: net.Socket, keys: SubflowKeys): Subflow {
    const old = this.data.subflows.find((subflow) => subflow.id === id);
    const subflow = new Subflow(
      { id, generation },
      wireOf(socket, subflowTuning),
      keys,
      this.data,
      this.pool,
      this.#deps.tuning?.rekey,
    );
    this.data.addSubflow(subflow);
    // Its frames go over the new one.
    old?.close(new GatewayError('SUBFLOW_LOST', '(replaced)'));
    this.#deps.log.info('subflow open', { subflow: id, generation, congestionControl: subflow.congestionControl() });
    this.#review(null);
    return subflow;
  }

  #subflowLost(subflow: Subflow, error: GatewayError): void {
    this.rekeysOfLostSubflows += subflow.rekeys;
    if (!this.isClosed) {
      this.subflowsReplaced += 1;
      this.#deps.log.warn('subflow lost', { subflow: subflow.id, code: error.code, message: error.message });
      if (error.code.startsWith('FRAME_')) this.#deps.events.refused(error, subflow.wire.peer);
      this.#review(error);
    }
  }

  #subflowRetired(subflow: Subflow): void {
    this.rekeysOfLostSubflows += subflow.rekeys;
    if (this.isClosed) return;
    this.#deps.log.info('subflow retired', { subflow: subflow.id });
    this.#review(new GatewayError('SUBFLOW_LOST', '(retired)'));
  }

  /** Looks at what is there and moves the state. */
  #review(reason: GatewayError | null): void {
    if (this.isClosed) return;
    const whole = this.#control !== null && this.data.subflows.length > 0;
    if (whole) {
      this.#everEstablished = true;
      this.lastError = null;
      this.#warnedAtMs = Number.NEGATIVE_INFINITY;
      if (this.#graceTimer !== null) clearTimeout(this.#graceTimer);
      this.#graceTimer = null;
      this.#setState('established');
    } else if (this.#everEstablished && this.#state !== 'interrupted') {
      this.lastError = reason;
      this.#setState('interrupted');
      this.#startGrace();
    }
  }

  #startGrace(): void {
    if (this.#graceTimer !== null) clearTimeout(this.#graceTimer);
    this.#graceTimer = null;
    if (this.#graceMs === null) return;
    const graceMs = this.#graceMs;
    this.#graceTimer = setTimeout(() => this.close(this.#lostFor(graceMs)), graceMs);
  }

  #lostFor(graceMs: number): GatewayError {
    const lost = [
      ...(this.#control === null ? ['the control channel'] : []),
      ...(this.data.subflows.length === 0 ? ['all subflows'] : []),
    ];
    const cause = this.lastError;
    const last = cause === null ? '' : `; last: ${cause.code}, ${cause.message}`;
    return new GatewayError('SESSION_LOST', `(${lost.join(' and ')} gone for ${graceMs / 1_000} s${last})`, { cause });
  }

  #setState(state: SessionState['state']): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#tellState();
  }

  #tellState(): void {
    const { state, lastError } = this;
    const why = lastError === null ? {} : { code: lastError.code, reason: lastError.message };
    this.#deps.log.info('session', { state, ...why });
    this.#deps.events.stateChanged(state);
  }

  #tick(): void {
    const now = performance.now();
    this.data.tick();
    this.subflows.keep();
    if (now - this.#trimmedAtMs >= trimMs) {
      this.#trimmedAtMs = now;
      this.pool.trim();
    }
    watchSubflows(this.data, now, this.#deps.tuning?.stall);
    const control = this.#control;
    if (control === null || now - this.#pingedAtMs < controlPingMs) return;
    this.#pingedAtMs = now;
    if (now - control.lastReceivedAtMs > controlSilenceMs) control.close(new GatewayError('CONTROL_LOST', '(silent)'));
    else control.send(ControlType.PING, this.probe.ping());
  }
}
