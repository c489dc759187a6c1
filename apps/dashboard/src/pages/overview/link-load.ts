/** What each link carries now, added up from the gateway pairs that live. Pure. */
import type { Gateway, Link } from '@lmas/client';

/** By the id of the link, in bits per second. Links that no tunnel uses are not in it. */
export function carriedByLink(gateways: readonly Gateway[]): ReadonlyMap<string, number> {
  const destinations = new Map(
    gateways.filter(({ end }) => end === 'destination').map(({ migration, site }) => [migration, site]),
  );
  const carried = new Map<string, number>();
  for (const { migration, end, site, tunnel } of gateways) {
    const other = destinations.get(migration);
    if (end !== 'source' || other === undefined || other === site) continue;
    // Both ends of a pair report the same tunnel: it counts once, as what its source sends.
    const link = [site, other].sort().join('~');
    carried.set(link, (carried.get(link) ?? 0) + (tunnel?.now?.sendBitsPerSec ?? 0));
  }
  return carried;
}

/** What it carries at most, as far as that is known: as measured, else as somebody set it. */
export function capacityOf({ measurements, rateBitsPerSec }: Pick<Link, 'measurements' | 'rateBitsPerSec'>) {
  const measured = measurements.flatMap(({ goodputBitsPerSec }) => goodputBitsPerSec ?? []);
  return measured.length === 0 ? rateBitsPerSec : Math.max(...measured);
}

export interface LoadedLink {
  readonly link: Link;
  readonly carriesBitsPerSec: number;
  readonly capacityBitsPerSec: number | null;
}

/** Every pair of sites is a link; those that nobody knows anything about are only noise. */
export function withLoads(links: readonly Link[], gateways: readonly Gateway[]): readonly LoadedLink[] {
  const carried = carriedByLink(gateways);
  return links
    .filter(
      ({ running, measurements, rateBitsPerSec, limits }) =>
        running > 0 ||
        measurements.length > 0 ||
        rateBitsPerSec !== null ||
        limits.maxMigrations !== null ||
        limits.bandwidthBytesPerSec !== null,
    )
    .map((link) => ({
      link,
      carriesBitsPerSec: carried.get(link.id) ?? 0,
      capacityBitsPerSec: capacityOf(link),
    }));
}
