/**
 * What several resources share: names that people give, addresses, times, rates.
 */
import { z } from 'zod';

/** Names that people give: sites, endpoints, credentials. */
export const slugSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'lower-case letters, digits and hyphens, at most 63')
  .meta({ id: 'Slug', description: 'A name in lower-case letters, digits and hyphens.' });

/** A name or an address; what neither can contain is refused here, long before a resolver sees it. */
export const hostSchema = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9:][A-Za-z0-9.:_-]*$/, 'a host name, an IPv4 or an IPv6 address');
export const portSchema = z.int().min(1).max(65_535);
export const timestampSchema = z.iso.datetime();
export const bandwidthSchema = z.int().min(1_024).nullable().describe('Bytes per second; null is unlimited.');
