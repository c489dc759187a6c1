/**
 * Links as a resource: what was set for each pair of sites, and what was measured between them. In Redis; it owns no
 * connection. What one direction measured is written whole, so that nobody overwrites the other direction.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { linkGroup, linkId } from '../admission/groups.ts';
import { changeTraffic, readTraffic, type TrafficLimits } from '../admission/traffic-limits.ts';
import { LmasError } from '../errors.ts';
import { now } from '../migrations/record.ts';
import { keys } from '../redis/keys.ts';
import { readStored } from '../redis/stored-json.ts';
import { type linkChangeSchema, linkMeasurementSchema, type linkSchema } from '../schemas/link.ts';
import type { Expectation, SiteStore } from '../sites/sites.ts';

export type Link = z.infer<typeof linkSchema>;
/** What people set; measurements and what runs change by themselves. */
export type LinkSettings = Pick<Link, 'rateBitsPerSec' | 'limits'>;
export type LinkChange = z.output<typeof linkChangeSchema>;
export type LinkMeasurement = z.infer<typeof linkMeasurementSchema>;

export interface LinkService {
  /** Every pair of registered sites, in the order of their names. */
  list(): Promise<Link[]>;
  /** Accepts the two sites in either order. @throws LmasError LINK_NOT_FOUND */
  get(id: string): Promise<Link>;
  /** What is not named stays. @throws LmasError LINK_NOT_FOUND, and what `expect` throws */
  change(id: string, change: LinkChange, expect: Expectation<LinkSettings>): Promise<Link>;
  /** Keeps what the gateways measured. */
  note(measurement: Omit<LinkMeasurement, 'measuredAt'>): Promise<void>;
}

const storedSchema = z.object({ rateBitsPerSec: z.int().nullable() });
const rateOf = (json: string | null) => (json === null ? null : readStored(storedSchema, json).rateBitsPerSec);

export function createLinkService(
  redis: Redis,
  sites: Pick<SiteStore, 'list' | 'get'>,
  traffic: TrafficLimits,
): LinkService {
  /** Those between these pairs of sites; everything is read once. */
  const read = async (pairs: readonly (readonly [string, string])[]): Promise<Link[]> => {
    const [stored, measured, limitsOf, { taken }] = await Promise.all([
      redis.hgetall(keys.links),
      redis.hgetall(keys.linkMeasurements),
      readTraffic(traffic, pairs.map(groupBetween)),
      traffic.admission.books(),
    ]);
    return pairs.map(([a, b]) => {
      const id = linkId(a, b);
      const measurements = [measured[`${a}~${b}`], measured[`${b}~${a}`]];
      return {
        id,
        sites: [a, b],
        rateBitsPerSec: rateOf(stored[id] ?? null),
        limits: limitsOf(linkGroup(id)),
        measurements: measurements.flatMap((json) => (json ? [readStored(linkMeasurementSchema, json)] : [])),
        running: taken.get(linkGroup(id)) ?? 0,
      };
    });
  };
  /** Both sites, in order. */
  const endsOf = async (id: string): Promise<[string, string]> => {
    const names = id.split('~').sort();
    const [a, b] = await Promise.all(names.map((name) => sites.get(name).catch(noSuchLink(id))));
    if (a === undefined || b === undefined || a.id === b.id || names.length !== 2) return noSuchLink(id)();
    return [a.id, b.id];
  };
  const get = async (id: string): Promise<Link> => {
    const [link] = await read([await endsOf(id)]);
    return link ?? noSuchLink(id)();
  };

  return {
    get,
    async list() {
      const names = (await sites.list()).map(({ id }) => id);
      const pairs = names.flatMap((a, index) => names.slice(index + 1).map((b) => [a, b] as const));
      return await read(pairs);
    },
    async change(id, { rateBitsPerSec, limits = {} }, expect) {
      const link = linkId(...(await endsOf(id)));
      await changeTraffic(traffic, linkGroup(link), limits, async (current) => {
        const before = await redis.hget(keys.links, link);
        expect({ rateBitsPerSec: rateOf(before), limits: current });
        const after = rateBitsPerSec === undefined ? before : JSON.stringify({ rateBitsPerSec });
        return [{ hash: keys.links, field: link, before, after }];
      });
      return await get(link);
    },
    async note(measurement) {
      const { source, destination } = measurement;
      const noted: LinkMeasurement = { ...measurement, measuredAt: now() };
      await redis.hset(keys.linkMeasurements, `${source}~${destination}`, JSON.stringify(noted));
    },
  };
}

const groupBetween = ([a, b]: readonly [string, string]): string => linkGroup(linkId(a, b));

const noSuchLink = (id: string) => (): never => {
  throw new LmasError('LINK_NOT_FOUND', `There is no link ${id}: it needs two different sites that are registered.`);
};
