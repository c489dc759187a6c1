/** A site as the form has it, and the settings that it makes. Pure. */
import type { Site, SiteInput } from '@lmas/client';

type Gateway = NonNullable<Site['gateway']>;

export interface SiteDraft {
  readonly description: string;
  readonly hasGateway: boolean;
  readonly host: string;
  readonly port: number;
  /** One fingerprint a line. */
  readonly hostKeys: string;
  readonly credential: string;
  readonly tunnelAddress: string;
  /** Empty: at `tunnelAddress` itself. */
  readonly listenAddress: string;
  readonly firstPort: number;
  readonly lastPort: number;
  readonly listens: boolean;
  /** With commas; the first is the one, the others further ones. */
  readonly hypervisorAddresses: string;
}

export const emptySite: SiteDraft = {
  description: '',
  hasGateway: true,
  host: '',
  port: 22,
  hostKeys: '',
  credential: '',
  tunnelAddress: '',
  listenAddress: '',
  firstPort: 7_400,
  lastPort: 7_499,
  listens: true,
  hypervisorAddresses: '',
};

export function draftOf({ description, gateway }: Site): SiteDraft {
  if (gateway === null) return { ...emptySite, description, hasGateway: false };
  const { ssh, tunnelPorts, tunnelAddress, listenAddress = '', listens } = gateway;
  return {
    ...{ description, hasGateway: true, host: ssh.host, port: ssh.port, hostKeys: ssh.hostKeys.join('\n') },
    ...{ credential: ssh.credential, tunnelAddress, listenAddress, listens },
    ...{ firstPort: tunnelPorts.min, lastPort: tunnelPorts.max },
    hypervisorAddresses: [gateway.hypervisorAddress, ...gateway.moreHypervisorAddresses].join(', '),
  };
}

export const settingsOf = (draft: SiteDraft): { description: string; gateway: Gateway | null } => ({
  description: draft.description,
  gateway: draft.hasGateway ? gatewayOf(draft) : null,
});

function gatewayOf(draft: SiteDraft): Gateway {
  const { host, port, credential, tunnelAddress, listenAddress, firstPort, lastPort, listens } = draft;
  const [hypervisorAddress = '', ...moreHypervisorAddresses] = listed(draft.hypervisorAddresses, ',');
  return {
    ssh: { host: host.trim(), port, hostKeys: listed(draft.hostKeys, '\n'), credential },
    ...{ tunnelAddress: tunnelAddress.trim(), listens, hypervisorAddress, moreHypervisorAddresses },
    ...(listenAddress.trim() === '' ? {} : { listenAddress: listenAddress.trim() }),
    tunnelPorts: { min: firstPort, max: lastPort },
  };
}

const listed = (text: string, separator: string): string[] =>
  text
    .split(separator)
    .map((part) => part.trim())
    .filter((part) => part !== '');

export const inputOf = (id: string, draft: SiteDraft): SiteInput => ({ id, ...settingsOf(draft) });
