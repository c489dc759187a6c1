/**
 * What a migration can expect before it begins: of its link, and of how its guest is treated. For checks and for whoever
 * weighs whether a migration is worth it.
 */
import type { Convergence } from '@lmas/plugin-api';
import type { LinkService } from '../links/links.ts';
import { measuredRate } from '../links/measurement.ts';
import type { EndpointStore } from '../sites/sites.ts';
import type { PredictionFacts } from './prediction.ts';
import type { MigrationInput } from './record.ts';

/** What the policies come to at the hypervisors that we know; a plugin may do a little more or less. */
const PAUSE_MS: Readonly<Record<Convergence, number>> = {
  balanced: 300,
  'fast-switchover': 100,
  'never-pause': 50,
  'must-finish': 5_000,
};
/** QEMU's auto-converge leaves a guest one per cent of its time at most; it rarely comes to that. */
const LEAST_SPEED: Readonly<Record<Convergence, number>> = {
  balanced: 1,
  'fast-switchover': 0.1,
  'never-pause': 1,
  'must-finish': 0.05,
};

export const guestTreatment = ({
  convergence,
  maxDowntimeMs,
}: Pick<MigrationInput, 'convergence' | 'maxDowntimeMs'>): Pick<PredictionFacts, 'maxDowntimeMs' | 'leastSpeed'> => ({
  maxDowntimeMs: maxDowntimeMs ?? PAUSE_MS[convergence],
  leastSpeed: LEAST_SPEED[convergence],
});

/** Through the tunnel: what was measured or set, and no more than the limits. A direct one was never measured. */
export async function expectedRate(
  input: Pick<MigrationInput, 'source' | 'destination' | 'transport' | 'bandwidthBytesPerSec'>,
  { endpoints, links }: { endpoints: Pick<EndpointStore, 'get'>; links: Pick<LinkService, 'get'> },
): Promise<number | null> {
  const [source, destination] = await Promise.all([endpoints.get(input.source), endpoints.get(input.destination)]);
  if (input.transport === 'direct' || source.site === destination.site) return null;
  const { measurements, rateBitsPerSec, limits } = await links.get(`${source.site}~${destination.site}`);
  const measurement = measurements.find((each) => each.source === source.site);
  const measured = (measurement && measuredRate(measurement)) ?? rateBitsPerSec;
  if (measured === null) return null;
  const caps = [limits.bandwidthBytesPerSec, input.bandwidthBytesPerSec].filter((cap) => cap !== null);
  return Math.min(measured / 8, ...caps);
}
