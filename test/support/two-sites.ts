/**
 * Makes a lab known to an orchestrator: the credential, both sites with their gateway machines, both libvirt hosts,
 * over REST and with pinned host keys, as an operator would.
 */
import { readFileSync } from 'node:fs';
import type { LmasClient } from '@lmas/client';
import type { Lab, LabHost, SiteName } from '../lab/src/index.ts';

/** A directory that both hosts of the lab see at this path. */
export const SHARED_DIRECTORY = '/var/lib/lab-shared';

export const CREDENTIAL_ID = 'lab-key';
export const siteId = (site: SiteName): string => `site-${site}`;
export const endpointId = (site: SiteName): string => `kvm-${site}`;

/**
 * Registers everything; the orchestrator must not know any of it yet.
 * @param more further addresses of the gateway machines towards the hypervisors, which they have to have
 */
export async function registerLab(
  client: LmasClient,
  lab: Lab,
  more: Readonly<Partial<Record<SiteName, string[]>>> = {},
): Promise<void> {
  await client.createCredential({
    id: CREDENTIAL_ID,
    kind: 'ssh-key',
    username: 'root',
    privateKey: readFileSync(lab.clientKeyPath, 'utf8'),
  });
  for (const site of ['a', 'b'] as const) {
    const { host, gatewayHost } = lab.sites[site];
    await client.createSite({
      id: siteId(site),
      description: `Site ${site.toUpperCase()} of the lab`,
      gateway: {
        ssh: { ...sshAccess(gatewayHost), credential: CREDENTIAL_ID },
        tunnelAddress: gatewayHost.dataAddress,
        hypervisorAddress: gatewayHost.dataAddress,
        moreHypervisorAddresses: more[site] ?? [],
      },
    });
    await client.createEndpoint({
      id: endpointId(site),
      site: siteId(site),
      plugin: 'kvm',
      credential: CREDENTIAL_ID,
      config: { ...sshAccess(host), migrationAddress: host.dataAddress, sharedPaths: [SHARED_DIRECTORY] },
    });
  }
}

function sshAccess(machine: LabHost): { host: string; port: number; hostKeys: string[] } {
  return { host: machine.ssh.host, port: machine.ssh.port, hostKeys: [machine.ssh.hostKeySha256] };
}
