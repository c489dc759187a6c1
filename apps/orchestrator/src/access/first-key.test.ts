import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLog } from '../log.ts';
import { ensureAdminKey } from './first-key.ts';

test('the first key is made once, left in a private file, and shown once to whoever sits there', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'lmas-first-key-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'api-key');
  const known: string[] = [];
  const apiKeys = {
    list: async () => known.map(() => ({ role: 'admin', project: null, revokedAt: null, expiresAt: null })),
    register: async (key: string) => known.push(key) > 0,
  } as unknown as Parameters<typeof ensureAdminKey>[0];
  const shown: string[] = [];
  const surroundings = { otherWaysIn: false, log: createLog('silent'), show: (key: string) => void shown.push(key) };
  await ensureAdminKey(apiKeys, path, surroundings);
  await ensureAdminKey(apiKeys, path, surroundings);
  assert.deepEqual(shown, [(await readFile(path, 'utf8')).trim()]);
  assert.deepEqual(known, shown);
  assert.equal((await stat(path)).mode & 0o077, 0);
});
