/** `lmas site`: data centres, each with the machine where its gateways run. */
import type { Site, SiteInput } from '@lmas/client';
import { Option } from 'commander';
import { collect, type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { formatTime } from '../output/format.ts';
import { type Column, renderFields } from '../output/table.ts';
import { readJson } from '../secrets.ts';
import { widthOf } from '../terminal.ts';
import { parseHostPort, parseRange } from '../units.ts';

const COLUMNS: readonly Column<Site>[] = [
  { title: 'SITE', value: ({ id }) => id },
  { title: 'GATEWAY', value: ({ gateway }) => (gateway === null ? 'none' : sshAddress(gateway)), minWidth: 12 },
  { title: 'TUNNEL', value: ({ gateway }) => (gateway === null ? '' : tunnelAddress(gateway)), minWidth: 12 },
  { title: 'DESCRIPTION', value: ({ description }) => description, minWidth: 10, dropOrder: 1 },
];

interface SiteAddFlags {
  readonly description?: string;
  readonly gateway?: string;
  readonly gatewayHostKey?: readonly string[];
  readonly gatewayCredential?: string;
  readonly tunnelAddress?: string;
  readonly listenAddress?: string;
  readonly tunnelPorts?: string;
  readonly hypervisorAddress?: string;
  readonly listens: boolean;
  readonly file?: string;
}

export function addSite(registry: Registry): void {
  const site = registry.program
    .command('site')
    .summary('data centres and their gateway machines')
    .description('Data centres, each with the machine where its gateways run.');
  addAdd(registry, site.command('add'));
  leaf(registry, site.command('list').description('Lists the sites.'), {
    examples: ['lmas site list'],
    action: async (invocation) => {
      const sites = await (await invocation.client()).listSites({ signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ items: sites });
      else invocation.printTable(COLUMNS, sites, 'No sites. Add one with lmas site add.');
      return EXIT.ok;
    },
  });
  leaf(registry, site.command('get').description('Shows one site.').argument('<id>', 'name of the site'), {
    examples: ['lmas site get a'],
    action: async (invocation) => {
      show(
        invocation,
        await (await invocation.client()).getSite(invocation.args[0] ?? '', { signal: invocation.signal }),
      );
      return EXIT.ok;
    },
  });
  leaf(
    registry,
    site
      .command('remove')
      .description('Removes a site that no endpoint belongs to any more.')
      .argument('<id>', 'name of the site'),
    {
      examples: ['lmas site remove a'],
      action: async (invocation) => {
        const id = invocation.args[0] ?? '';
        await (await invocation.client()).deleteSite(id, { signal: invocation.signal });
        if (invocation.flags.json === true) invocation.printJson({ removed: id });
        else invocation.print(`Site ${id} removed.`);
        return EXIT.ok;
      },
    },
  );
}

function addAdd(registry: Registry, command: Registry['program']): void {
  command
    .summary('register a site')
    .description(
      'Registers a site. Without --gateway only straight migrations are possible there. The gateway machine needs SSH and nothing else; look at its host key with lmas host-key scan and compare it with what the machine itself says.',
    )
    .argument('<id>', 'its name: lower-case letters, digits, hyphens')
    .option('--description <text>', 'what it is, for people')
    .optionsGroup('Gateway machine:')
    .option('--gateway <host[:port]>', 'where its SSH server is, as the orchestrator reaches it (port 22)')
    .option('--gateway-host-key <fingerprint>', 'SHA256:…, its SSH host key (repeatable)', collect)
    .option('--gateway-credential <id>', 'credential to log in with, see lmas credential')
    .option('--tunnel-address <host>', 'where the other site reaches it (default: the host of --gateway)')
    .option('--listen-address <host>', 'where it listens itself, when NAT makes that differ from --tunnel-address')
    .option('--tunnel-ports <range>', 'ports for tunnels, one each (default: 7400-7499)')
    .option('--hypervisor-address <host>', 'where hypervisors of this site reach it (default: the host of --gateway)')
    .option('--no-listens', 'other sites cannot open connections to this one (a firewall, NAT)')
    .addOption(
      new Option(
        '--file <file>',
        'the whole site as JSON instead, as the API takes it; "-" is standard input',
      ).conflicts([
        'gateway',
        'gatewayHostKey',
        'gatewayCredential',
        'tunnelAddress',
        'listenAddress',
        'tunnelPorts',
        'hypervisorAddress',
        'description',
      ]),
    );
  leaf<SiteAddFlags>(registry, command, {
    examples: [
      'lmas site add a --gateway 192.0.2.10 --gateway-credential ops --gateway-host-key SHA256:…',
      'lmas site add b --gateway gw-b.example.org:2222 --gateway-credential ops --gateway-host-key SHA256:… \\',
      '      --tunnel-address 203.0.113.7 --hypervisor-address 10.1.0.5 --no-listens',
      'lmas site add c --file site-c.json',
    ],
    action: async (invocation) => {
      const id = invocation.args[0] ?? '';
      const input =
        invocation.flags.file === undefined
          ? siteInput(id, invocation.flags)
          : ({ ...asObject(await readJson(invocation.flags.file, invocation.terminal)), id } as SiteInput);
      show(invocation, await (await invocation.client()).createSite(input, { signal: invocation.signal }));
      return EXIT.ok;
    },
  });
}

function siteInput(id: string, flags: SiteAddFlags): SiteInput {
  const base = { id, ...(flags.description === undefined ? {} : { description: flags.description }) };
  if (flags.gateway === undefined) {
    const stray =
      flags.gatewayCredential ??
      flags.gatewayHostKey?.[0] ??
      flags.tunnelAddress ??
      flags.listenAddress ??
      flags.tunnelPorts ??
      flags.hypervisorAddress;
    if (stray !== undefined) {
      throw new CliError('INVALID_VALUE', 'Settings of a gateway machine were given, but not the machine.', {
        remedy: 'Add --gateway HOST[:PORT].',
      });
    }
    return base;
  }
  const { host, port } = parseHostPort(flags.gateway);
  if (flags.gatewayCredential === undefined) {
    throw new CliError('INVALID_VALUE', '--gateway needs --gateway-credential ID to log in with.', {
      remedy: 'Store one with lmas credential add.',
    });
  }
  if (flags.gatewayHostKey === undefined) {
    throw new CliError('INVALID_VALUE', '--gateway needs --gateway-host-key SHA256:… to know the machine by.', {
      remedy: `See it with lmas host-key scan ${flags.gateway}, and compare it with what the machine itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`,
    });
  }
  return {
    ...base,
    gateway: {
      ssh: {
        host,
        ...(port === undefined ? {} : { port }),
        hostKeys: [...flags.gatewayHostKey],
        credential: flags.gatewayCredential,
      },
      tunnelAddress: flags.tunnelAddress ?? host,
      hypervisorAddress: flags.hypervisorAddress ?? host,
      ...(flags.tunnelPorts === undefined
        ? {}
        : { tunnelPorts: parseRange(flags.tunnelPorts, { min: 1, max: 65_535 }) }),
      ...(flags.listenAddress === undefined ? {} : { listenAddress: flags.listenAddress }),
      ...(flags.listens ? {} : { listens: false }),
    },
  };
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new CliError('INPUT_UNREADABLE', 'The file holds no JSON object.');
}

function show(invocation: Invocation<object>, site: Site): void {
  const { flags, terminal } = invocation;
  if (flags.json === true) {
    invocation.printJson(site);
    return;
  }
  const { gateway } = site;
  const fields: (readonly [string, string])[] = [
    ['Site', site.id],
    ['Description', site.description],
    ['Created', formatTime(site.createdAt)],
  ];
  if (gateway === null) fields.push(['Gateway', 'none: only straight migrations']);
  else {
    fields.push(
      ['Gateway', `${sshAddress(gateway)}, credential ${gateway.ssh.credential}`],
      ['Host keys', gateway.ssh.hostKeys.join('\n')],
      ['Tunnel', tunnelAddress(gateway)],
      ['Hypervisors', `reach it at ${gateway.hypervisorAddress}`],
    );
  }
  invocation.print(renderFields(fields, widthOf(terminal.stdout, terminal.env)));
}

type Gateway = NonNullable<Site['gateway']>;

function sshAddress({ ssh: { host, port } }: Gateway): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return port === 22 ? host : `${name}:${port}`;
}

function tunnelAddress({ tunnelAddress: address, tunnelPorts: { min, max }, listens }: Gateway): string {
  return listens ? `${address}, ports ${min}-${max}` : `${address}, does not listen`;
}
