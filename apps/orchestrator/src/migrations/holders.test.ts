/** What migrations share, on a real Redis. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { createLog } from '../log.ts';
import { connect } from '../redis/connect.ts';
import { keys } from '../redis/keys.ts';
import { type PrivateRedis, startPrivateRedis } from '../redis/private-server.ts';
import { createHolders, type Holders } from './holders.ts';

const log = createLog('silent');
const directory = await mkdtemp(join(tmpdir(), 'lmas-holders-'));
const { signal } = new AbortController();
let server: PrivateRedis;
let redis: Redis;
let holders: Holders;
before(async () => {
  server = await startPrivateRedis('redis-server', directory, log);
  redis = connect(server, log);
  holders = createHolders(redis);
  await redis.sadd(keys.live, 'm_1', 'm_2', 'm_3');
});
after(async () => {
  redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

test('the last one to let go takes it away, however often somebody says it', async () => {
  assert.equal(await holders.hold('last', 'm_1', { signal }), true);
  assert.equal(await holders.hold('last', 'm_1', { signal }), true);
  assert.equal(await holders.hold('last', 'm_2', { signal }), true);
  assert.equal(await holders.letGo('last', 'm_1', { signal }), 'others');
  assert.equal(await holders.letGo('last', 'm_1', { signal }), 'others');
  assert.equal(await holders.letGo('last', 'm_2', { signal }), 'last');
});

test('one that nobody holds is joined by nobody: it is somebody else’s', async () => {
  assert.equal(await holders.hold('joined', 'm_1', { signal, onlyIfHeld: true }), false);
  await holders.hold('joined', 'm_2', { signal });
  assert.equal(await holders.hold('joined', 'm_1', { signal, onlyIfHeld: true }), true);
});

test('while it is taken away nobody takes hold of it, and nobody else takes it away', async () => {
  await holders.hold('busy', 'm_1', { signal });
  assert.equal(await holders.letGo('busy', 'm_1', { signal }), 'last');
  assert.equal(await holders.letGo('busy', 'm_3', { signal }), 'others');
  let joined: boolean | undefined;
  const joining = holders.hold('busy', 'm_2', { signal, onlyIfHeld: true }).then((answer) => {
    joined = answer;
  });
  const stopped = AbortSignal.timeout(150);
  await assert.rejects(holders.hold('busy', 'm_3', { signal: stopped }), { name: 'TimeoutError' });
  assert.equal(joined, undefined);
  await holders.gone('busy', 'm_3'); // not the one that is at it
  assert.equal(await redis.exists(keys.takingAway('busy')), 1);
  await holders.gone('busy', 'm_1');
  await joining;
  assert.equal(joined, false, 'it is gone');
});

test('whoever dies while it takes it away holds it still: who comes later shares it, and it is not taken from under them', async () => {
  await holders.hold('orphaned', 'm_1', { signal });
  assert.equal(await holders.letGo('orphaned', 'm_1', { signal }), 'last');
  await redis.del(keys.takingAway('orphaned')); // as when its time is up
  assert.equal(await holders.hold('orphaned', 'm_2', { signal, onlyIfHeld: true }), true, 'it is no stranger’s');
  assert.equal(await holders.letGo('orphaned', 'm_1', { signal }), 'others', 'the next run leaves it to the other one');
  assert.equal(await holders.letGo('orphaned', 'm_2', { signal }), 'last');
  await holders.gone('orphaned', 'm_2');
  assert.equal(await holders.hold('orphaned', 'm_1', { signal, onlyIfHeld: true }), false);
});

test('whoever holds it alone has not been told by anybody that it is a migration’s', async () => {
  await holders.hold('alone', 'm_1', { signal });
  assert.equal(await holders.hold('alone', 'm_1', { signal, onlyIfHeld: true }), false);
  await holders.hold('alone', 'm_2', { signal });
  assert.equal(await holders.hold('alone', 'm_1', { signal, onlyIfHeld: true }), true);
});

test('one that was slow to take it away does not hold it for ever, nor end what another one is at', async () => {
  await holders.hold('slow', 'm_1', { signal });
  await holders.letGo('slow', 'm_1', { signal });
  await redis.del(keys.takingAway('slow'));
  await holders.hold('slow', 'm_2', { signal });
  await holders.gone('slow', 'm_1');
  assert.equal(await holders.letGo('slow', 'm_2', { signal }), 'last');
  await holders.gone('slow', 'm_1');
  assert.equal(await redis.exists(keys.takingAway('slow')), 1);
});

test('what could not be taken away is held still; whoever died at it is in nobody’s way for ever', async () => {
  await holders.hold('kept', 'm_1', { signal });
  assert.equal(await holders.letGo('kept', 'm_1', { signal }), 'last');
  await holders.gone('kept', 'm_1', { kept: true });
  assert.equal(await holders.hold('kept', 'm_2', { signal, onlyIfHeld: true }), true);
  await holders.letGo('kept', 'm_2', { signal });
  assert.equal(await holders.letGo('kept', 'm_1', { signal }), 'last');
  const left = await redis.pttl(keys.takingAway('kept'));
  assert.ok(left > 0 && left <= 120_000, `${left}`);
  assert.equal(await holders.letGo('kept', 'm_1', { signal }), 'last', 'its next run goes on with it');
});

/** Whether it is still waited for after a while in which it would have been answered. */
async function waits(asked: Promise<unknown>): Promise<boolean> {
  const late = Symbol();
  return (await Promise.race([asked, sleep(300, late)])) === late;
}

test('what was only asked for is nobody’s to share: who joins waits until it is made', async () => {
  await holders.hold('asked', 'm_1', { signal, pending: true });
  const joining = holders.hold('asked', 'm_2', { signal, onlyIfHeld: true });
  assert.ok(await waits(joining));
  await holders.hold('asked', 'm_1', { signal });
  assert.equal(await joining, true);
});

test('what was asked for and withdrawn was never held', async () => {
  await holders.hold('withdrawn', 'm_1', { signal, pending: true });
  const joining = holders.hold('withdrawn', 'm_2', { signal, onlyIfHeld: true });
  assert.ok(await waits(joining));
  await holders.withdraw('withdrawn', 'm_1');
  await holders.withdraw('withdrawn', 'm_1');
  assert.equal(await joining, false, 'it is somebody else’s, who is no migration');
});

test('two who have asked at once do not wait for each other', async () => {
  await holders.hold('both', 'm_1', { signal, pending: true });
  await holders.hold('both', 'm_2', { signal, pending: true });
  await holders.hold('both', 'm_1', { signal });
  await holders.withdraw('both', 'm_2');
  assert.equal(await holders.hold('both', 'm_2', { signal, onlyIfHeld: true }), true);
});

test('the last one to let go waits for whoever has asked for it', async () => {
  await holders.hold('leaving', 'm_1', { signal });
  await holders.hold('leaving', 'm_2', { signal, pending: true });
  const leaving = holders.letGo('leaving', 'm_1', { signal });
  assert.ok(await waits(leaving));
  await holders.hold('leaving', 'm_2', { signal });
  assert.equal(await leaving, 'others');
});

/** As when the time limit has passed since it asked. */
const longSince = (name: string, id: string) => redis.zadd(keys.pendingHolders(name), 'XX', Date.now() - 200_000, id);

test('one that was never answered is not out beside others: what it asked for may come when they have taken it away', async () => {
  await holders.hold('never', 'm_1', { signal, pending: true });
  await holders.hold('never', 'm_2', { signal });
  const leaving = holders.letGo('never', 'm_1', { signal });
  assert.ok(await waits(leaving));
  const other = holders.letGo('never', 'm_2', { signal });
  assert.ok(await waits(other));
  await longSince('never', 'm_1');
  assert.deepEqual([await leaving, await other].sort(), ['last', 'others']);
});

test('nor while another one takes it away: it is the last one then, and looks for what may still come', async () => {
  await holders.hold('after', 'm_2', { signal });
  assert.equal(await holders.letGo('after', 'm_2', { signal }), 'last');
  await redis.zadd(keys.pendingHolders('after'), Date.now(), 'm_1');
  const leaving = holders.letGo('after', 'm_1', { signal });
  assert.ok(await waits(leaving));
  await holders.gone('after', 'm_2');
  assert.equal(await leaving, 'last');
});

test('nor by joining others in its next attempt', async () => {
  await holders.hold('again', 'm_1', { signal, pending: true });
  await holders.hold('again', 'm_2', { signal });
  assert.equal(await holders.hold('again', 'm_1', { signal, onlyIfHeld: true }), true);
  assert.equal(await holders.letGo('again', 'm_2', { signal }), 'others', 'it is a holder like any other');
  const leaving = holders.letGo('again', 'm_1', { signal });
  assert.ok(await waits(leaving), 'its journal does not say any more that something may come');
  await longSince('again', 'm_1');
  assert.equal(await leaving, 'last');
});

test('one that was never answered and is alone need not wait: it looks for what may still come', async () => {
  await holders.hold('sole', 'm_1', { signal, pending: true });
  assert.equal(await holders.letGo('sole', 'm_1', { signal }), 'last');
  assert.equal(await holders.letGo('sole', 'm_1', { signal }), 'last', 'also by its next run');
});

test('what was never answered counts as made past the time limit, and as nothing without a migration under way', async () => {
  await holders.hold('unanswered', 'm_1', { signal, pending: true });
  await redis.zadd(keys.pendingHolders('unanswered'), Date.now() - 200_000, 'm_1');
  assert.equal(await holders.hold('unanswered', 'm_2', { signal, onlyIfHeld: true }), true);
  await redis.sadd(keys.live, 'm_5');
  await holders.hold('left', 'm_5', { signal, pending: true });
  await redis.srem(keys.live, 'm_5');
  assert.equal(await holders.hold('left', 'm_1', { signal, onlyIfHeld: true }), false);
});

test('a migration that is not under way any more holds nothing', async () => {
  await redis.sadd(keys.live, 'm_4');
  await holders.hold('dead', 'm_4', { signal });
  await redis.srem(keys.live, 'm_4');
  assert.equal(await holders.hold('dead', 'm_1', { signal, onlyIfHeld: true }), false);
  await holders.hold('dead', 'm_2', { signal });
  await redis.srem(keys.live, 'm_2');
  await redis.sadd(keys.incomplete, 'm_2');
  assert.equal(
    await holders.hold('dead', 'm_1', { signal, onlyIfHeld: true }),
    true,
    'one that is still to be taken down does',
  );
  await redis.sadd(keys.live, 'm_2');
});
