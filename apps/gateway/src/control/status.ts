/** Puts together what `GET /v1/status` answers. Reads only; cheap enough for once a second. */
import type { GatewayStatus, RouteState } from '@lmas/gateway-api';
import type { Gateway } from '../gateway.ts';
import type { Session } from '../tunnel/session.ts';

export function buildStatus(gateway: Gateway, routes: RouteState[]): GatewayStatus {
  const { certificate: _certificate, ...identity } = gateway.describe();
  const { session } = gateway;
  const cpu = process.cpuUsage();
  return {
    identity,
    uptimeMs: Math.round(performance.now() - gateway.startedAtMs),
    leaseRemainingMs: gateway.lease.remainingMs,
    rssBytes: process.memoryUsage.rss(),
    cpuMs: Math.round((cpu.user + cpu.system) / 1000),
    session: session === null ? null : sessionStatus(gateway, session),
    previousSession: gateway.previousSession,
    subflows: session === null ? [] : subflowStatus(session),
    routes,
    streams: session === null ? [] : streamStatus(session),
    closedStreams: [...gateway.closedStreams],
  };
}

function sessionStatus(gateway: Gateway, session: Session): GatewayStatus['session'] {
  const { data } = session;
  const rekeys = data.subflows.reduce((sum, subflow) => sum + subflow.rekeys, session.rekeysOfLostSubflows);
  return {
    ...gateway.sessionState(session),
    bytesSent: data.bytesSent,
    bytesReceived: data.bytesReceived,
    bytesAcknowledged: data.sender.bytesDelivered,
    sendBitsPerSec: Math.round(data.sender.rate.bytesPerSec * 8),
    receiveBitsPerSec: Math.round(data.receiveRate.bytesPerSec * 8),
    receivingMs: Math.round(data.receivingMs),
    windowBytes: data.sender.window.bytes,
    subflows: { wanted: session.subflows.wanted, ...data.sender.subflowCount.range },
    inFlightBytes: data.inFlightBytes,
    bufferedBytes: data.bufferedBytes,
    kernelBytes: data.kernelBytes,
    rttMs: data.sender.link.minRttMs,
    limits: session.limits,
    link: linkStatus(session),
    rekeys,
    subflowsReplaced: session.subflowsReplaced,
    refusals: { ...gateway.refusals },
    lastError: session.lastError === null ? null : { code: session.lastError.code, message: session.lastError.message },
  };
}

function linkStatus({ data: { sender } }: Session): NonNullable<GatewayStatus['session']>['link'] {
  const { state, bytesPerSec, paceBytesPerSec, queueMs } = sender.linkRate;
  return {
    state,
    bytesPerSec: Math.round(bytesPerSec),
    paceBytesPerSec: paceBytesPerSec === null ? null : Math.round(paceBytesPerSec),
    queueMs,
    lossShare: sender.window.lossShare,
    compressionRatio: sender.compressionRatio,
  };
}

function subflowStatus({ data }: Session): GatewayStatus['subflows'] {
  return data.subflows.map((subflow) => {
    const info = subflow.info();
    return {
      id: subflow.id,
      state: subflow.isRetiring ? 'draining' : 'open',
      bytesSent: subflow.bytesSent,
      bytesReceived: subflow.bytesReceived,
      sendBitsPerSec: Math.round(subflow.sendRate.bytesPerSec * 8),
      receiveBitsPerSec: Math.round(subflow.receiveRate.bytesPerSec * 8),
      generation: subflow.generation,
      rekeys: subflow.rekeys,
      unacknowledgedFrames: subflow.unacknowledgedFrames,
      congestionControl: subflow.congestionControl(),
      rttMs: info?.rttMs ?? null,
      congestionWindowBytes: info === null ? null : info.congestionWindowSegments * info.mssBytes,
      queueBytes: info?.notSentBytes ?? null,
      kernelBytes: subflow.kernelBytes,
      retransmits: info?.retransmits ?? null,
    };
  });
}

function streamStatus({ data }: Session): GatewayStatus['streams'] {
  const named = [...data.streams.values()].filter((stream) => stream.route !== '');
  return named.map((stream) => ({
    id: stream.id,
    route: stream.route,
    state: stream.state,
    peer: stream.peer,
    bytesSent: stream.takenBytes,
    bytesReceived: stream.deliveredBytes,
    sendBitsPerSec: Math.round(stream.sendRate.bytesPerSec * 8),
    receiveBitsPerSec: Math.round(stream.receiveRate.bytesPerSec * 8),
    queueBytes: stream.pendingBytes,
    outstandingBytes: stream.outstandingBytes,
    reorderDepth: stream.reorderDepth,
    idleMs: stream.idleMs,
  }));
}
