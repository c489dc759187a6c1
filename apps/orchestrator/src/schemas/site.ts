/**
 * Sites, and what the SSH server of a machine shows before it is registered.
 */
import { z } from 'zod';
import {
  hostSchema,
  ownedNameSchema,
  portSchema,
  shownCredentialSchema,
  slugSchema,
  timestampSchema,
} from './common.ts';

export const hostKeysSchema = z
  .array(z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/, 'a fingerprint as ssh-keygen -lf prints it: SHA256:…'))
  .min(1)
  .describe('The SSH host keys that are accepted, as SHA-256 fingerprints. See POST /v1/host-key-scans.');

export const hostKeyPinsSchema = z
  .strictObject({
    hostKeys: hostKeysSchema,
    replaces: z.array(z.string().max(100)).min(1).max(100).describe('All that are pinned now.'),
  })
  .meta({
    id: 'HostKeyPins',
    examples: [
      {
        hostKeys: ['SHA256:uNiVztksCsDhcc0u9e8BrrNzjLuxXyzZvtOKYROk9jg'],
        replaces: ['SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM'],
      },
    ],
  });

export const hostKeyScanInputSchema = z
  .strictObject({ host: hostSchema, port: portSchema.default(22) })
  .meta({ id: 'HostKeyScanRequest', examples: [{ host: 'gw-a.example.org', port: 22 }] });
export const hostKeyScanSchema = z
  .object({
    host: hostSchema,
    port: portSchema,
    hostKeys: z.array(z.object({ type: z.string(), fingerprint: z.string() })),
  })
  .meta({
    id: 'HostKeyScan',
    description: 'What the host shows now. Compare it with what the host itself says before you trust it.',
  });

export const siteInputSchema = z
  .strictObject({
    id: slugSchema,
    description: z.string().max(500).default(''),
    gateway: z
      .strictObject({
        ssh: z.strictObject({
          host: hostSchema,
          port: portSchema.default(22),
          hostKeys: hostKeysSchema,
          credential: ownedNameSchema,
        }),
        tunnelAddress: hostSchema.describe('Where the other site reaches this gateway machine.'),
        listenAddress: hostSchema
          .optional()
          .describe('Where it listens for the other site, if `tunnelAddress` is translated on the way (NAT).'),
        tunnelPorts: z
          .strictObject({ min: portSchema, max: portSchema })
          .default({ min: 7_400, max: 7_499 })
          .describe('One of these is opened for each tunnel when this site listens.'),
        listens: z.boolean().default(true).describe('Whether the other site may open connections to this one.'),
        hypervisorAddress: hostSchema.describe(
          'Where hypervisors of this site reach the gateway machine; it listens there only.',
        ),
        moreHypervisorAddresses: z
          .array(hostSchema)
          .max(64)
          .default([])
          .describe(
            'Further addresses that the machine has there. A migration whose hypervisor wants fixed ports (Xen: 443 and 80) takes one of all these addresses for itself.',
          ),
      })
      .nullable()
      .default(null)
      .describe(
        'The machine where a gateway can run; without one, only direct migrations (without a tunnel) are possible.',
      ),
  })
  .meta({
    id: 'SiteRequest',
    examples: [
      {
        id: 'lisbon',
        description: 'Rack 7',
        gateway: {
          ssh: { host: 'gw-a.example.org', hostKeys: [`SHA256:${'A'.repeat(43)}`], credential: 'ops' },
          tunnelAddress: '203.0.113.10',
          hypervisorAddress: '10.1.0.10',
        },
      },
      { id: 'porto' },
    ],
  });
const { gateway: gatewaySchema } = siteInputSchema.shape;
const machineSchema = gatewaySchema.unwrap().unwrap();
export const siteSchema = siteInputSchema
  .extend({
    gateway: machineSchema
      .extend({ ssh: machineSchema.shape.ssh.extend({ credential: shownCredentialSchema }) })
      .nullable()
      .default(null)
      .describe(gatewaySchema.description ?? ''),
    createdAt: timestampSchema,
  })
  .meta({ id: 'Site' });

/** What is not named stays as it is. While live migrations use the site, of its gateway only the credential may change, and addresses may come. */
export const siteChangeSchema = z
  .strictObject({
    description: siteInputSchema.shape.description.unwrap(),
    gateway: gatewaySchema.unwrap(),
  })
  .partial()
  .meta({ id: 'SiteChange', examples: [{ description: 'Rack 8' }] });
