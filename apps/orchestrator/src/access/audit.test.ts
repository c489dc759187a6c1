/** The audit log, with a real Redis. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createLog } from '../log.ts';
import { startTestRedis, type TestRedis } from '../testing/test-redis.ts';
import { type AuditEntry, type AuditLog, createAuditLog } from './audit.ts';

let server: TestRedis;
let audit: AuditLog;
before(async () => {
  server = await startTestRedis();
  audit = createAuditLog(server.redis, { maxEntries: 10, log: createLog('silent') });
});
after(() => server[Symbol.asyncDispose]());

const entryOf = (project: string | null, target: string): Omit<AuditEntry, 'id'> => ({
  at: new Date().toISOString(),
  caller: { kind: 'api-key', id: 'k', name: 'n', role: 'operator', project },
  ...{ operation: 'deleteCredential', method: 'DELETE', target, outcome: 'refused', status: 404 },
  ...{ code: 'CREDENTIAL_NOT_FOUND', address: '192.0.2.1', userAgent: null, requestId: 'r' },
});

test('a time before 1970, or in any year of four digits, is a time like others', async () => {
  await audit.record(entryOf(null, '/v1/credentials/a'));
  const count = async (query: { since?: string; until?: string }) =>
    (await audit.list({ limit: 50, ...query }, null)).items.length;
  const [early, late] = [['1960-01-01T00:00:00Z', '0000-01-01T00:00:00Z'], ['9999-12-31T23:59:59.999Z']];
  for (const time of early)
    assert.deepEqual([await count({ since: time }), await count({ until: time })], [1, 0], time);
  for (const time of late) assert.deepEqual([await count({ since: time }), await count({ until: time })], [0, 1], time);
});
