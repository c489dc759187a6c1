/** `lmas master-key`: the key that seals credentials and webhook secrets; which one, and its rotation. */
import type { MasterKey } from '@lmas/client';
import { plural } from '@lmas/format';
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import type { Column } from '../output/table.ts';

type Key = MasterKey['keys'][number] & { readonly isCurrent: boolean };

const COLUMNS: readonly Column<Key>[] = [
  { title: 'KEY', value: ({ id }) => id },
  { title: 'USE', value: ({ isCurrent, known }) => (isCurrent ? 'seals' : known ? 'opens' : 'MISSING') },
  { title: 'SECRETS', value: ({ values }) => String(values), align: 'right' },
];

export function addMasterKey(registry: Registry): void {
  const masterKey = registry.program
    .command('master-key')
    .summary('the key that seals all secrets')
    .description('The key that seals credentials and webhook secrets. Keys are known by their id and never shown.');
  const show = masterKey.command('show').description('Shows which key seals, and how many secrets need which.');
  leaf(registry, show, {
    examples: ['lmas master-key show'],
    action: async (invocation) => {
      const state = await (await invocation.client()).getMasterKey({ signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson(state);
      else {
        invocation.printTable(COLUMNS, rowsOf(state), '');
        invocation.note(`From: ${state.source}.`);
      }
      return EXIT.ok;
    },
  });
  const rotate = masterKey
    .command('rotate')
    .description(
      'Seals every secret anew: under a new key, if the key is in a file; else under the key that its source names first now. Safe to repeat. What does not open stays as it is and is named.',
    );
  leaf(registry, rotate, {
    examples: ['lmas master-key rotate'],
    action: async (invocation) => {
      const state = await (await invocation.client()).rotateMasterKey({ signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson(state);
      else {
        invocation.printTable(COLUMNS, rowsOf(state), '');
        invocation.note(`Sealed anew: ${plural(state.resealed, 'secret')}.`);
        for (const words of state.notResealed) invocation.note(`Not sealed anew: ${words}`);
        if (state.notResealed.length > 0) {
          invocation.note('Put the key that they need back behind the others and rotate again, or register them anew.');
        }
      }
      return state.notResealed.length === 0 ? EXIT.ok : EXIT.failed;
    },
  });
}

const rowsOf = ({ keys, current }: MasterKey): Key[] => keys.map((key) => ({ ...key, isCurrent: key.id === current }));
