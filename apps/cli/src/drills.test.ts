/** Drills at the command line: what is asked for, and what is said of one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migrationInputSchema, migrationSchema } from '../../orchestrator/src/schemas/migration.ts';
import { answer, fakeOrchestrator, MIGRATION_ID, sampleMigration } from './fake-orchestrator.ts';
import { lmas } from './fake-terminal.ts';

const drill = {
  copy: {
    vm: { id: '9a1c', name: 'web-1-drill-0198c9d4' },
    networks: ['drill-net'],
    disks: [{ name: 'vda', location: '/srv/web-1.qcow2' }],
    startedAt: '2026-01-01T00:00:20.000Z',
  },
  ...{ upAfterMs: 19_000, keepUntil: '2026-01-01T00:10:20.000Z', ranToTheEnd: null },
};

test('drill asks for a drill, with its networks and for how long it is kept', async () => {
  await using fake = await fakeOrchestrator();
  fake.on('POST /v1/migrations', answer(202, migrationSchema, sampleMigration({ purpose: 'drill' })));
  const ends = ['web-1', '--from', 'host-a', '--to', 'host-b'];
  const { code, out, err } = await lmas(fake, 'drill', ...ends, '--network-map', 'lan=drill-net', '--keep', '10min');
  assert.equal(code, 0, err);
  assert.match(out, /accepted, web-1 is rehearsed from host-a to host-b/);
  const sent = migrationInputSchema.parse(fake.calls[0]?.body);
  assert.deepEqual([sent.drill, sent.networkMap], [{ keepMs: 600_000 }, { lan: 'drill-net' }]);
});

test('get tells of a copy that is kept what it is called, where it is connected and until when', async () => {
  await using fake = await fakeOrchestrator();
  const kept = sampleMigration({ purpose: 'drill', phase: 'kept', where: 'source', drill });
  fake.on(`GET /v1/migrations/${MIGRATION_ID}`, answer(200, migrationSchema, kept));
  const { code, out, err } = await lmas(fake, 'get', MIGRATION_ID);
  assert.equal(code, 0, err);
  assert.match(out, /web-1-drill-0198c9d4: up after 19\.0 s, connected to drill-net, kept until/);
});
