/**
 * What several resources share: names that people give, addresses, times, rates, priorities.
 */
import { z } from 'zod';

/** Names that people give: sites, endpoints, credentials. */
export const slugSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'lower-case letters, digits and hyphens, at most 63')
  .meta({ id: 'Slug', description: 'A name in lower-case letters, digits and hyphens.' });

/** The same where it may belong to a project; see access/owned-names.ts. */
export const ownedNameSchema = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{0,62}(\.[a-z0-9][a-z0-9-]{0,62})?$/,
    'a name; or a project, a dot and a name, for whoever sees all projects',
  )
  .meta({
    id: 'OwnedName',
    description:
      'A name; what belongs to a project is `project.name` to whoever sees the whole installation, and `name` to the project itself.',
  });

/** What an endpoint or a gateway machine logs in with, as it is shown. */
export const shownCredentialSchema = z
  .union([ownedNameSchema, z.literal('')])
  .describe('Empty to a project whose credential it is not: whoever sees the whole installation sees every name.');

/** A name or an address; what neither can contain is refused here, long before a resolver sees it. */
export const hostSchema = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9:][A-Za-z0-9.:_-]*$/, 'a host name, an IPv4 or an IPv6 address');
export const portSchema = z.int().min(1).max(65_535);
export const timestampSchema = z.iso.datetime();
export const bandwidthSchema = z.int().min(1_024).nullable().describe('Bytes per second; null is unlimited.');

export const prioritySchema = z.int().min(0).max(100);
/** Of a migration whose request names none. */
export const DEFAULT_PRIORITY = 50;

/** Nothing in it steers a terminal or breaks a line. */
const PLAIN = /^\P{Cc}*$/u;
export const shortTextSchema = (max: number) => z.string().min(1).max(max).regex(PLAIN, 'no control characters');
/** What a source calls something → what the destination calls it. */
export const nameMapSchema = (maxNames: number) =>
  z
    .record(shortTextSchema(256), shortTextSchema(1_024))
    .refine((map) => Object.keys(map).length <= maxNames, `at most ${maxNames}`);
