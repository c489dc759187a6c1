/** What `lmas site add` and `lmas site set` are told of a site, and what becomes of it. */
import type { Site, SiteChange, SiteInput } from '@lmas/client';
import { type Command, Option } from 'commander';
import { collect } from '../command.ts';
import { CliError } from '../errors.ts';
import { readJson } from '../secrets.ts';
import type { Terminal } from '../terminal.ts';
import { parseHostPort, parseRange } from '../units.ts';

export interface SiteFlags {
  readonly description?: string;
  readonly gateway?: string;
  readonly gatewayHostKey?: readonly string[];
  readonly gatewayCredential?: string;
  readonly tunnelAddress?: string;
  readonly listenAddress?: string;
  readonly tunnelPorts?: string;
  readonly hypervisorAddress?: string;
  readonly moreHypervisorAddress?: readonly string[];
  readonly listens?: boolean;
  readonly file?: string;
}

const SETTINGS = [
  ...['gateway', 'gatewayHostKey', 'gatewayCredential', 'tunnelAddress', 'listenAddress', 'tunnelPorts'],
  ...['hypervisorAddress', 'moreHypervisorAddress', 'description'],
] as const satisfies readonly (keyof SiteFlags)[];
const PORTS = { min: 1, max: 65_535 };

export function withSiteOptions(
  command: Command,
  { file, isChange = false }: { file: string; isChange?: boolean },
): void {
  const unless = (text: string): string => (isChange ? '' : ` (default: ${text})`);
  command
    .option('--description <text>', 'what it is, for people')
    .optionsGroup('Gateway machine:')
    .option('--gateway <host[:port]>', 'where its SSH server is, as the orchestrator reaches it (port 22)')
    .option('--gateway-host-key <fingerprint>', 'SHA256:…, its SSH host key (repeatable)', collect)
    .option('--gateway-credential <id>', 'credential to log in with, see lmas credential')
    .option('--tunnel-address <host>', `where the other site reaches it${unless('the host of --gateway')}`)
    .option('--listen-address <host>', 'where it listens itself, when NAT makes that differ from --tunnel-address')
    .option('--tunnel-ports <range>', `ports for tunnels, one each${unless('7400-7499')}`)
    .option('--hypervisor-address <host>', `where hypervisors of this site reach it${unless('the host of --gateway')}`)
    .option(
      '--more-hypervisor-address <host>',
      'a further address of it there, for hypervisors that want fixed ports (repeatable)',
      collect,
    )
    .option('--no-listens', 'other sites cannot open connections to this one (a firewall, NAT)')
    .addOption(new Option('--file <file>', file).conflicts([...SETTINGS]));
}

/** A new site. @throws CliError INVALID_VALUE */
export function siteInput(id: string, flags: SiteFlags): SiteInput {
  const base = { id, ...(flags.description === undefined ? {} : { description: flags.description }) };
  if (flags.gateway === undefined) {
    const stray =
      flags.gatewayCredential ??
      flags.gatewayHostKey?.[0] ??
      flags.tunnelAddress ??
      flags.listenAddress ??
      flags.tunnelPorts ??
      flags.hypervisorAddress ??
      flags.moreHypervisorAddress?.[0];
    if (stray !== undefined) {
      throw new CliError('INVALID_VALUE', 'Settings of a gateway machine were given, but not the machine.', {
        remedy: 'Add --gateway HOST[:PORT].',
      });
    }
    return base;
  }
  const { host, port } = parseHostPort(flags.gateway);
  const { gatewayCredential: credential, gatewayHostKey: hostKeys } = flags;
  if (credential === undefined || hostKeys === undefined) throw lackingAt(flags.gateway, { credential, hostKeys });
  return {
    ...base,
    gateway: {
      ssh: {
        host,
        ...(port === undefined ? {} : { port }),
        hostKeys: [...hostKeys],
        credential,
      },
      tunnelAddress: flags.tunnelAddress ?? host,
      hypervisorAddress: flags.hypervisorAddress ?? host,
      ...(flags.tunnelPorts === undefined ? {} : { tunnelPorts: parseRange(flags.tunnelPorts, PORTS) }),
      ...(flags.listenAddress === undefined ? {} : { listenAddress: flags.listenAddress }),
      ...(flags.moreHypervisorAddress === undefined
        ? {}
        : { moreHypervisorAddresses: [...flags.moreHypervisorAddress] }),
      ...(flags.listens === false ? { listens: false } : {}),
    },
  };
}

/** Without which there is no way to the machine: all of it at once. */
function lackingAt(
  gateway: string,
  { credential, hostKeys }: { credential: string | undefined; hostKeys: readonly string[] | undefined },
): CliError {
  const lacking: string[] = [];
  const remedies: string[] = [];
  if (credential === undefined) {
    lacking.push('--gateway-credential ID to log in with');
    remedies.push('Store a credential with lmas credential add.');
  }
  if (hostKeys === undefined) {
    lacking.push('--gateway-host-key SHA256:… to know the machine by');
    remedies.push(
      `See the host key with lmas host-key scan ${gateway}, and compare it with what the machine itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`,
    );
  }
  return new CliError('INVALID_VALUE', `--gateway needs ${lacking.join(', and ')}.`, { remedy: remedies.join(' ') });
}

/** What is named, over what is there. @throws CliError INVALID_VALUE */
export function siteChange(site: Site, flags: SiteFlags): SiteChange {
  const { description, ...ofGateway } = flags;
  const base = description === undefined ? {} : { description };
  const touchesGateway =
    ofGateway.listens !== undefined || SETTINGS.some((name) => name !== 'description' && flags[name] !== undefined);
  if (!touchesGateway) return base;
  const { gateway } = site;
  if (gateway === null) return { ...base, gateway: siteInput(site.id, flags).gateway ?? null };
  const { host, port } = flags.gateway === undefined ? gateway.ssh : parseHostPort(flags.gateway);
  return {
    ...base,
    gateway: {
      ...gateway,
      ssh: {
        host,
        ...(port === undefined ? {} : { port }),
        hostKeys: [...(flags.gatewayHostKey ?? gateway.ssh.hostKeys)],
        credential: flags.gatewayCredential ?? gateway.ssh.credential,
      },
      ...(flags.tunnelAddress === undefined ? {} : { tunnelAddress: flags.tunnelAddress }),
      ...(flags.listenAddress === undefined ? {} : { listenAddress: flags.listenAddress }),
      ...(flags.tunnelPorts === undefined ? {} : { tunnelPorts: parseRange(flags.tunnelPorts, PORTS) }),
      ...(flags.hypervisorAddress === undefined ? {} : { hypervisorAddress: flags.hypervisorAddress }),
      ...(flags.moreHypervisorAddress === undefined
        ? {}
        : { moreHypervisorAddresses: [...flags.moreHypervisorAddress] }),
      ...(flags.listens === undefined ? {} : { listens: flags.listens }),
    },
  };
}

/** Before anything is asked over the network. @throws CliError INVALID_VALUE */
export function refuseEmptyChange(flags: SiteFlags): void {
  if (flags.listens !== undefined || SETTINGS.some((name) => flags[name] !== undefined)) return;
  throw new CliError('INVALID_VALUE', 'There is nothing to change.', {
    remedy: 'Name what shall change, such as --description or --gateway-credential.',
  });
}

export async function readSiteFile(file: string, terminal: Terminal): Promise<Record<string, unknown>> {
  const value = await readJson(file, terminal);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new CliError('INPUT_UNREADABLE', 'The file holds no JSON object.');
}
