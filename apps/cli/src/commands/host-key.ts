/** `lmas host-key scan`: the SSH host keys that a machine shows, as the orchestrator sees them. */
import type { HostKeyScan } from '@lmas/client';
import { leaf, type Registry } from '../command.ts';
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
    .summary('look at the SSH host keys of a machine')
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
}
