/**
 * What goes over each link now, in each direction: of all tunnels that carry a VM there, as their records say. Per pair of sites, of which
 * there are as many as administrators have made; never per migration. Pure.
 */
import type { Migration } from '../migrations/record.ts';

export interface LinkTraffic {
  readonly source: string;
  readonly destination: string;
  readonly tunnels: number;
  readonly subflows: number;
  /** What arrives, averaged over about a second; the sum of all. */
  readonly goodputBitsPerSec: number;
  /** The most that one of them has measured; null while none knows. */
  readonly linkBitsPerSec: number | null;
  /** The shortest of them. */
  readonly rttMs: number | null;
  /** How much longer than the shortest its round trips take: the most that one of them sees. */
  readonly queueMs: number | null;
  /** Of the bytes sent of late, what had to be sent again: the most that one of them sees. */
  readonly lossShare: number | null;
  /** Handed to the kernels of the source's gateways and not yet sent; the sum of all. */
  readonly queueBytes: number | null;
}

export function linkTraffic(migrations: readonly Migration[]): LinkTraffic[] {
  const carrying = migrations.flatMap(({ phase, source, destination, tunnel }) => {
    const now = phase === 'performing' || phase === 'confirming' ? (tunnel?.now ?? null) : null;
    return tunnel === null || now === null ? [] : [{ source: source.site, destination: destination.site, tunnel, now }];
  });
  const directions = Map.groupBy(carrying, ({ source, destination }) => `${source}>${destination}`);
  return [...directions.values()].flatMap((those) => {
    const [first] = those;
    if (first === undefined) return [];
    const { source, destination } = first;
    const rtts = known(those.map(({ tunnel }) => tunnel.rttMs));
    const queues = known(those.flatMap(({ now }) => now.subflows.map(({ queueBytes }) => queueBytes)));
    return {
      ...{ source, destination },
      tunnels: those.length,
      subflows: sum(those.map(({ tunnel }) => tunnel.subflows)),
      goodputBitsPerSec: sum(those.map(({ now }) => now.sendBitsPerSec)),
      linkBitsPerSec: most(those.map(({ now }) => now.linkBitsPerSec)),
      rttMs: rtts.length === 0 ? null : Math.min(...rtts),
      queueMs: most(those.map(({ now }) => now.linkQueueMs)),
      lossShare: most(those.map(({ now }) => now.linkLossShare)),
      queueBytes: queues.length === 0 ? null : sum(queues),
    };
  });
}

const known = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null);
const most = (values: readonly (number | null)[]): number | null => {
  const those = known(values);
  return those.length === 0 ? null : Math.max(...those);
};
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
