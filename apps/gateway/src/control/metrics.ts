/**
 * The status as Prometheus metrics, in the plain text format (prometheus.io/docs/instrumenting/exposition_formats). Pure. Labels are bounded: subflow
 * numbers (at most 64), names of routes, codes of errors; streams, which have ever new numbers, are summed by route.
 */
import type { GatewayStatus } from '@lmas/gateway-api';

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

type Labels = Readonly<Record<string, string | number>>;
interface Sample {
  readonly labels?: Labels;
  readonly value: number | null;
}
interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly samples: readonly Sample[];
}

export function renderMetrics(status: GatewayStatus): string {
  return [...processMetrics(status), ...sessionMetrics(status), ...subflowMetrics(status), ...routeMetrics(status)]
    .map(renderFamily)
    .join('');
}

const metric = (name: string, type: Family['type'], help: string, samples: readonly Sample[]): Family => ({
  ...{ name: `lmas_gateway_${name}`, type, help, samples },
});
const one = (value: number | null | undefined): Sample[] => [{ value: value ?? null }];

function processMetrics({ cpuMs, rssBytes, leaseRemainingMs }: GatewayStatus): Family[] {
  // In static mode there is no lease, and nothing that one could be alarmed by.
  const lease = leaseRemainingMs === Number.MAX_SAFE_INTEGER ? null : leaseRemainingMs / 1000;
  return [
    metric('cpu_seconds_total', 'counter', 'CPU time of the process.', one(cpuMs / 1000)),
    metric('resident_memory_bytes', 'gauge', 'Resident memory of the process.', one(rssBytes)),
    metric('lease_remaining_seconds', 'gauge', 'Time until it ends by itself, unless renewed.', one(lease)),
  ];
}

function sessionMetrics({ session }: GatewayStatus): Family[] {
  if (session === null) return [];
  const refusals = Object.entries(session.refusals).map(([code, value]) => ({ labels: { code }, value }));
  const allowed = session.limits?.bandwidthBytesPerSec ?? null;
  const limit = allowed === null ? null : allowed * 8;
  const rtt = session.rttMs === null ? null : session.rttMs / 1000;
  return [
    metric(
      'session_established',
      'gauge',
      '1 while control channel and subflows stand.',
      one(session.state === 'established' ? 1 : 0),
    ),
    metric('sent_bytes_total', 'counter', 'Taken from hypervisors here.', one(session.bytesSent)),
    metric(
      'acknowledged_bytes_total',
      'counter',
      'Of them, delivered to the far hypervisors.',
      one(session.bytesAcknowledged),
    ),
    metric('received_bytes_total', 'counter', 'Delivered to hypervisors here.', one(session.bytesReceived)),
    metric('send_bits_per_second', 'gauge', 'Goodput to the peer, over about a second.', one(session.sendBitsPerSec)),
    metric(
      'receive_bits_per_second',
      'gauge',
      'Goodput to hypervisors here, over about a second.',
      one(session.receiveBitsPerSec),
    ),
    metric('window_bytes', 'gauge', 'What may be on its way.', one(session.windowBytes)),
    metric('in_flight_bytes', 'gauge', 'Taken here and not yet delivered there.', one(session.inFlightBytes)),
    metric('buffered_bytes', 'gauge', 'Arrived and not yet written to hypervisors here.', one(session.bufferedBytes)),
    metric('kernel_bytes', 'gauge', 'Memory of the kernel for all sockets of the session.', one(session.kernelBytes)),
    metric(
      'subflows_wanted',
      'gauge',
      'How many subflows serve best, as far as it is known.',
      one(session.subflows.wanted),
    ),
    metric('rtt_seconds', 'gauge', 'Shortest round trip of late.', one(rtt)),
    ...linkMetrics(session.link),
    metric('limit_bits_per_second', 'gauge', 'What may be sent at most; none while unlimited.', one(limit)),
    metric(
      'compression_ratio',
      'gauge',
      'Bytes of hypervisors for each byte on the link, of late.',
      one(session.link.compressionRatio),
    ),
    metric('rekeys_total', 'counter', 'Changes of keys, of all subflows.', one(session.rekeys)),
    metric('subflows_replaced_total', 'counter', 'Subflows that were lost.', one(session.subflowsReplaced)),
    metric('refusals_total', 'counter', 'Refused connections and frames, by code (docs/errors.md).', refusals),
  ];
}

function linkMetrics({
  bytesPerSec,
  paceBytesPerSec,
  queueMs,
  lossShare,
}: NonNullable<GatewayStatus['session']>['link']): Family[] {
  const measured = bytesPerSec === 0 ? null : bytesPerSec * 8;
  const pace = paceBytesPerSec === null ? null : paceBytesPerSec * 8;
  return [
    metric('link_bits_per_second', 'gauge', 'Measured rate of the link; none while it is not known.', one(measured)),
    metric('link_pace_bits_per_second', 'gauge', 'What is sent at most; none while nothing is paced.', one(pace)),
    metric('link_queue_seconds', 'gauge', 'How much longer than the shortest round trips take.', one(queueMs / 1000)),
    metric('link_loss_ratio', 'gauge', 'Share of the bytes sent of late that had to be sent again.', one(lossShare)),
  ];
}

function subflowMetrics({ subflows }: GatewayStatus): Family[] {
  const each = (value: (subflow: GatewayStatus['subflows'][number]) => number | null): Sample[] =>
    subflows.map((subflow) => ({ labels: { subflow: subflow.id }, value: value(subflow) }));
  return [
    metric(
      'subflow_sent_bytes_total',
      'counter',
      'Payload of frames sent, since it was joined.',
      each(({ bytesSent }) => bytesSent),
    ),
    metric(
      'subflow_received_bytes_total',
      'counter',
      'Payload of frames received, since it was joined.',
      each(({ bytesReceived }) => bytesReceived),
    ),
    metric(
      'subflow_send_bits_per_second',
      'gauge',
      'Over about a second.',
      each(({ sendBitsPerSec }) => sendBitsPerSec),
    ),
    metric(
      'subflow_receive_bits_per_second',
      'gauge',
      'Over about a second.',
      each(({ receiveBitsPerSec }) => receiveBitsPerSec),
    ),
    metric(
      'subflow_rekeys_total',
      'counter',
      'Changes of its keys, since it was joined.',
      each(({ rekeys }) => rekeys),
    ),
    metric(
      'subflow_rtt_seconds',
      'gauge',
      'Smoothed round trip, from the kernel.',
      each(({ rttMs }) => (rttMs === null ? null : rttMs / 1000)),
    ),
    metric(
      'subflow_congestion_window_bytes',
      'gauge',
      'From the kernel.',
      each(({ congestionWindowBytes }) => congestionWindowBytes),
    ),
    metric(
      'subflow_queue_bytes',
      'gauge',
      'In the kernel, not yet sent.',
      each(({ queueBytes }) => queueBytes),
    ),
    metric(
      'subflow_kernel_bytes',
      'gauge',
      'Memory of the kernel for its socket.',
      each(({ kernelBytes }) => kernelBytes),
    ),
    metric(
      'subflow_retransmits_total',
      'counter',
      'Segments sent again, since it was joined.',
      each(({ retransmits }) => retransmits),
    ),
  ];
}

function routeMetrics({ routes, streams }: GatewayStatus): Family[] {
  const each = (value: (stream: GatewayStatus['streams'][number]) => number): Sample[] =>
    routes.map(({ id }) => {
      const ofRoute = streams.filter(({ route }) => route === id);
      return { labels: { route: id }, value: ofRoute.reduce((sum, stream) => sum + value(stream), 0) };
    });
  return [
    metric(
      'route_streams',
      'gauge',
      'Open streams.',
      each(() => 1),
    ),
    metric(
      'route_open_sent_bytes',
      'gauge',
      'Taken from hypervisors by streams that are open.',
      each(({ bytesSent }) => bytesSent),
    ),
    metric(
      'route_open_received_bytes',
      'gauge',
      'Delivered to hypervisors by streams that are open.',
      each(({ bytesReceived }) => bytesReceived),
    ),
    metric(
      'route_send_bits_per_second',
      'gauge',
      'Taken from hypervisors, over about a second.',
      each(({ sendBitsPerSec }) => sendBitsPerSec),
    ),
    metric(
      'route_receive_bits_per_second',
      'gauge',
      'Delivered to hypervisors, over about a second.',
      each(({ receiveBitsPerSec }) => receiveBitsPerSec),
    ),
    metric(
      'route_queue_bytes',
      'gauge',
      'Taken from hypervisors, waiting to be sent.',
      each(({ queueBytes }) => queueBytes),
    ),
    metric(
      'route_reorder_depth',
      'gauge',
      'Pieces that arrived before the ones in front of them.',
      each(({ reorderDepth }) => reorderDepth),
    ),
  ];
}

function renderFamily({ name, type, help, samples }: Family): string {
  const lines = samples.flatMap(({ labels, value }) =>
    value === null ? [] : [`${name}${renderLabels(labels)} ${value}\n`],
  );
  return lines.length === 0 ? '' : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

/** Values are ids and codes of ours: nothing in them needs an escape. */
function renderLabels(labels: Labels | undefined): string {
  if (labels === undefined) return '';
  return `{${Object.entries(labels)
    .map(([key, value]) => `${key}="${value}"`)
    .join(',')}}`;
}
