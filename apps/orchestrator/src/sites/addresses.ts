/**
 * The addresses at which hypervisors reach a gateway machine. How many there are is a limit of places (admission/groups.ts): a migration
 * takes some for itself, and one that lacks them waits.
 */
import type { Redis } from 'ioredis';
import { addressGroup } from '../admission/groups.ts';
import { keys } from '../redis/keys.ts';
import type { Site } from './sites.ts';
import type { Beside } from './table.ts';

type Addresses = Pick<NonNullable<Site['gateway']>, 'hypervisorAddress' | 'moreHypervisorAddresses'>;

/** Each once, the first one first. */
export const addressesOf = ({ hypervisorAddress, moreHypervisorAddresses }: Addresses): string[] => [
  ...new Set([hypervisorAddress, ...moreHypervisorAddresses]),
];

/** What changes with the site: whoever waits for an address that has come goes on at once. */
export async function addressPlaces(redis: Redis, { id, gateway }: Site): Promise<Beside> {
  const field = addressGroup(id);
  const before = await redis.hget(keys.placeLimits, field);
  const after = gateway === null ? null : String(addressesOf(gateway).length);
  if (after === before) return { changes: [] };
  return { changes: [{ hash: keys.placeLimits, field, before, after }], channel: keys.admissionChannel };
}
