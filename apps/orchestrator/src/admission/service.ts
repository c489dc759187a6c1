/**
 * What can be asked of the queue and of the limits: the door for HTTP. Limits may change at any time; the next admission
 * looks at them as they are then, and what runs is never stopped for one.
 */
import type { z } from 'zod';
import { now } from '../migrations/record.ts';
import type { placeLimitsSchema } from '../schemas/limits.ts';
import type { queueChangeSchema, queueSchema } from '../schemas/queue.ts';
import type { EndpointStore, Expectation, SiteStore } from '../sites/sites.ts';
import type { Admission } from './admission.ts';
import { endpointGroup, siteGroup, TOTAL } from './groups.ts';
import { changeTraffic, readTraffic, type TrafficLimits } from './traffic-limits.ts';

export type Queue = z.infer<typeof queueSchema>;
export type QueueChange = z.output<typeof queueChangeSchema>;
export type PlaceLimits = z.infer<typeof placeLimitsSchema>;

export interface QueueService {
  get(): Promise<Queue>;
  /** Pauses, resumes, sets the limits of the whole; what is not named stays. Safe to repeat. `expect`: for limits only. */
  change(change: QueueChange, expect: Expectation<Queue['limits']>): Promise<Queue>;
  /** @throws LmasError SITE_NOT_FOUND */
  siteLimits(site: string): Promise<PlaceLimits>;
  /** @throws LmasError SITE_NOT_FOUND */
  setSiteLimits(site: string, limits: PlaceLimits, expect: Expectation<PlaceLimits>): Promise<PlaceLimits>;
  /** @throws LmasError ENDPOINT_NOT_FOUND */
  endpointLimits(endpoint: string): Promise<PlaceLimits>;
  /** @throws LmasError ENDPOINT_NOT_FOUND */
  setEndpointLimits(endpoint: string, limits: PlaceLimits, expect: Expectation<PlaceLimits>): Promise<PlaceLimits>;
}

export function createQueueService(
  admission: Admission,
  traffic: TrafficLimits,
  { sites, endpoints }: { sites: SiteStore; endpoints: EndpointStore },
): QueueService {
  const get = async (): Promise<Queue> => {
    const [summary, limitsOfGroup] = await Promise.all([admission.summary(), readTraffic(traffic, [TOTAL])]);
    return { ...summary, limits: limitsOfGroup(TOTAL) };
  };
  const limitsOf = async (group: string): Promise<PlaceLimits> => ({
    maxMigrations: (await admission.books()).limits.get(group) ?? null,
  });
  return {
    get,
    async change({ paused, limits }, expect) {
      if (limits !== undefined) await changeTraffic(traffic, TOTAL, limits, accepting(expect));
      if (paused === true) await admission.pause(now());
      if (paused === false) await admission.resume();
      return await get();
    },
    async siteLimits(site) {
      await sites.get(site);
      return await limitsOf(siteGroup(site));
    },
    async setSiteLimits(site, { maxMigrations }, expect) {
      await sites.get(site);
      await admission.setLimit(siteGroup(site), maxMigrations, (current) => expect({ maxMigrations: current }));
      return { maxMigrations };
    },
    async endpointLimits(endpoint) {
      await endpoints.get(endpoint);
      return await limitsOf(endpointGroup(endpoint));
    },
    async setEndpointLimits(endpoint, { maxMigrations }, expect) {
      await endpoints.get(endpoint);
      await admission.setLimit(endpointGroup(endpoint), maxMigrations, (current) => expect({ maxMigrations: current }));
      return { maxMigrations };
    },
  };
}

const accepting =
  <T>(expect: Expectation<T>) =>
  async (current: T) => {
    expect(current);
    return [];
  };
