/**
 * What an operator sets: of a pool once (`configSchema`), of a migration each time (`optionsSchema`). Parsed at the border,
 * every default with its reason.
 */
import { isIP } from 'node:net';
import { z } from 'zod';

/** As `openssl x509 -noout -fingerprint -sha256` prints it. */
const fingerprint = z
  .string()
  .regex(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/i, 'a SHA-256 fingerprint as openssl prints it: AB:CD:…')
  .toUpperCase();
const nameOrUuid = z.string().min(1).max(255);

/** What is pasted from a browser is not looked up as a name. Of colons only an IPv6 address has any. */
const hostName = z
  .string()
  .min(1)
  .refine(
    (text) => isIP(text) !== 0 || !/[/@:[\]\s]/.test(text),
    'a name or address alone, without https:// and path; another port goes into `port`',
  );

export const configSchema = z.strictObject({
  host: hostName.describe('Name or address of a member of the pool; a member that is not the coordinator says who is'),
  otherMembers: z
    .array(hostName)
    .default([])
    .describe(
      'Names or addresses of other members, any of which may be coordinator when `host` is dead; while connected, all members are known anyhow',
    ),
  port: z.int().min(1).max(65_535).default(443).describe('Its port for HTTPS'),
  // A pool's members show one self-signed certificate each, so pinning is the rule and a CA the exception.
  tlsFingerprints: z
    .array(fingerprint)
    .default([])
    .describe(
      'SHA-256 fingerprints of the certificates that are trusted, one for each member that may become coordinator; none: a CA has to have signed it, for the member’s address or its name in the settings',
    ),
  caCertificate: z
    .string()
    .startsWith('-----BEGIN CERTIFICATE-----')
    .optional()
    .describe('PEM of the CA that signed them; default: the system’s'),
  hosts: z
    .array(nameOrUuid)
    .default([])
    .describe('Members at this site, by name or UUID; none: all. Needed where one pool spans two sites'),
  migrationNetwork: nameOrUuid
    .optional()
    .describe('Network whose address on the receiving host takes the traffic; default: the management network'),
});

export type XenConfig = z.infer<typeof configSchema>;

export const optionsSchema = z.strictObject({
  destinationHost: nameOrUuid
    .optional()
    .describe('Member that is to run the VM; default: the one with the most free memory that sees the storage')
    .meta({ names: 'host' }),
  defaultStorage: nameOrUuid
    .optional()
    .describe(
      'Storage repository for disks that `diskMap` does not name; default: the same one if both pools see it, else the pool’s default',
    )
    .meta({ names: 'storage' }),
  route: z
    .enum(['redirected', 'transparent'])
    .default('redirected')
    .describe(
      'How the source is brought to the gateways: told their address, or intercepted on its way to the destination’s own (both sites need host routes through the gateway machines); inside one pool only the latter lets pool_migrate through the tunnel',
    ),
  relayCoordinator: z
    .boolean()
    .default(false)
    .describe(
      'Lead the source’s API calls to the destination’s coordinator through the tunnel, too, where another member receives the VM; takes one more address at the gateway',
    ),
  compress: z
    .boolean()
    .optional()
    .describe(
      'Let the hosts compress memory themselves; default: as the pool is set. Releases before XAPI 22.33 do not know it and are not asked',
    ),
  gpuGroup: nameOrUuid
    .optional()
    .describe(
      'GPU group of the destination for the VM’s virtual GPUs (XenServer 7.3 and later); default: one of the same types',
    ),
  diskFormat: z
    .enum(['raw', 'vhd', 'qcow2'])
    .optional()
    .describe(
      'Image format of the disks that are copied (after XAPI 26.14); default: as the destination’s storage does',
    ),
  force: z.boolean().default(false).describe('Skip the comparison of processors'),
});

export type XenOptions = z.infer<typeof optionsSchema>;
