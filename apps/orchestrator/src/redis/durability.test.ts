import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge } from './durability.ts';

const good = {
  keepsFile: true,
  evictionPolicy: 'noeviction',
  appendfsync: 'always',
  replicas: 1,
  minReplicasToWrite: 1,
};

test('settings that forget are refused, settings that may lose a moment are warned about, in words', () => {
  assert.deepEqual(judge('sentinel', good), { complaints: [], warnings: [] });
  const complained = (change: Partial<typeof good>) => judge('server', { ...good, ...change }).complaints.join();
  assert.match(complained({ keepsFile: false }), /appendonly yes/);
  assert.match(complained({ appendfsync: 'no' }), /appendfsync always/);
  assert.match(complained({ evictionPolicy: 'allkeys-lru' }), /allkeys-lru.*noeviction/);
  const warned = (kind: 'server' | 'sentinel' | 'cluster', change: object) =>
    judge(kind, { ...good, ...change }).warnings.join();
  assert.match(warned('server', { appendfsync: 'everysec' }), /last second/);
  assert.match(warned('server', { appendfsync: undefined }), /CONFIG is refused/);
  assert.match(warned('cluster', { replicas: 0 }), /no replica/);
  assert.equal(warned('server', { replicas: 0 }), '');
  assert.match(warned('sentinel', { minReplicasToWrite: 0 }), /min-replicas-to-write 1/);
});
