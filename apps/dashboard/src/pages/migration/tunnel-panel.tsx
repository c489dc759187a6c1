/** What the gateway pair carries: the sum, and each subflow and stream while it runs. */
import type { TunnelStats } from '@lmas/client';
import { formatBitRate, formatBytes, formatDuration } from '@lmas/format';
import { Fields } from '../../parts/fields.tsx';
import { Table } from '../../parts/table.tsx';

type Now = NonNullable<TunnelStats['now']>;

export function TunnelPanel({ tunnel }: { tunnel: TunnelStats }) {
  const refused = Object.entries(tunnel.refusals);
  return (
    <section aria-labelledby="tunnel">
      <h2 id="tunnel">Tunnel</h2>
      {tunnel.trouble === null ? null : (
        <p class="note" role="status">
          {tunnel.trouble.message} <span class="code">{tunnel.trouble.code}</span>
        </p>
      )}
      <Fields
        of={[
          ['Delivered', formatBytes(tunnel.bytesDelivered)],
          ['Goodput', formatBitRate(tunnel.goodputBitsPerSec)],
          ['Link carries', tunnel.now?.linkBitsPerSec == null ? null : formatBitRate(tunnel.now.linkBitsPerSec)],
          ['Round trip', tunnel.rttMs === null ? null : `${tunnel.rttMs.toFixed(1)} ms`],
          ['Queue of the link', tunnel.now?.linkQueueMs == null ? null : `${tunnel.now.linkQueueMs.toFixed(1)} ms`],
          [
            'Sent again',
            tunnel.now?.linkLossShare == null ? null : `${(tunnel.now.linkLossShare * 100).toFixed(2)} % of the bytes`,
          ],
          ['Encryption', tunnel.suite],
          [
            'Subflows',
            `${tunnel.subflows}${tunnel.subflowsReplaced === 0 ? '' : `, ${tunnel.subflowsReplaced} replaced`}`,
          ],
          ['Congestion control', tunnel.congestionControl],
          ['Retransmits', tunnel.retransmits === null ? null : `${tunnel.retransmits} packets`],
          ['On its way', formatBytes(tunnel.inFlightBytes)],
          ['Waits at the destination', tunnel.now === null ? null : formatBytes(tunnel.now.bufferedBytes)],
          ['Compression', tunnel.now === null ? null : `${tunnel.now.compressionRatio.toFixed(2)} : 1`],
          ['Refused', refused.length === 0 ? null : refused.map(([code, count]) => `${code} ${count}`).join(', ')],
        ]}
      />
      {tunnel.now === null ? null : (
        <details>
          <summary>Subflows and streams</summary>
          {tunnel.now.subflows.length === 0 ? (
            <p class="muted">No subflow is open.</p>
          ) : (
            <Subflows subflows={tunnel.now.subflows} />
          )}
          <Streams streams={tunnel.now.streams} />
        </details>
      )}
    </section>
  );
}

function Subflows({ subflows }: Pick<Now, 'subflows'>) {
  return (
    <>
      <h3>Subflows, as the source’s gateway sees them</h3>
      <Table
        caption="Subflows"
        rows={subflows}
        keyOf={({ id }) => id}
        columns={[
          { title: 'Subflow', cell: ({ id }) => id, sortBy: ({ id }) => id },
          {
            title: 'Rate',
            cell: ({ sendBitsPerSec }) => formatBitRate(sendBitsPerSec),
            sortBy: ({ sendBitsPerSec }) => sendBitsPerSec,
            isNumber: true,
          },
          {
            title: 'Round trip',
            cell: ({ rttMs }) => (rttMs === null ? '–' : `${rttMs.toFixed(1)} ms`),
            sortBy: ({ rttMs }) => rttMs,
            isNumber: true,
          },
          { title: 'Congestion window', cell: (one) => bytesOf(one.congestionWindowBytes), isNumber: true },
          { title: 'Queue', cell: ({ queueBytes }) => bytesOf(queueBytes), isNumber: true },
          {
            title: 'Retransmits',
            cell: ({ retransmits }) => retransmits ?? '–',
            sortBy: ({ retransmits }) => retransmits,
            isNumber: true,
          },
        ]}
      />
    </>
  );
}

const bytesOf = (bytes: number | null): string => (bytes === null ? '–' : formatBytes(bytes));

function Streams({ streams }: Pick<Now, 'streams'>) {
  if (streams.length === 0) return <p class="muted">No stream of the hypervisor is open.</p>;
  return (
    <>
      <h3>Streams: the hypervisor’s own connections</h3>
      <Table
        caption="Streams"
        rows={streams}
        keyOf={({ id }) => id}
        columns={[
          { title: 'Stream', cell: ({ id }) => id, sortBy: ({ id }) => id },
          { title: 'Route', cell: ({ route }) => route, sortBy: ({ route }) => route },
          { title: 'Sent', cell: (one) => formatBytes(one.bytesSent), sortBy: (one) => one.bytesSent, isNumber: true },
          {
            title: 'Rate',
            cell: ({ sendBitsPerSec }) => formatBitRate(sendBitsPerSec),
            sortBy: ({ sendBitsPerSec }) => sendBitsPerSec,
            isNumber: true,
          },
          { title: 'Queue', cell: ({ queueBytes }) => formatBytes(queueBytes), isNumber: true },
          { title: 'Out of order', cell: ({ reorderDepth }) => reorderDepth, isNumber: true },
          { title: 'Silent for', cell: ({ idleMs }) => formatDuration(idleMs), isNumber: true },
        ]}
      />
    </>
  );
}
