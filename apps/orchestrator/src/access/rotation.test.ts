/** What a rotation takes for a sealed value, and what it does about one that does not open; with a real Redis. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createLog } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { startTestRedis } from '../testing/test-redis.ts';
import { openKeyRing } from './master-keys.ts';
import { createRotation } from './rotation.ts';
import { createVault } from './vault.ts';

const LOOKS_SEALED = 'sealed:2:deadbeef:AAAA';

/** A master key in a file of its own. */
async function makeKey(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'lmas-rotation-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'master-key');
  const ring = await openKeyRing({ kind: 'file', path, create: true });
  const vault = createVault(ring);
  return { path, ring, vault };
}

test('only secrets are sealed anew, whatever looks like one; what does not open is named and stops nothing', async (t) => {
  await using server = await startTestRedis();
  const { redis } = server;
  const { path, ring, vault } = await makeKey(t);
  const put = (hash: string, id: string, record: object) => redis.hset(hash, id, JSON.stringify({ id, ...record }));
  const webhook = (id: string) => ({
    sealedSecret: vault.seal(`webhook:${id}`, 'now'),
    formerSecret: { sealed: vault.seal(`webhook:${id}`, 'before'), validUntil: '2026-01-01T00:00:00Z' },
    ...{ description: LOOKS_SEALED, later: { sealed: LOOKS_SEALED } },
  });
  await put(keys.credentials, 'a', { username: LOOKS_SEALED, sealed: vault.seal('credential:a', 'secret') });
  await put(keys.credentials, 'b', { sealed: vault.seal('credential:other', 'moved here') });
  await put(keys.credentials, 'c', { sealed: LOOKS_SEALED });
  await put(keys.credentials, 'd', { sealed: vault.seal('credential:d', 'secret') });
  await put(keys.webhooks, 'w', webhook('w'));
  const former = ring.current().id;

  const rotation = createRotation(redis, ring, vault, createLog('silent'));
  const rotated = await rotation.rotate();
  assert.equal(rotated.resealed, 4);
  assert.deepEqual(rotated.notResealed.sort(), [
    'The secret of credential:b does not open.',
    'The secret of credential:c needs the master key deadbeef.',
  ]);
  assert.deepEqual(rotated.keys, [
    { id: rotated.current, values: 4, known: true },
    { id: former, values: 1, known: true },
    { id: 'deadbeef', values: 1, known: false },
  ]);
  const after = async (hash: string, id: string) => JSON.parse((await redis.hget(hash, id)) ?? '');
  const hook = await after(keys.webhooks, 'w');
  assert.deepEqual([hook.description, hook.later], [LOOKS_SEALED, { sealed: LOOKS_SEALED }]);
  assert.equal(await vault.open('webhook:w', hook.sealedSecret), 'now');
  assert.equal(await vault.open('webhook:w', hook.formerSecret.sealed), 'before');
  const { username, sealed } = await after(keys.credentials, 'a');
  assert.deepEqual([username, await vault.open('credential:a', sealed)], [LOOKS_SEALED, 'secret']);

  for (let i = 0; i < 3; i++) await rotation.rotate();
  const lines = (await readFile(path, 'utf8')).trim().split('\n');
  assert.equal(lines.length, 3, 'the one that seals, the one before it, and the one that a value needs');
});

test('a record that cannot be read is named, stops nothing, and costs no key that it may need', async (t) => {
  await using server = await startTestRedis();
  const { redis } = server;
  const { path, ring, vault } = await makeKey(t);
  await redis.hset(keys.credentials, 'good', JSON.stringify({ sealed: vault.seal('credential:good', 'secret') }));
  await redis.hset(keys.credentials, 'odd', JSON.stringify({ secret: vault.seal('credential:odd', 'secret') }));
  await redis.hset(keys.webhooks, 'torn', '{"sealedSecret":');
  const rotation = createRotation(redis, ring, vault, createLog('silent'));
  for (let i = 0; i < 3; i++) {
    const { resealed, notResealed } = await rotation.rotate();
    assert.equal(resealed, 1);
    const odd = ['The record of credential:odd cannot be read.', 'The record of webhook:torn cannot be read.'];
    assert.deepEqual(notResealed, odd);
  }
  assert.equal((await readFile(path, 'utf8')).trim().split('\n').length, 4, 'every key that there was');
});
