/**
 * What a rotation takes for a sealed value, what it does about one that does not open, and with which key those seal who took no part in
 * it; with a real Redis.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Redis } from 'ioredis';
import { errorCode } from '../errors.ts';
import { createLog } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { startTestRedis } from '../testing/test-redis.ts';
import { type MasterKeySource, openKeyRing } from './master-keys.ts';
import { createRotation } from './rotation.ts';
import { createSealingKey } from './sealing-key.ts';
import { createVault, keyIdOf } from './vault.ts';

const LOOKS_SEALED = 'sealed:2:deadbeef:AAAA';

/** What a process has of it. */
async function openProcess(redis: Redis, source: MasterKeySource) {
  const ring = await openKeyRing(source);
  const vault = createVault(ring, createSealingKey(redis, ring));
  return { ring, vault, rotation: createRotation(redis, ring, vault, createLog('silent')) };
}

/** A process with a master key in a file of its own. */
async function makeKey(t: TestContext, redis: Redis) {
  const directory = await mkdtemp(join(tmpdir(), 'lmas-rotation-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'master-key');
  return { path, ...(await openProcess(redis, { kind: 'file', path, create: true })) };
}

test('only secrets are sealed anew, whatever looks like one; what does not open is named and stops nothing', async (t) => {
  await using server = await startTestRedis();
  const { redis } = server;
  const { path, ring, vault, rotation } = await makeKey(t, redis);
  const put = (hash: string, id: string, record: object) => redis.hset(hash, id, JSON.stringify({ id, ...record }));
  const webhook = async (id: string) => ({
    sealedSecret: await vault.seal(`webhook:${id}`, 'now'),
    formerSecret: { sealed: await vault.seal(`webhook:${id}`, 'before'), validUntil: '2026-01-01T00:00:00Z' },
    ...{ description: LOOKS_SEALED, later: { sealed: LOOKS_SEALED } },
  });
  await put(keys.credentials, 'a', { username: LOOKS_SEALED, sealed: await vault.seal('credential:a', 'secret') });
  await put(keys.credentials, 'b', { sealed: await vault.seal('credential:other', 'moved here') });
  await put(keys.credentials, 'c', { sealed: LOOKS_SEALED });
  await put(keys.credentials, 'd', { sealed: await vault.seal('credential:d', 'secret') });
  await put(keys.webhooks, 'w', await webhook('w'));
  const former = ring.current().id;

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
  const { path, vault, rotation } = await makeKey(t, redis);
  await redis.hset(keys.credentials, 'good', JSON.stringify({ sealed: await vault.seal('credential:good', 'secret') }));
  await redis.hset(keys.credentials, 'odd', JSON.stringify({ secret: await vault.seal('credential:odd', 'secret') }));
  await redis.hset(keys.webhooks, 'torn', '{"sealedSecret":');
  for (let i = 0; i < 3; i++) {
    const { resealed, notResealed } = await rotation.rotate();
    assert.equal(resealed, 1);
    const odd = ['The record of credential:odd cannot be read.', 'The record of webhook:torn cannot be read.'];
    assert.deepEqual(notResealed, odd);
  }
  assert.equal((await readFile(path, 'utf8')).trim().split('\n').length, 4, 'every key that there was');
});

test('whoever slept through two rotations seals with a key that is still there', async (t) => {
  await using server = await startTestRedis();
  const { redis } = server;
  const { path, rotation } = await makeKey(t, redis);
  await rotation.resume();
  const open = () => openProcess(redis, { kind: 'file', path, create: false });
  const asleep = await open();
  const former = keyIdOf(await asleep.vault.seal('credential:early', 'secret')) ?? '';
  for (let i = 0; i < 2; i++) await rotation.rotate();
  const sealed = await asleep.vault.seal('credential:late', 'secret');
  const startedAnew = await open();
  assert.equal(startedAnew.ring.find(former), undefined, 'its key is gone');
  assert.equal(await startedAnew.vault.open('credential:late', sealed), 'secret');
});

test('a key that a rotation has left in the file, and that seals nothing yet, drives out none that does', async (t) => {
  await using server = await startTestRedis();
  const { redis } = server;
  const { path, ring, rotation } = await makeKey(t, redis);
  await rotation.resume();
  const sealing = ring.current().id;
  const asleep = await openProcess(redis, { kind: 'file', path, create: false });
  await ring.renew(() => false); // and there it broke off
  assert.equal(keyIdOf(await asleep.vault.seal('a', 'x')), sealing);
  await asleep.rotation.rotate();
  assert.ok(asleep.ring.find(sealing) !== undefined, 'what was sealed with it may not be stored yet');
  await ring.renew(() => true);
  await rotation.resume();
  assert.equal(keyIdOf(await asleep.vault.seal('a', 'x')), ring.current().id, 'a start goes on where it broke off');
});

test('a process whose source lacks the key that seals is refused, and takes its place only when somebody says so', async () => {
  await using server = await startTestRedis();
  const { redis } = server;
  const [one, two, three] = Array.from({ length: 3 }, () => randomBytes(32).toString('base64'));
  const open = (...lines: unknown[]) => openProcess(redis, { kind: 'environment', text: lines.join(' ') });
  const behind = await open(one);
  await behind.rotation.resume();
  const sealed = await behind.vault.seal('credential:c', 'secret');
  await redis.hset(keys.credentials, 'c', JSON.stringify({ sealed }));
  const ahead = await open(two, one);
  assert.equal((await ahead.rotation.resume()).resealed, 1);

  const refused = (error: unknown) => {
    assert.equal(errorCode(error), 'MASTER_KEY_INVALID');
    assert.match(String(error), new RegExp(`sealed with the master key ${ahead.ring.current().id} now.*environment`));
    return true;
  };
  const stays = async () => assert.equal(keyIdOf(await ahead.vault.seal('a', 'x')), ahead.ring.current().id);
  for (const process of [behind, await open(one), await open(three)]) {
    await assert.rejects(process.vault.seal('a', 'x'), refused);
    await assert.rejects(process.rotation.resume(), refused);
    const { current, keys: known } = await process.rotation.state();
    assert.deepEqual(
      known.find(({ id }) => id === current),
      { id: ahead.ring.current().id, values: 1, known: false },
    );
    await stays();
  }
  const rotated = await behind.rotation.rotate();
  assert.deepEqual([rotated.current, rotated.notResealed.length], [behind.ring.current().id, 1]);
  assert.equal(keyIdOf(await ahead.vault.seal('a', 'x')), behind.ring.current().id, 'it has both');

  await redis.del(keys.credentials);
  const anew = await open(three);
  await anew.rotation.resume();
  assert.equal(keyIdOf(await anew.vault.seal('a', 'x')), anew.ring.current().id, 'there was nothing to lose');
});
