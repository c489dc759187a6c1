/** The status as a person wants to read it at three in the morning: first whether all is well, then how fast, then the parts. Pure. */
import type { GatewayStatus } from '@lmas/gateway-api';

export function renderStatus(status: GatewayStatus): string {
  const { session, subflows, streams, routes } = status;
  const lines = [
    `gateway ${status.identity.version}, pid ${status.identity.pid}, up ${duration(status.uptimeMs)}, ${bytes(status.rssBytes)} of memory`,
  ];
  const before = previousLines(status.previousSession);
  if (session === null) {
    const none =
      before.length === 0 ? 'No session has been configured yet.' : 'There is no session; it is tried again.';
    return [...lines, none, ...before].join('\n');
  }
  lines.push(headline(session), ...before, ...sessionLines(session));
  if (subflows.length > 0) lines.push('', ...subflowLines(subflows));
  if (routes.length > 0) lines.push('', ...routes.map(routeLine));
  lines.push('', ...(streams.length > 0 ? streamLines(streams) : ['No stream is open.']));
  const over = status.closedStreams.slice(-5);
  if (over.length > 0) lines.push('', 'Newest streams that are over:', ...over.map(closedLine));
  return lines.join('\n');
}

type Session = NonNullable<GatewayStatus['session']>;

const meanings: Record<Session['state'], string> = {
  listening: 'LISTENING: the peer gateway has not come yet.',
  connecting: 'CONNECTING: the peer gateway has not answered yet.',
  established: 'ESTABLISHED: both gateways are joined.',
  interrupted: 'INTERRUPTED: the peer is out of reach; streams wait.',
  closed: 'CLOSED: this session is over.',
};

function headline({ state, lastError }: Session): string {
  return lastError === null ? meanings[state] : `${meanings[state]} ${lastError.code}: ${lastError.message}`;
}

function previousLines(previous: GatewayStatus['previousSession']): string[] {
  if (previous === null) return [];
  return [`  The session before it ended at ${previous.endedAt}. ${previous.code}: ${previous.message}`];
}

function sessionLines(session: Session): string[] {
  const { rttMs, refusals } = session;
  const refused = Object.entries(refusals).map(([code, count]) => `${code} ${count}`);
  return [
    `  out  ${rate(session.sendBitsPerSec)}, ${bytes(session.bytesAcknowledged)} delivered of ${bytes(session.bytesSent)}; ${bytes(session.inFlightBytes)} on the way, window ${bytes(session.windowBytes)}`,
    `  in   ${rate(session.receiveBitsPerSec)}, ${bytes(session.bytesReceived)} delivered; ${bytes(session.bufferedBytes)} wait`,
    `  link RTT ${rttMs === null ? 'unknown' : `${rttMs.toFixed(1)} ms`}; ${session.subflows.wanted} subflow(s) wanted of ${session.subflows.min} to ${session.subflows.max}, ${session.subflowsReplaced} replaced, ${session.rekeys} re-key(s)`,
    `  rate ${pathWords(session.link)}`,
    ...limitLines(session.limits),
    `  kernel ${session.kernelBytes === null ? 'unknown' : bytes(session.kernelBytes)} of memory for all sockets`,
    ...(refused.length === 0 ? [] : [`  refused: ${refused.join(', ')}`]),
  ];
}

function limitLines(limits: Session['limits']): string[] {
  if (limits === null) return [];
  const { bandwidthBytesPerSec, graceMs } = limits;
  const sent =
    bandwidthBytesPerSec === null ? 'as much as the link bears' : `at most ${rate(bandwidthBytesPerSec * 8)}`;
  const wait = graceMs === null ? 'for as long as it takes' : `for ${duration(graceMs)}`;
  return [`  limit out ${sent}; streams wait ${wait} when the peer is away`];
}

function pathWords({
  state,
  bytesPerSec,
  paceBytesPerSec,
  queueMs,
  lossShare,
  compressionRatio,
}: Session['link']): string {
  const measured = bytesPerSec === 0 ? 'unknown' : `${rate(bytesPerSec * 8)} measured`;
  const pace = paceBytesPerSec === null ? 'no pace' : `pace ${rate(paceBytesPerSec * 8)}`;
  const losses = `${(lossShare * 100).toFixed(2)} % sent again`;
  return `${measured} (${state}), ${pace}, queue ${queueMs.toFixed(1)} ms, ${losses}; compression ${compressionRatio.toFixed(2)}`;
}

function subflowLines(subflows: GatewayStatus['subflows']): string[] {
  const rows = subflows.map((one) => [
    String(one.id),
    rate(one.sendBitsPerSec),
    rate(one.receiveBitsPerSec),
    one.rttMs === null ? '-' : `${one.rttMs.toFixed(1)} ms`,
    one.congestionWindowBytes === null ? '-' : bytes(one.congestionWindowBytes),
    one.queueBytes === null ? '-' : bytes(one.queueBytes),
    String(one.retransmits ?? '-'),
    String(one.rekeys),
    one.congestionControl ?? '-',
  ]);
  return table(['subflow', 'out', 'in', 'RTT', 'cwnd', 'queue', 'resent', 're-keys', 'control'], rows);
}

function streamLines(streams: GatewayStatus['streams']): string[] {
  const rows = streams.map((one) => [
    String(one.id),
    one.route,
    one.state,
    rate(one.sendBitsPerSec),
    rate(one.receiveBitsPerSec),
    bytes(one.queueBytes),
    String(one.reorderDepth),
    duration(one.idleMs),
    one.peer,
  ]);
  return table(['stream', 'route', 'state', 'out', 'in', 'queue', 'reorder', 'idle', 'hypervisor'], rows);
}

function routeLine(route: GatewayStatus['routes'][number]): string {
  if (route.kind !== 'transparent') return `route ${route.id}: ${route.kind} ${route.address} port ${route.port}`;
  return `route ${route.id}: transparent, ${route.end}, ${route.active ? 'rules stand' : 'no rules: everything is forwarded'}`;
}

function closedLine({
  id,
  route,
  outcome,
  bytesSent,
  bytesReceived,
  error,
}: GatewayStatus['closedStreams'][number]): string {
  const why = error === null ? '' : ` (${error})`;
  return `  ${id} ${route}: ${outcome}${why}, out ${bytes(bytesSent)}, in ${bytes(bytesReceived)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  return [head, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let [rest, unit] = [value, 0];
  for (; rest >= step && unit < units.length - 1; unit += 1) rest /= step;
  return `${unit === 0 || rest >= 100 ? Math.round(rest) : rest.toFixed(1)} ${units[unit]}`;
}
const bytes = (value: number): string => scaled(value, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
const rate = (bitsPerSec: number): string => scaled(bitsPerSec, 1000, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s']);

function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600
    ? `${Math.floor(seconds / 60)} min ${seconds % 60} s`
    : `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
