/**
 * One gateway: its identity, its one session, its routes and its lease, as the control API and the static mode see them.
 * It owns all of them; `shutdown` ends them in order. A gateway serves one session in its life.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  GATEWAY_API_VERSION,
  type GatewayIdentity,
  type GatewayStatus,
  type Limits,
  type ProbeResult,
  type RouteConfig,
  type RouteState,
  type SessionConfig,
  type SessionState,
} from '@lmas/gateway-api';
import { buildStatus } from './control/status.ts';
import { GatewayError } from './errors.ts';
import type { Lease } from './lease.ts';
import type { Log } from './log.ts';
import { PROTOCOL_VERSION } from './protocol/frame.ts';
import type { OpenPayload } from './protocol/payloads.ts';
import { Dialer, type FarEnd } from './proxy/dialer.ts';
import { Listener, type ListenerHost } from './proxy/listener.ts';
import { RedirectedEnd } from './proxy/redirected-end.ts';
import type { TransparentConfig } from './proxy/transparent/address-set.ts';
import { TransparentEnd } from './proxy/transparent/dial-end.ts';
import { Interception } from './proxy/transparent/interception.ts';
import { Interceptor } from './proxy/transparent/interceptor.ts';
import { RefusalLog } from './refusal-log.ts';
import { type Identity, parseCertificate } from './security/certificate.ts';
import type { StreamClosed } from './tunnel/data-channel.ts';
import { Session, type SessionTuning } from './tunnel/session.ts';
import type { Stream } from './tunnel/stream.ts';
import { version } from './version.ts';

const rememberedStreams = 100;

export interface GatewayOptions {
  identity: Identity;
  lease: Lease;
  log: Log;
  tuning?: SessionTuning | undefined;
}

export class Gateway {
  readonly identity: Identity;
  readonly lease: Lease;
  readonly closedStreams: GatewayStatus['closedStreams'] = [];
  readonly startedAtMs = performance.now();
  session: Session | null = null;
  /** How the one before it ended, in static mode, where a session follows another. */
  previousSession: GatewayStatus['previousSession'] = null;
  #previousLimits: Limits = {};
  readonly #log: Log;
  readonly #refusals: RefusalLog;
  readonly #options: GatewayOptions;
  readonly #listeners = new Map<string, Listener | Interceptor>();
  readonly #dialers = new Map<string, Dialer>();
  /** Routes on their way: two that ask for the same one at once get the same one. */
  readonly #adding = new Map<string, { readonly config: RouteConfig; readonly done: Promise<RouteState> }>();
  /** From the first transparent route on. */
  #interception: Interception | null = null;
  #closing = false;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.identity = options.identity;
    this.lease = options.lease;
    this.#log = options.log;
    this.#refusals = new RefusalLog(options.log);
    this.lease.isBusy = () => (this.session?.data.streams.size ?? 0) > 0;
  }

  /** By code, since the start. */
  get refusals(): Readonly<Record<string, number>> {
    return this.#refusals.counts;
  }

  describe(): GatewayIdentity {
    return {
      apiVersion: GATEWAY_API_VERSION,
      version,
      protocolVersions: [PROTOCOL_VERSION],
      suites: ['aes-256-gcm', 'chacha20-poly1305', 'none'],
      certificate: this.identity.certificatePem,
      certificateSha256: this.identity.certificateSha256,
      pid: process.pid,
    };
  }

  status(): GatewayStatus {
    return buildStatus(this, this.routes());
  }

  /** Idempotent for the same configuration; SESSION_CONFLICT for another one. */
  async configureSession(config: SessionConfig): Promise<SessionState> {
    if (this.#closing) throw new GatewayError('SHUTTING_DOWN');
    const present = this.session;
    if (present !== null && isDeepStrictEqual(present.config, config)) return this.sessionState(present);
    if (present !== null && !present.isClosed) throw new GatewayError('SESSION_CONFLICT');
    if (parseCertificate(config.peerCertificate).raw.equals(this.identity.certificateDer)) {
      throw new GatewayError('PEER_CERTIFICATE_OWN');
    }
    const session = this.#makeSession(config);
    // Ordinals belong to a session: the peer's gateway may be a new one, and an OPEN may have been lost with the session before.
    for (const route of [...this.#listeners.values(), ...this.#dialers.values()]) route.startOver();
    this.session = session;
    try {
      await session.start();
    } catch (error) {
      session.close(new GatewayError('SESSION_CLOSED'));
      this.session = null;
      throw error;
    }
    return this.sessionState(session);
  }

  /**
   * Begins anew a session that is over, or one that could not be begun, as when the port was taken for a moment. The limits are
   * those that the one before had at its end.
   */
  async renewSession(config: SessionConfig): Promise<void> {
    const over = this.session;
    if (over?.isClosed === false) return;
    if (over !== null) {
      const { endedAt, lastError } = over;
      if (endedAt !== null && lastError !== null) {
        const { code, message } = lastError;
        this.previousSession = { endedAt: endedAt.toISOString(), code, message };
      }
      this.#previousLimits = over.limits;
      this.session = null;
    }
    await this.configureSession(config);
    this.setLimits(this.#previousLimits);
  }

  sessionState(session: Session): SessionState {
    return { sessionId: session.config.sessionId, state: session.state, listening: session.listening };
  }

  /** Idempotent for the same configuration; ROUTE_CONFLICT for another one. */
  async putRoute(id: string, config: RouteConfig): Promise<RouteState> {
    if (this.#closing) throw new GatewayError('SHUTTING_DOWN');
    const present = this.#listeners.get(id) ?? this.#dialers.get(id);
    if (present !== undefined) {
      if (!isDeepStrictEqual(present.config, config)) throw new GatewayError('ROUTE_CONFLICT');
      return this.#routeState(present);
    }
    const adding = this.#adding.get(id);
    if (adding !== undefined) {
      if (!isDeepStrictEqual(adding.config, config)) throw new GatewayError('ROUTE_CONFLICT');
      return await adding.done;
    }
    const done = this.#addRoute(id, config);
    this.#adding.set(id, { config, done });
    try {
      const route = await done;
      this.#log.info('route', { ...route });
      return route;
    } finally {
      this.#adding.delete(id);
    }
  }

  /** Removes a route and resets its streams; nothing to do is done. */
  deleteRoute(id: string): void {
    this.#listeners.get(id)?.close();
    this.#dialers.get(id)?.close();
    this.#listeners.delete(id);
    this.#dialers.delete(id);
    for (const stream of [...(this.session?.data.streams.values() ?? [])]) {
      if (stream.route === id)
        this.session?.data.resetStream(stream, 'route-removed', 'reset-by-peer', 'ROUTE_REMOVED');
    }
  }

  routes(): RouteState[] {
    return [...this.#listeners.values(), ...this.#dialers.values()].map((route) => this.#routeState(route));
  }

  /** Changes what is named. @throws GatewayError NO_SESSION */
  setLimits(limits: Limits): void {
    if (this.session === null) throw new GatewayError('NO_SESSION');
    this.session.setLimits(limits);
  }

  probe(durationMs: number): Promise<ProbeResult> {
    const { session } = this;
    if (session === null) throw new GatewayError('NO_SESSION');
    if (session.state !== 'established') throw new GatewayError('SESSION_NOT_ESTABLISHED');
    return session.probe.run(durationMs);
  }

  /** Ends routes, streams and session; idempotent. */
  shutdown(): void {
    if (this.#closing) return;
    this.#closing = true;
    for (const listener of this.#listeners.values()) listener.close();
    for (const dialer of this.#dialers.values()) dialer.close();
    this.#interception?.close();
    this.session?.close(new GatewayError('SESSION_CLOSED'));
    this.#refusals.stop();
  }

  refused(error: GatewayError, from: string): void {
    this.#refusals.note(error, from);
  }

  #makeSession(config: SessionConfig): Session {
    return new Session({
      identity: this.identity,
      config,
      log: this.#log,
      tuning: this.#options.tuning,
      events: {
        opened: (stream, open) => this.#opened(stream, open),
        skipped: (open) => this.#dialers.get(open.route)?.push(open.ordinal, null, null),
        streamClosed: (closed) => this.#streamClosed(closed),
        stateChanged: () => {
          this.lease.touch();
          this.#interception?.setActive(this.#sessionRefusal() === null);
        },
        refused: (error, from) => this.refused(error, from),
      },
    });
  }

  #opened(stream: Stream, open: OpenPayload): void {
    const dialer = this.#dialers.get(open.route);
    if (dialer === undefined) {
      this.refused(new GatewayError('ROUTE_UNKNOWN', `(${open.route})`), 'peer');
      this.session?.data.resetStream(stream, 'refused', 'dial-failed', 'ROUTE_UNKNOWN');
      return;
    }
    dialer.push(open.ordinal, stream, open.endpoints);
  }

  #streamClosed({ stream, outcome, error }: StreamClosed): void {
    if (!stream.initiatedHere) this.#dialers.get(stream.route)?.ended(stream);
    this.closedStreams.push({
      id: stream.id,
      route: stream.route,
      outcome,
      bytesSent: stream.takenBytes,
      bytesReceived: stream.deliveredBytes,
      firstByteAtMs: stream.firstByteAtMs,
      lastByteAtMs: stream.lastByteAtMs,
      error,
    });
    if (this.closedStreams.length > rememberedStreams) this.closedStreams.shift();
    this.#log.info('stream over', {
      stream: stream.id,
      route: stream.route,
      outcome,
      sent: stream.takenBytes,
      received: stream.deliveredBytes,
      error,
    });
    this.lease.touch();
  }

  #addRoute(id: string, config: RouteConfig): Promise<RouteState> {
    if (config.kind === 'listen') return this.#listen(new Listener(id, config, this.#listenerHost()));
    if (config.kind === 'dial') return this.#dial(id, new RedirectedEnd(config));
    return this.#addTransparent(id, config);
  }

  #addTransparent(id: string, config: TransparentConfig): Promise<RouteState> {
    this.#interception ??= new Interception(this.#log);
    this.#interception.setActive(this.#sessionRefusal() === null);
    if (config.end === 'dial') return this.#dial(id, new TransparentEnd(id, config, this.#interception));
    return this.#listen(new Interceptor(id, config, this.#interception, this.#listenerHost()));
  }

  #listenerHost(): ListenerHost {
    return {
      refusal: () => this.#openRefusal(),
      open: (open, wire) => {
        const stream = this.session?.data.openStream(open, wire);
        const { route, ordinal } = open;
        this.#log.info('stream open', { stream: stream?.id, route, ordinal, from: wire.peer });
      },
      refused: (error, from) => this.refused(error, from),
      streamsOf: (route) => this.#streamsOf(route),
    };
  }

  async #listen(listener: Listener | Interceptor): Promise<RouteState> {
    await listener.start();
    this.#listeners.set(listener.id, listener);
    return this.#routeState(listener);
  }

  async #dial(id: string, end: FarEnd): Promise<RouteState> {
    const dialer = new Dialer(id, end, {
      accept: (stream, wire) => this.session?.data.accept(stream, wire),
      refuse: (stream, error) => this.#refuseDial(stream, id, error),
    });
    await dialer.start();
    this.#dialers.set(id, dialer);
    return this.#routeState(dialer);
  }

  #refuseDial(stream: Stream, route: string, error: GatewayError): void {
    this.#log.warn('dial failed', { stream: stream.id, route, code: error.code, message: error.message });
    const peersFault = error.code === 'ENDPOINTS_REFUSED' || error.code === 'ADDRESS_OUTSIDE_ROUTE';
    if (peersFault) this.refused(error, 'peer');
    this.session?.data.resetStream(stream, peersFault ? 'refused' : 'dial-failed', 'dial-failed', error.message);
  }

  /** Why no stream can be carried now. */
  #sessionRefusal(): GatewayError | null {
    if (this.session === null) return new GatewayError('NO_SESSION');
    // Within the grace time new streams wait like the others.
    const ready = this.session.state === 'established' || this.session.state === 'interrupted';
    return ready ? null : new GatewayError('SESSION_NOT_ESTABLISHED');
  }

  /** Why one more can't be opened: for want of room none is led past the tunnel. */
  #openRefusal(): GatewayError | null {
    const refusal = this.#sessionRefusal();
    if (refusal !== null || this.session?.data.mayOpenStream === true) return refusal;
    return new GatewayError('TOO_MANY_STREAMS');
  }

  #streamsOf(route: string): number {
    let count = 0;
    for (const stream of this.session?.data.streams.values() ?? []) if (stream.route === route) count += 1;
    return count;
  }

  #routeState(route: Listener | Interceptor | Dialer): RouteState {
    const { id, config } = route;
    if (route instanceof Listener) return { id, kind: 'listen', address: route.address, port: route.port };
    if (config.kind === 'dial') return { id, kind: 'dial', address: config.host, port: config.port };
    if (config.kind === 'listen') throw new TypeError('A dialler does not listen.');
    return { id, kind: 'transparent', end: config.end, active: this.#interception?.isActive ?? false };
  }
}
