import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newMigrationId, newRecord } from '../migrations/record.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { byHand, openInWords } from './ending.ts';

const known = (source: string, destination: string) => {
  const request = migrationInputSchema.parse({ vm: 'shop', source, destination, transport: 'direct' });
  const { migration, notes } = newRecord(newMigrationId(), request, { source: 'a', destination: 'b' }, []);
  return { migration: { ...migration, where: 'unknown' } as const, notes };
};

test('of one VM at one endpoint nobody is told to remove a second one', () => {
  const { migration, notes } = known('vc-a', 'vc-a');
  const words = byHand({ migration, notes }, 'unknown');
  assert.match(words, /There is one VM, at vc-a, .* remove nothing, and start nothing\./);
  assert.match(openInWords(migration), /^the disks of VM shop: it is not clear where they are/);
  const two = known('vc-a', 'vc-b');
  assert.match(byHand(two, 'unknown'), /remove what is left of it at the other/);
});
