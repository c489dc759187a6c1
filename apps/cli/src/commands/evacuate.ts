/** `lmas evacuate`: a host or a site is emptied, by flags or by a file. */
import type { EvacuationInput } from '@lmas/client';
import { Option } from 'commander';
import { collect, type Invocation, leaf, type Registry } from '../command.ts';
import { readDocument } from '../documents.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { followRun } from '../follow-run.ts';
import { CONVERGENCES } from '../migration-flags.ts';
import { BANDWIDTH_HELP, parseBandwidth, parseInteger } from '../units.ts';

interface EvacuateFlags {
  readonly site?: string;
  readonly to?: string;
  readonly toSite?: string;
  readonly except?: readonly string[];
  readonly first?: readonly string[];
  readonly order?: 'name' | 'smallest' | 'largest';
  readonly refuseSilent?: boolean;
  readonly overcommit?: boolean;
  readonly cordon?: boolean;
  readonly concurrency?: string;
  readonly bandwidth?: string;
  readonly direct?: boolean;
  readonly stop?: boolean;
  readonly poweredOff?: (typeof POWERED_OFF)[number];
  readonly convergence?: (typeof CONVERGENCES)[number];
  readonly file?: string;
  readonly watch?: boolean;
}

/** What a file says instead. */
const SETTINGS = [
  ...['site', 'to', 'toSite', 'except', 'first', 'order', 'refuseSilent', 'overcommit', 'concurrency'],
  ...['bandwidth', 'convergence', 'direct', 'poweredOff', 'stop', 'cordon'],
];
const POWERED_OFF = ['move', 'leave', 'refuse'] as const;

export function addEvacuate(registry: Registry): void {
  const command = registry.program
    .command('evacuate')
    .summary('empty a host or a site')
    .description(
      'Moves everything on a host, or at a whole site, somewhere else: to an endpoint, or to the endpoints of a site that have most memory free. What runs moves live; what is powered off is moved as it is where its hypervisor lets us (KVM), and else left and named. Also the way to fill a new site. What went is brought back with lmas plan fail-back.',
    )
    .argument('[host]', 'endpoint to empty')
    .option('--site <site>', 'empty this whole site instead')
    .addOption(new Option('--to <endpoint>', 'where everything goes').conflicts('toSite'))
    .option('--to-site <site>', 'where everything goes: the endpoints there with most memory free')
    .option('--except <vm>', 'a VM that stays (repeatable)', collect)
    .option('--first <vm>', 'a VM that begins before all others; repeated, in this order', collect)
    .addOption(
      new Option('--order <order>', 'in which order the others begin (default: name)').choices([
        'name',
        'smallest',
        'largest',
      ]),
    )
    .option('--refuse-silent', 'move nothing when a host of the site does not answer; without it what it has is left')
    .option('--overcommit', 'only warn of VMs that do not fit into the free memory of where they go, all together')
    .option('--concurrency <n>', 'how many move at once, 1 to 100 (default: 2)')
    .option('--bandwidth <rate>', `most that each may use; ${BANDWIDTH_HELP}`)
    .addOption(
      new Option(
        '--convergence <policy>',
        'what matters most if the dirty rate exceeds what the link carries (default: balanced)',
      ).choices(CONVERGENCES),
    )
    .option('--direct', 'from host to host, as without LMAS: no gateways, no tunnel')
    .addOption(
      new Option('--powered-off <what>', 'what becomes of VMs that are powered off (default: move)').choices(
        POWERED_OFF,
      ),
    )
    .option('--stop', 'stop when one fails; without it the others go on')
    .option('--cordon', 'let what is emptied take no VMs from now on, until lmas endpoint uncordon')
    .addOption(
      new Option(
        '--file <file>',
        'the whole evacuation as YAML or JSON instead, as the API takes it, also with mappings and every setting of the migrations; "-" is standard input',
      ).conflicts(SETTINGS),
    )
    .option('--watch', 'follow it to its end; the exit code is that of the run');
  leaf<EvacuateFlags>(registry, command, {
    examples: [
      'lmas evacuate host-a --to host-b --watch',
      'lmas evacuate host-a --to-site lisbon --cordon --watch',
      'lmas evacuate --site lisbon --to-site porto --concurrency 4',
      'lmas evacuate --file lisbon.yaml --watch',
    ],
    action: async (invocation) => {
      // Wrong usage is told before a missing key.
      const wanted = await evacuationFrom(invocation);
      const run = await (await invocation.client()).evacuate(wanted, invocation);
      if (invocation.flags.watch === true) return await followRun(invocation, run);
      if (invocation.flags.json === true) invocation.printJson(run);
      else invocation.print(`${run.id}: begun. Follow it:  lmas plan status ${run.id} --watch`);
      return EXIT.ok;
    },
  });
}

async function evacuationFrom({ args: [host], flags, terminal }: Invocation<EvacuateFlags>): Promise<EvacuationInput> {
  if (flags.file !== undefined) {
    if (host !== undefined)
      throw new CliError('INVALID_VALUE', 'The file says what shall be emptied: leave out the host.');
    return (await readDocument(flags.file, terminal)) as unknown as EvacuationInput;
  }
  const { site, to, toSite, except, first, order, concurrency, bandwidth, direct, stop, poweredOff, convergence } =
    flags;
  const source = host === undefined ? (site === undefined ? undefined : { site }) : { endpoint: host };
  const destination = to === undefined ? (toSite === undefined ? undefined : { site: toSite }) : { endpoint: to };
  if (source === undefined || destination === undefined || (host !== undefined && site !== undefined)) {
    throw new CliError('INVALID_VALUE', 'It is not said what shall be emptied, and where to.', {
      remedy: 'Name a host or --site SITE, and --to ENDPOINT or --to-site SITE.',
    });
  }
  return {
    source,
    destination,
    ...(except === undefined ? {} : { except: [...except] }),
    ...(first === undefined ? {} : { first: [...first] }),
    ...(order === undefined ? {} : { order }),
    ...(flags.refuseSilent === true ? { silent: 'refuse' as const } : {}),
    ...(flags.overcommit === true ? { memory: 'overcommit' as const } : {}),
    ...(concurrency === undefined ? {} : { concurrency: parseInteger(concurrency, { min: 1, max: 100 }) }),
    ...(stop === true ? { onFailure: 'stop' as const } : {}),
    ...(flags.cordon === true ? { cordon: true } : {}),
    ...(poweredOff === undefined ? {} : { poweredOff }),
    migration: {
      ...(bandwidth === undefined ? {} : { bandwidthBytesPerSec: parseBandwidth(bandwidth) }),
      ...(convergence === undefined ? {} : { convergence }),
      ...(direct === true ? { transport: 'direct' as const } : {}),
    },
  };
}
