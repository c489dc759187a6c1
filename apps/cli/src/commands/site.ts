/** `lmas site`: data centres, each with the machine where its gateways run. */
import type { Site, SiteChange, SiteInput } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { Option } from 'commander';
import { type Invocation, leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, renderFields } from '../output/table.ts';
import { widthOf } from '../terminal.ts';
import { addPlaceLimit } from './place-limit.ts';
import {
  readSiteFile,
  refuseEmptyChange,
  type SiteFlags,
  siteChange,
  siteInput,
  withSiteOptions,
} from './site-settings.ts';

const COLUMNS: readonly Column<Site>[] = [
  { title: 'SITE', value: ({ id }) => id },
  { title: 'GATEWAY', value: ({ gateway }) => (gateway === null ? 'none' : sshAddress(gateway)), minWidth: 12 },
  { title: 'TUNNEL', value: ({ gateway }) => (gateway === null ? '' : tunnelAddress(gateway)), minWidth: 12 },
  { title: 'DESCRIPTION', value: ({ description }) => description, minWidth: 10, dropOrder: 1 },
];

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
  addSet(registry, site.command('set'));
  addPlaceLimit(registry, site.command('limit'), 'site');
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
    .description(
      'Registers a site. Without --gateway only direct migrations (without a tunnel) are possible there. The gateway machine needs SSH and nothing else; look at its host key with lmas host-key scan and compare it with what the machine itself says.',
    )
    .argument('<id>', 'its name: lower-case letters, digits, hyphens');
  withSiteOptions(command, { file: 'the whole site as JSON instead, as the API takes it; "-" is standard input' });
  leaf<SiteFlags>(registry, command, {
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
          : ({ ...(await readSiteFile(invocation.flags.file, invocation.terminal)), id } as SiteInput);
      show(invocation, await (await invocation.client()).createSite(input, { signal: invocation.signal }));
      return EXIT.ok;
    },
  });
}

function addSet(registry: Registry, command: Registry['program']): void {
  command
    .description(
      'Changes a site; what is not named stays. While migrations use it, of its gateway only the credential may change, and addresses may be added.',
    )
    .argument('<id>', 'name of the site')
    .addOption(new Option('--listens', 'other sites can open connections to this one').conflicts('file'));
  withSiteOptions(command, {
    file: 'what changes as JSON instead, as the API takes it; "-" is standard input',
    isChange: true,
  });
  leaf<SiteFlags>(registry, command, {
    examples: [
      'lmas site set a --gateway-credential ops-2026',
      'lmas site set a --tunnel-address 203.0.113.8 --no-listens',
    ],
    action: async (invocation) => {
      const { args, flags, terminal, signal } = invocation;
      const change = flags.file === undefined ? undefined : await readSiteFile(flags.file, terminal);
      if (change === undefined) refuseEmptyChange(flags);
      const client = await invocation.client();
      const apply = (site: Site): SiteChange => change ?? siteChange(site, flags);
      show(invocation, await client.changeSite(args[0] ?? '', apply, { signal }));
      return EXIT.ok;
    },
  });
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
  if (gateway === null) fields.push(['Gateway', 'none: only direct migrations']);
  else {
    const { credential } = gateway.ssh;
    fields.push(
      ['Gateway', `${sshAddress(gateway)}${credential === '' ? '' : `, credential ${credential}`}`],
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
