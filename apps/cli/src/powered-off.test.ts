/** VMs that are powered off, at the command line: what is asked for, and what is said of one that has moved. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migrationInputSchema, migrationSchema } from '../../orchestrator/src/schemas/migration.ts';
import { evacuationInputSchema } from '../../orchestrator/src/schemas/plan.ts';
import { answer, fakeOrchestrator, MIGRATION_ID, sampleMigration } from './fake-orchestrator.ts';
import { lmas } from './fake-terminal.ts';

test('migrate asks for a VM that is off only when it is told so', async () => {
  await using fake = await fakeOrchestrator();
  const relocation = sampleMigration({ purpose: 'relocation' });
  fake.on('POST /v1/migrations', answer(202, migrationSchema, relocation));
  const ends = ['web-1', '--from', 'host-a', '--to', 'host-b'];
  for (const [flags, powerState] of [
    [['--powered-off'], 'off'],
    [[], 'running'],
  ] as const) {
    const { code, err } = await lmas(fake, 'migrate', ...ends, ...flags);
    assert.equal(code, 0, err);
    assert.equal(migrationInputSchema.parse(fake.calls.at(-1)?.body).powerState, powerState);
  }
  fake.on(`GET /v1/migrations/${MIGRATION_ID}`, answer(200, migrationSchema, relocation));
  const { out } = await lmas(fake, 'get', MIGRATION_ID);
  assert.match(out, /powered off/);
});

test('evacuate says what becomes of VMs that are off; without a word they move as they are', async () => {
  await using fake = await fakeOrchestrator();
  for (const [flags, poweredOff] of [
    [['--powered-off', 'leave'], 'leave'],
    [[], 'move'],
  ] as const) {
    await lmas(fake, 'evacuate', 'host-a', '--to', 'host-b', ...flags);
    assert.equal(evacuationInputSchema.parse(fake.calls.at(-1)?.body).poweredOff, poweredOff);
  }
});
