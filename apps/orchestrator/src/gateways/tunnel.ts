/**
 * A pair of gateways joined by a tunnel. It owns the connections to the two and the keepers of their leases, not the
 * gateways themselves: those are journalled resources of the workflow.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayStatus, ProbeResult, SessionConfig, Suite } from '@lmas/gateway-api';
import type { Prepared, Routes, TransparentFlow } from '@lmas/plugin-api';
import { errorCode, LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Migration } from '../migrations/record.ts';
import type { Site } from '../sites/sites.ts';
import type { Gateway } from './gateway.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import { openRedirectedRoutes } from './redirected-routes.ts';

export type TunnelStats = NonNullable<Migration['tunnel']>;
export type GatewaySite = NonNullable<Site['gateway']>;

export interface TunnelOptions {
  readonly subflows: SessionConfig['subflows'];
  readonly compression: NonNullable<SessionConfig['compression']>;
  readonly bandwidthBytesPerSec: number | null;
  /** How long streams wait for a lost tunnel before they are reset. */
  readonly graceMs: number;
}

/** 1 Gbit/s over 200 ms with 1 % loss takes four times its bandwidth-delay product; the gateways use what the path needs, up to this. */
const MAX_WINDOW_BYTES = 128 << 20;
const POLL_MS = 50;
/** What a probe may take beyond its own duration. */
const WARM_UP_GRACE_MS = 10_000;
const WARM_UP_REST_MS = 300;

/** One gateway, kept alive, and the site it stands at. */
export interface TunnelEnd {
  readonly gateway: Gateway;
  readonly lease: LeaseKeeper;
  readonly site: GatewaySite;
}

export interface TunnelEnds {
  readonly source: TunnelEnd;
  readonly destination: TunnelEnd;
}

export async function closeEnd({ lease, gateway }: Pick<TunnelEnd, 'lease' | 'gateway'>): Promise<void> {
  await lease[Symbol.asyncDispose]();
  await gateway.close();
}

export class Tunnel implements AsyncDisposable {
  readonly #ends: TunnelEnds;
  readonly #suite: Suite;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  readonly #ended = new AbortController();
  #warmUp: Promise<void> | undefined;

  constructor(ends: TunnelEnds, suite: Suite, log: Logger) {
    this.#ends = ends;
    this.#suite = suite;
    this.#log = log;
    for (const { gateway } of [ends.source, ends.destination]) void this.#watch(gateway);
  }

  /** Aborts, with LmasError GATEWAY_ENDED, when one of the two gateways has ended: nothing goes through from then on. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  async #watch(gateway: Gateway): Promise<void> {
    try {
      await gateway.gone({ signal: this.#closing.signal });
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#log.warn({ err: error }, 'a gateway is not watched any more');
      return;
    }
    const { site, end } = gateway.address;
    this.#ended.abort(new LmasError('GATEWAY_ENDED', `The gateway of the ${end} at site ${site} has ended.`));
  }

  /**
   * Configures both ends and waits until they have found each other. The destination listens if its site lets it.
   * @returns the port on which the listening one waits
   * @throws LmasError NO_LISTENER, NO_FREE_PORT, TUNNEL_NOT_ESTABLISHED, GATEWAY_…
   */
  async join(options: TunnelOptions, { signal }: { signal: AbortSignal }): Promise<number> {
    const { source, destination } = this.#ends;
    const [listener, dialer] = destination.site.listens ? [destination, source] : [source, destination];
    if (!listener.site.listens) throw new LmasError('NO_LISTENER');
    const [listenerIdentity, dialerIdentity] = await Promise.all([
      listener.gateway.identity({ signal }),
      dialer.gateway.identity({ signal }),
    ]);
    const common = {
      sessionId: randomUUID(),
      protocolVersion: 1 as const,
      suite: this.#suite,
      subflows: options.subflows,
      compression: options.compression,
      maxWindowBytes: MAX_WINDOW_BYTES,
      bandwidthBytesPerSec: options.bandwidthBytesPerSec,
      graceMs: options.graceMs,
    };
    const port = await listen(listener, { ...common, peerCertificate: dialerIdentity.certificate }, signal);
    await dialer.gateway.configure(
      {
        ...common,
        peerCertificate: listenerIdentity.certificate,
        role: { kind: 'dial', host: listener.site.tunnelAddress, port },
      },
      { signal },
    );
    await Promise.all([established(source.gateway, signal), established(destination.gateway, signal)]);
    return port;
  }

  /**
   * Sends throw-away data for a moment, in the background, so that congestion control knows the path before the guest's
   * memory comes. `openRoutes` waits for it. Nothing depends on its success.
   */
  warmUp(durationMs: number, onMeasured: (link: ProbeResult) => Promise<void>): void {
    if (durationMs === 0) return;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(durationMs + WARM_UP_GRACE_MS)]);
    const measure = async (): Promise<void> => {
      const link = await this.#ends.source.gateway.probe(durationMs, { signal });
      this.#log.info({ link }, 'the link, as measured');
      await onMeasured(link);
      // What the measurement lost at its end is sent again meanwhile, and not while the guest's memory comes.
      await sleep(WARM_UP_REST_MS, undefined, { signal }).catch(() => undefined); // closing ends the rest
    };
    this.#warmUp = measure().catch((error: unknown) => {
      this.#log.warn({ err: error }, 'the link could not be measured, or what was measured not be noted');
    });
  }

  /** Offers the destination's addresses to the source host, at the source's gateway. Safe to repeat. */
  async openRoutes(prepared: Prepared, { signal }: { signal: AbortSignal }): Promise<Routes> {
    const routes = await openRedirectedRoutes(this.#ends, prepared.flows, prepared.sourceAddresses, signal);
    await this.#interceptFlows(prepared.transparentFlows ?? [], signal);
    const flows = [...prepared.flows, ...(prepared.transparentFlows ?? [])];
    if (flows.some(({ outlivesOutages }) => outlivesOutages === true)) await this.#liftGrace(signal);
    await this.#warmUp;
    return routes;
  }

  /** The dialling end first: from the moment that the other one intercepts, connections come. */
  async #interceptFlows(flows: readonly TransparentFlow[], signal: AbortSignal): Promise<void> {
    const { source, destination } = this.#ends;
    for (const { id, pairs, ports, maxStreams, priority, barrier = false } of flows) {
      const route = { kind: 'transparent' as const, pairs: [...pairs], ports: [...ports], maxStreams, priority };
      const put = ({ gateway }: TunnelEnd, end: 'dial' | 'intercept') => {
        const raised = barrier ? { barrier: gateway.barrierName } : {};
        return gateway.putRoute(id, { ...route, end, ...raised }, { signal });
      };
      await put(destination, 'dial');
      await put(source, 'intercept');
    }
  }

  /** From now on streams wait for a lost tunnel for as long as it takes. */
  async #liftGrace(signal: AbortSignal): Promise<void> {
    const ends = [this.#ends.source, this.#ends.destination];
    await Promise.all(ends.map(({ gateway }) => gateway.setLimits({ graceMs: null }, { signal })));
  }

  async stats({ signal }: { signal: AbortSignal }): Promise<TunnelStats> {
    const [source, destination] = await Promise.all([
      this.#ends.source.gateway.status({ signal }),
      this.#ends.destination.gateway.status({ signal }),
    ]);
    return mergeStatus(this.#suite, source, destination);
  }

  async setBandwidth(bandwidthBytesPerSec: number | null, { signal }: { signal: AbortSignal }): Promise<void> {
    const limits = { bandwidthBytesPerSec };
    const { source, destination } = this.#ends;
    await Promise.all([
      source.gateway.setLimits(limits, { signal }),
      destination.gateway.setLimits(limits, { signal }),
    ]);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#warmUp;
    await Promise.allSettled([closeEnd(this.#ends.source), closeEnd(this.#ends.destination)]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Listens on one of the site's ports; begins anywhere among them, so that two migrations rarely meet. */
async function listen(
  { gateway, site }: { gateway: Gateway; site: GatewaySite },
  config: Omit<SessionConfig, 'role'>,
  signal: AbortSignal,
): Promise<number> {
  const { min, max } = site.tunnelPorts;
  const count = max - min + 1;
  const first = Math.floor(Math.random() * count);
  for (let i = 0; i < count; i++) {
    const port = min + ((first + i) % count);
    try {
      const role = { kind: 'listen', address: site.listenAddress ?? site.tunnelAddress, port } as const;
      const { listening } = await gateway.configure({ ...config, role }, { signal });
      return listening?.port ?? port;
    } catch (error) {
      if (errorCode(error) !== 'NO_FREE_PORT') throw error;
    }
  }
  throw new LmasError('NO_FREE_PORT', `All of the ports ${min} to ${max} are taken at ${site.tunnelAddress}.`);
}

async function established(gateway: Gateway, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { session } = await gateway.status({ signal });
    if (session?.state === 'established') return;
    if (session?.state === 'closed') {
      const reason = session.lastError;
      throw new LmasError('TUNNEL_NOT_ESTABLISHED', reason ? `${reason.code}: ${reason.message}` : undefined);
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

const sum = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
};

/** What the pair carried from source to destination. Pure. */
export function mergeStatus(suite: Suite, source: GatewayStatus, destination: GatewayStatus): TunnelStats {
  const sender = source.session;
  const receiver = destination.session;
  if (sender === null || receiver === null) throw new LmasError('GATEWAY_ENDED', 'A gateway has no session.');
  const refusals: Record<string, number> = { ...sender.refusals };
  for (const [code, count] of Object.entries(receiver.refusals)) refusals[code] = (refusals[code] ?? 0) + count;
  return {
    suite,
    subflows: source.subflows.filter(({ state }) => state === 'open').length,
    subflowsReplaced: sender.subflowsReplaced,
    bytesDelivered: receiver.bytesReceived,
    goodputBitsPerSec: receiver.receivingMs > 0 ? (receiver.bytesReceived * 8_000) / receiver.receivingMs : 0,
    rttMs: sender.rttMs,
    congestionControl: source.subflows[0]?.congestionControl ?? null,
    retransmits: sum(source.subflows.map(({ retransmits }) => retransmits)),
    inFlightBytes: sender.inFlightBytes,
    refusals,
    trouble: sender.lastError ?? receiver.lastError,
    now: partsOf(source, destination, sender, receiver),
  };
}

const MAX_STREAMS_SHOWN = 64;

function partsOf(
  source: GatewayStatus,
  destination: GatewayStatus,
  sender: NonNullable<GatewayStatus['session']>,
  receiver: NonNullable<GatewayStatus['session']>,
): NonNullable<TunnelStats['now']> {
  const arriving = new Map(destination.streams.map((stream) => [stream.id, stream]));
  return {
    sendBitsPerSec: sender.sendBitsPerSec,
    linkBitsPerSec: sender.link.bytesPerSec > 0 ? sender.link.bytesPerSec * 8 : null,
    linkQueueMs: sender.link.queueMs,
    linkLossShare: sender.link.lossShare,
    windowBytes: sender.windowBytes,
    kernelBytes: sender.kernelBytes,
    bufferedBytes: receiver.bufferedBytes,
    rekeys: sender.rekeys,
    compressionRatio: sender.link.compressionRatio,
    subflows: source.subflows.map(({ id, sendBitsPerSec, rttMs, congestionWindowBytes, queueBytes, retransmits }) => ({
      ...{ id, sendBitsPerSec, rttMs, congestionWindowBytes, queueBytes, retransmits },
    })),
    streams: source.streams.slice(0, MAX_STREAMS_SHOWN).map(({ id, route, bytesSent, sendBitsPerSec, ...stream }) => ({
      ...{ id, route, bytesSent, sendBitsPerSec, queueBytes: stream.queueBytes, idleMs: stream.idleMs },
      reorderDepth: arriving.get(id)?.reorderDepth ?? 0,
    })),
  };
}
