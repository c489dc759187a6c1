/** `lmas host-key scan`: the SSH host keys that a machine shows, as the orchestrator sees them. */
import type { HostKeyScan } from '@lmas/client';
import { Option } from 'commander';
import { type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import type { Column } from '../output/table.ts';
import { parseHostPort } from '../units.ts';

const COLUMNS: readonly Column<HostKeyScan['hostKeys'][number]>[] = [
  { title: 'TYPE', value: ({ type }) => type },
  { title: 'FINGERPRINT', value: ({ fingerprint }) => fingerprint },
];

export function addHostKey(registry: Registry): void {
  const hostKey = registry.program
    .command('host-key')
    .summary('look at the SSH host keys of a machine, pin others')
    .description('SSH host keys, by which machines are known.');
  const scan = hostKey
    .command('scan')
    .description(
      'Shows the SSH host keys that a machine shows to the orchestrator now. Whoever sits between could show his own: compare them with what the machine itself says before they are trusted.',
    )
    .argument('<host[:port]>', 'the machine (port 22)');
  leaf(registry, scan, {
    examples: ['lmas host-key scan gw-a.example.org', 'lmas host-key scan [2001:db8::10]:2222 --json'],
    action: async (invocation) => {
      const address = parseHostPort(invocation.args[0] ?? '');
      const found = await (await invocation.client()).scanHostKeys(address, { signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson(found);
      else {
        invocation.printTable(COLUMNS, found.hostKeys, `${found.host} shows no host key.`);
        invocation.note(
          `Compare with the machine's own word: for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf "$f"; done`,
        );
      }
      return EXIT.ok;
    },
  });
  addPin(registry, hostKey.command('pin'));
}

interface PinFlags {
  readonly site?: string;
  readonly endpoint?: string;
  readonly replaces?: readonly string[];
}

function addPin(registry: Registry, command: Registry['program']): void {
  command
    .description(
      'Pins other host keys for a machine that was set up anew. Compare with what the machine itself says first. Without --replaces it changes nothing, and shows what is pinned now.',
    )
    .argument('<fingerprint...>', 'SHA256:… of every key that is accepted from now on')
    .addOption(new Option('--site <id>', 'the gateway machine of this site').conflicts('endpoint'))
    .option('--endpoint <id>', 'the host of this endpoint')
    .option('--replaces <fingerprint...>', 'all that are pinned now');
  leaf<PinFlags>(registry, command, {
    examples: [
      'lmas host-key pin SHA256:uNiVztks… --site a',
      'lmas host-key pin SHA256:uNiVztks… --site a --replaces SHA256:p2QAMXNI…',
    ],
    action: pin,
  });
}

async function pin(invocation: Invocation<PinFlags>) {
  const { args, flags, signal } = invocation;
  const { site, endpoint, replaces } = flags;
  const id = site ?? endpoint;
  if (id === undefined) throw new CliError('INVALID_VALUE', 'Name the machine with --site or --endpoint.');
  const client = await invocation.client();
  if (replaces === undefined) {
    const pinned =
      site === undefined ? pinnedOf((await client.getEndpoint(id, { signal })).config) : await pinnedAt(site);
    if (pinned.length === 0) throw new CliError('INVALID_VALUE', `${id} has no machine whose host keys are pinned.`);
    throw new CliError('INVALID_VALUE', `Pinned for ${id} is now ${pinned.join(', ')}.`, {
      remedy: `If it is these that shall be replaced, say so: --replaces ${pinned.join(' ')}`,
    });
  }
  const pins = { hostKeys: [...args], replaces: [...replaces] };
  if (site === undefined) await client.pinEndpointHostKeys(id, pins, { signal });
  else await client.pinSiteHostKeys(id, pins, { signal });
  if (flags.json === true) invocation.printJson({ id, ...pins });
  else invocation.print(`Pinned for ${id} is now ${args.join(', ')}.`);
  return EXIT.ok;

  async function pinnedAt(name: string): Promise<string[]> {
    return (await client.getSite(name, { signal })).gateway?.ssh.hostKeys ?? [];
  }
}

/** Where plugins that reach their hosts over SSH keep them. */
function pinnedOf(config: Readonly<Record<string, unknown>>): string[] {
  const { hostKeys } = config;
  return Array.isArray(hostKeys) ? hostKeys.filter((key) => typeof key === 'string') : [];
}
