/**
 * Addresses as XAPI tells them: of an interface IPv4 in one field, IPv6 with prefix lengths in another, and which of the two it goes by in a
 * third (xapi_pif_helpers.ml). IPv6 has many spellings; here each has the one that the kernel and XAPI use as well. Pure.
 */
import { isIPv6 } from 'node:net';
import type { PifRecord } from './records.ts';

/** fe80::/10 */
const LINK_LOCAL = /^fe[89ab]/;

/** What is no IPv6 address stays as it is. */
export const canonical = (address: string): string =>
  isIPv6(address) ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;

/** Without those that lead nowhere beyond their own link. */
const ipv6Of = ({ IPv6: addresses }: PifRecord): readonly string[] =>
  addresses
    .map((address) => canonical(address.replace(/\/\d+$/, '')))
    .filter((address) => isIPv6(address) && !LINK_LOCAL.test(address));

/** The one that `host.migrate_receive` and `VM.pool_migrate` take (since XAPI 1.286; earlier ones know IPv4 alone). */
export const addressOf = (pif: PifRecord): string | undefined =>
  (pif.primary_address_type === 'IPv6' ? ipv6Of(pif)[0] : pif.IP) || undefined;

/** All of them. */
export const addressesOfPif = (pif: PifRecord): readonly string[] =>
  [pif.IP, ...ipv6Of(pif)].filter((address) => address !== '');
