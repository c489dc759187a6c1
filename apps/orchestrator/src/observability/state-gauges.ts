/**
 * The gauges of the whole installation. Every process shows the same numbers: queries take their `max`. When Redis goes
 * away in the middle of a scrape they are NaN: not zero, which would look like peace. Later ones are refused, as every login
 * is then: `up` of Prometheus tells that. Those of links have no series then, nor for a link over which nothing moves.
 */
import { Counter, Gauge, type Registry } from 'prom-client';
import { PHASES } from '../migrations/phases.ts';
import { liveGatewayStatuses } from '../schemas/gateway.ts';
import type { LinkTraffic } from './link-traffic.ts';
import type { InstallationState, ReadState } from './state.ts';

/** @returns reads the state and sets the gauges; calls that come meanwhile share one reading */
export function createStateGauges(registry: Registry, readState: ReadState): () => Promise<void> {
  const registers = [registry];
  const migrations = new Gauge({
    name: 'lmas_migrations',
    help: 'Migrations on record, by phase.',
    labelNames: ['phase'],
    registers,
  });
  const gateways = new Gauge({
    name: 'lmas_gateways',
    help: 'Gateways that are there, by status.',
    labelNames: ['status'],
    registers,
  });
  // Counted in Redis: who notices it has often only just begun, and of a series that begins with its first event none is seen to grow.
  const missed = new Counter({
    name: 'lmas_webhook_notices_missed_total',
    help: 'Notices that were not kept until somebody handed them to webhooks.',
    registers,
  });
  const simple = SIMPLE.map(({ name, help, of }) => ({ gauge: new Gauge({ name, help, registers }), of }));
  const ofLinks = OF_LINKS.map(({ name, help, of }) => ({
    gauge: new Gauge({ name, help, labelNames: ['source', 'destination'], registers }),
    of,
  }));
  const set = (state: InstallationState | undefined): void => {
    for (const { gauge, of } of ofLinks) {
      gauge.reset(); // over which nothing moves any more, and what is not known
      for (const link of state?.links ?? []) {
        const value = of(link);
        if (value !== null) gauge.set({ source: link.source, destination: link.destination }, value);
      }
    }
    for (const { gauge, of } of simple) gauge.set(state === undefined ? Number.NaN : of(state));
    for (const phase of PHASES) migrations.set({ phase }, state?.migrations.get(phase) ?? Number.NaN);
    for (const status of liveGatewayStatuses) {
      const those = state?.gateways.filter((gateway) => gateway.status === status);
      gateways.set({ status }, those?.length ?? Number.NaN);
    }
    if (state === undefined) return;
    missed.reset();
    missed.inc(state.webhookNoticesMissed);
  };
  let reading: Promise<void> | undefined;
  return () => {
    reading ??= readState()
      .then(set)
      .finally(() => {
        reading = undefined;
      });
    return reading;
  };
}

const SIMPLE: readonly { name: string; help: string; of(state: InstallationState): number }[] = [
  {
    name: 'lmas_redis_latency_seconds',
    help: 'How long Redis took to answer a PING just now.',
    of: ({ redisLatencyMs }) => redisLatencyMs / 1_000,
  },
  { name: 'lmas_queue_waiting', help: 'Migrations that wait for their turn.', of: ({ waiting }) => waiting },
  { name: 'lmas_queue_admitted', help: 'Migrations that hold a place.', of: ({ admitted }) => admitted },
  { name: 'lmas_queue_paused', help: '1 while nothing new is started.', of: ({ isPaused }) => Number(isPaused) },
  {
    name: 'lmas_teardowns_incomplete',
    help: 'Ended migrations of which something could not be taken down yet.',
    of: ({ incomplete }) => incomplete,
  },
  {
    name: 'lmas_migrations_whereabouts_unknown',
    help: 'Migrations under way of which nobody knows now where the VM runs, or which run twice.',
    of: ({ undecided }) => undecided,
  },
  { name: 'lmas_tunnels', help: 'Tunnels that carry something now.', of: ({ tunnels }) => tunnels },
  {
    name: 'lmas_tunnel_goodput_bits_per_second',
    help: 'Sum over the tunnels of now, each averaged since its first byte.',
    of: ({ goodputBitsPerSec }) => goodputBitsPerSec,
  },
];

const OF_LINKS: readonly { name: string; help: string; of(link: LinkTraffic): number | null }[] = [
  { name: 'lmas_link_tunnels', help: 'Tunnels that carry a VM over the link now.', of: ({ tunnels }) => tunnels },
  { name: 'lmas_link_subflows', help: 'Their connections, together.', of: ({ subflows }) => subflows },
  {
    name: 'lmas_link_goodput_bits_per_second',
    help: 'What arrives through them, together, averaged over about a second.',
    of: ({ goodputBitsPerSec }) => goodputBitsPerSec,
  },
  {
    name: 'lmas_link_rate_bits_per_second',
    help: 'What the link carries, as the one of them that found most has measured.',
    of: ({ linkBitsPerSec }) => linkBitsPerSec,
  },
  {
    name: 'lmas_link_rtt_seconds',
    help: 'Shortest round trip of late.',
    of: ({ rttMs }) => (rttMs === null ? null : rttMs / 1_000),
  },
  {
    name: 'lmas_link_queue_seconds',
    help: 'How much longer than the shortest its round trips take, as the one of them that waits longest sees it.',
    of: ({ queueMs }) => (queueMs === null ? null : queueMs / 1_000),
  },
  {
    name: 'lmas_link_loss_ratio',
    help: 'Share of the bytes sent of late that had to be sent again, as the one of them that lost most sees it.',
    of: ({ lossShare }) => lossShare,
  },
  {
    name: 'lmas_link_queue_bytes',
    help: 'Handed to the kernels of the gateways at the source and not yet sent.',
    of: ({ queueBytes }) => queueBytes,
  },
];
