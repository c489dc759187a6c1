/**
 * What an operator sets: of a vCenter once (`configSchema`), of a migration each time (`optionsSchema`). Parsed at the border,
 * every default with its reason.
 */
import { isIP } from 'node:net';
import { z } from 'zod';

/** As `openssl x509 -noout -fingerprint -sha256` prints it. */
const fingerprint = z
  .string()
  .regex(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/i, 'a SHA-256 fingerprint as openssl prints it: AB:CD:…')
  .toUpperCase();
/** A name as the vSphere Client shows it, or a managed object id: `esx1.example.org`, `host-12`. */
const nameOrId = z.string().min(1).max(255);
const address = z.string().refine((text) => isIP(text) !== 0, 'an IPv4 or IPv6 address');

/** What is pasted from a browser is not looked up as a name. Of colons only an IPv6 address has any. */
const hostName = z
  .string()
  .min(1)
  .refine(
    (text) => isIP(text) !== 0 || !/[/@:[\]\s]/.test(text),
    'a name or address alone, without https:// and path; another port goes into `port`',
  );

export const configSchema = z.strictObject({
  host: hostName.describe('Name or address of the vCenter'),
  port: z.int().min(1).max(65_535).default(443).describe('Its port for HTTPS'),
  tlsFingerprints: z
    .array(fingerprint)
    .default([])
    .describe('SHA-256 fingerprints of certificates that are trusted; none: it has to be valid for the vCenter’s name'),
  caCertificate: z
    .string()
    .startsWith('-----BEGIN CERTIFICATE-----')
    .optional()
    .describe(
      'PEM of the CA that signed it (the vCenter’s own: https://VCENTER/certs/download.zip); default: the system’s',
    ),
  // VI/JSON is smaller on the wire; whoever has trouble with it can fall back to what every vCenter has.
  protocol: z
    .enum(['auto', 'soap', 'json'])
    .default('auto')
    .describe('auto: VI/JSON where the vCenter offers it (8.0 U1 and later), else SOAP'),
  serviceUrl: z
    .url({ protocol: /^https$/ })
    .optional()
    .describe('Where other vCenters reach this one, for moves between vCenters; default: https://HOST:PORT/sdk'),
  hosts: z
    .array(nameOrId)
    .default([])
    .describe('ESXi hosts at this site; none: all. Needed where one vCenter spans two sites'),
  // Changing a host's network is for those who asked for it.
  routes: z
    .enum(['permanent', 'temporary'])
    .default('permanent')
    .describe(
      'permanent: somebody has led the hosts’ routes to the gateway, and the plugin checks it; temporary: the plugin sets a static route for each migration and takes it away',
    ),
  routePrefixLength: z
    .int()
    .min(8)
    .max(128)
    .optional()
    .describe(
      'Of temporary routes at this vCenter’s hosts: how much of the peer’s network, never more than all of it; default: the one address',
    ),
  vmotionGateway: address
    .optional()
    .describe('The gateway machine’s address in the vMotion network; default: the site’s `hypervisorAddress`'),
  provisioningGateway: address
    .optional()
    .describe('The same in the provisioning network; default: the site’s `hypervisorAddress`'),
});

export type VmwareConfig = z.infer<typeof configSchema>;

export const optionsSchema = z.strictObject({
  destinationHost: nameOrId
    .optional()
    .describe(
      'ESXi host that is to run the VM; default: the one with the most free memory that sees the networks and datastores',
    )
    .meta({ names: 'host' }),
  resourcePool: nameOrId.optional().describe('Default: the root pool of the host’s cluster'),
  folder: nameOrId.optional().describe('VM folder; default: the same inside one datacenter, else the datacenter’s own'),
  datastore: nameOrId
    .optional()
    .describe(
      'For the VM’s files and each disk that `diskMap` does not name; default: the same one if the host sees it, else the one with the most free space',
    )
    .meta({ names: 'storage' }),
  storagePolicy: z.string().min(1).optional().describe('Id of a storage policy at the destination, for all disks'),
  diskMoveType: z
    .enum([
      'moveAllDiskBackingsAndDisallowSharing',
      'moveAllDiskBackingsAndAllowSharing',
      'moveChildMostDiskBacking',
      'moveAllDiskBackingsAndConsolidate',
    ])
    .optional()
    .describe('What becomes of linked disks; default: as vSphere does it (moveAllDiskBackingsAndDisallowSharing)'),
  priority: z
    .enum(['lowPriority', 'highPriority', 'defaultPriority'])
    .default('defaultPriority')
    .describe('vSphere’s own priority of the move (VirtualMachineMovePriority)'),
  encryption: z
    .enum(['leave', 'disable'])
    .default('leave')
    .describe(
      'Encrypted vMotion: leave it as the VM is set, or disable it while the VM moves, so that the gateways can compress; only through a tunnel that encrypts',
    ),
});

export type VmwareOptions = z.infer<typeof optionsSchema>;
