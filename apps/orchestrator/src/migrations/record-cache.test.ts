import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migrationInputSchema } from '../schemas/migration.ts';
import { type Migration, newMigrationId, newRecord } from './record.ts';
import { createRecordCache, MAX_RECORDS } from './record-cache.ts';

function stored(change: Partial<Migration> = {}): string {
  const request = migrationInputSchema.parse({ vm: 'web', source: 'a', destination: 'b' });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  return JSON.stringify({ ...record, migration: { ...record.migration, ...change } });
}

test('the same text is parsed once; another text of the same record is parsed anew, whichever came before', () => {
  const cache = createRecordCache();
  const [before, after] = [stored({ where: 'source' }), stored({ where: 'destination' })];
  const first = cache.parse('m', before);
  assert.equal(cache.parse('m', before), first);
  assert.equal(cache.parse('m', after).where, 'destination');
  assert.equal(cache.parse('m', before).where, 'source');
  assert.throws(() => cache.parse('m', '{}'), 'what is no record is refused as without a cache');
});

test('what was looked at longest ago is forgotten', () => {
  const cache = createRecordCache();
  const text = stored();
  const [first, second] = [cache.parse('first', text), cache.parse('second', text)];
  for (let i = 0; i < MAX_RECORDS - 1; i++) {
    cache.parse(`other-${i}`, text);
    assert.equal(cache.parse('first', text), first);
  }
  assert.notEqual(cache.parse('second', text), second);
});
