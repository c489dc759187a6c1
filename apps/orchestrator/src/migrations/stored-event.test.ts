import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migrationInputSchema } from '../schemas/migration.ts';
import { migrationEventSchema } from '../schemas/migration-event.ts';
import { type Migration, newMigrationId, newRecord } from './record.ts';
import { newEvent, packEvent, unpackEvent } from './stored-event.ts';

function record(): Migration {
  const request = migrationInputSchema.parse({ vm: 'web', source: 'a', destination: 'b', labels: { owner: 'ops' } });
  const { migration } = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  const finding = { severity: 'warning' as const, code: 'CPU', message: 'm'.repeat(200), remedy: 'r'.repeat(200) };
  return { ...migration, findings: [finding, finding] };
}

test('what was stored and the record together are the whole event', () => {
  const migration = { ...record(), phase: 'performing' as const };
  const event = newEvent('phase', 'performing', migration);
  const later: Migration = { ...migration, phase: 'failed', where: 'unknown' };
  const read = migrationEventSchema.parse(JSON.parse(unpackEvent(later, packEvent(event))));
  assert.deepEqual(read, migrationEventSchema.parse(event));
});

test('the last event tells what became of the teardown since; those before it tell what was then', () => {
  const ended: Migration = { ...record(), phase: 'failed', teardown: 'incomplete', leftovers: ['gateway at site x'] };
  const givenUp = { at: ended.createdAt, by: 'ops', reason: 'burnt down' };
  const later: Migration = { ...ended, teardown: 'given-up', leftovers: ['gateway at site x: given up'], givenUp };
  const read = (type: 'phase' | 'end', migration: Migration) =>
    migrationEventSchema.parse(JSON.parse(unpackEvent(later, packEvent(newEvent(type, 'm', migration))))).migration;
  assert.deepEqual(read('end', ended), migrationEventSchema.parse(newEvent('end', 'm', later)).migration);
  const before = read('phase', { ...record(), phase: 'tearing-down', teardown: 'pending' });
  assert.deepEqual([before.teardown, before.leftovers, before.givenUp], ['pending', [], null]);
});

test('an event takes less than half of the room of a record', () => {
  const migration = record();
  const definition = '<domain/>'.repeat(600);
  const numbers = { downtimeMs: 1, bytesTransferred: 1, iterations: 1, keptAtSource: [], warnings: [] };
  const ended: Migration = { ...migration, report: { ...numbers, sourceDefinition: definition } };
  for (const whole of [migration, ended]) {
    const event = newEvent('progress', 'memory 10 %', whole);
    assert.ok(packEvent(event).length * 2 < JSON.stringify(event).length);
  }
});
