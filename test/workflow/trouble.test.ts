/**
 * Ends that fall silent, a Redis that dies, an orchestrator that is stopped in the middle, limits that run out, two copies
 * that somebody else made: the record tells the truth, and nothing is destroyed or resumed on a guess.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { OrchestratorProcess } from './child.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path, { LMAS_SETTLE_MS: '3000' });
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});
const setting = () => setStage(() => api, directory.path);
const slow = { options: { durationMs: 600, createVolume: true } };

describe('ends that fall silent', { concurrency: 4 }, () => {
  for (const call of ['destination.prepare', 'source.perform', 'destination.finish', 'source.confirm']) {
    test(`both go away in ${call} and come back`, async () => {
      await using stage = await setting();
      const hold = stage.world.faults.arm(call, 'hold-after');
      const { id } = await stage.submit({ options: { durationMs: 20 } });
      await hold.reached;
      stage.server.goAway();
      hold.release();
      const doubtful = await api.until(id, ({ where }) => where === 'unknown');
      assert.notEqual(doubtful.byHand, null, 'says what to do by hand meanwhile');
      stage.server.comeBack();
      const ended = await api.ended(id);
      await api.until(id, ({ teardown }) => teardown === 'complete');
      stage.assertClean(ended);
      assert.equal(ended.byHand, null);
    });
  }

  test('they never come back: unknown, and nothing was touched', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.perform', 'hold-after');
    const { id } = await stage.submit({ options: { durationMs: 20 } });
    await hold.reached;
    const before = [stage.world.presence('source', stage.vmId), stage.world.presence('destination', stage.vmId)];
    stage.server.goAway();
    hold.release();
    const ended = await api.ended(id);
    assert.equal(ended.phase, 'failed');
    assert.equal(ended.where, 'unknown');
    assert.equal(ended.error?.code, 'OUTCOME_UNKNOWN');
    assert.match(ended.byHand ?? '', /Never resume it at one end/);
    assert.equal(ended.teardown, 'incomplete');
    assert.ok(ended.leftovers.length > 0);
    const after = [stage.world.presence('source', stage.vmId), stage.world.presence('destination', stage.vmId)];
    assert.deepEqual(
      after.map(({ presence }) => presence),
      before.map(({ presence }) => presence),
    );
    stage.server.comeBack();
    await api.until(id, ({ teardown }) => teardown === 'complete');
    assert.deepEqual([...stage.world.gateways.keys()], []);
  });

  test('somebody else started a second copy: nothing is touched, a person decides', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('destination.prepare', 'after');
    const submitted = stage.submit({ options: { createVolume: true } });
    await hold.reached;
    const copy = stage.world.hosts.destination.get(stage.vmId);
    assert.ok(copy !== undefined);
    copy.presence = 'running';
    const ended = await api.ended((await submitted).id);
    assert.deepEqual([ended.phase, ended.where, ended.error?.code], ['failed', 'both', 'BOTH_RUNNING']);
    assert.match(ended.byHand ?? '', /power the other one off/);
    assert.equal(stage.world.running(stage.vmId).length, 2);
    assert.equal(stage.world.volumes.size, 1);
    assert.match(ended.leftovers.join(), /^volume .* at the destination: left alone/);
  });
});

describe('limits', { concurrency: 4 }, () => {
  const limits = [
    ['checkingMs', 'source.find', 'STAGE_TIMEOUT'],
    ['provisioningMs', 'gateway.start', 'STAGE_TIMEOUT'],
    ['preparingMs', 'destination.prepare', 'STAGE_TIMEOUT'],
    ['totalMs', 'source.perform', 'STAGE_TIMEOUT'],
    ['noProgressMs', 'source.perform', 'NO_PROGRESS'],
  ] as const;
  for (const [limit, call, code] of limits) {
    test(`${limit} runs out in ${call}`, async () => {
      await using stage = await setting();
      const hold = stage.world.faults.arm(call, 'hold-before');
      const request = { timeouts: { [limit]: 1_000 } } as object;
      const { id } = await stage.submit({ ...request });
      await hold.reached;
      await api.until(id, ({ startedAt }) => startedAt !== null && Date.now() - Date.parse(startedAt) > 1_200);
      hold.release();
      const ended = await api.ended(id);
      assert.deepEqual([ended.phase, ended.where, ended.error?.code], ['failed', 'source', code]);
      await api.until(id, ({ teardown }) => teardown !== 'incomplete');
      stage.assertClean(await api.migration(id));
    });
  }
});

describe('the orchestrator in trouble', () => {
  test('its Redis is killed in the middle', async () => {
    await using stage = await setting();
    const { id } = await stage.submit(slow);
    await api.until(id, ({ phase }) => phase === 'performing');
    const pid = Number(await readFile(join(directory.path, 'redis/redis.pid'), 'utf8'));
    process.kill(pid, 'SIGKILL');
    const ended = await api.ended(id);
    assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
    stage.assertClean(ended);
  });

  test('it is stopped in the middle; the next one recovers what ran, and does what waited', async () => {
    await using own = await temporaryDirectory();
    await using child = new OrchestratorProcess(own.path, { LMAS_CONCURRENCY: '1' });
    await child.start();
    await using stage = await setStage(() => child.api, own.path);
    await using waiting = await setStage(() => child.api, own.path);
    const hold = stage.world.faults.arm('destination.finish', 'hold-after');
    const first = await stage.submit(slow);
    const second = await waiting.submit({ options: { durationMs: 20 } });
    await hold.reached;
    await child.end('SIGTERM');
    hold.release();
    await child.start();
    const [ended, other] = await Promise.all([child.api.ended(first.id), child.api.ended(second.id)]);
    assert.equal(ended.phase, 'succeeded', 'it was at the destination already');
    assert.equal(ended.runs, 2);
    stage.assertClean(ended);
    assert.equal(other.phase, 'succeeded');
    waiting.assertClean(other);
  });

  test('one that waits for a slot is cancelled at once, and one that waited too long ends', async () => {
    await using own = await temporaryDirectory();
    await using child = new OrchestratorProcess(own.path, { LMAS_CONCURRENCY: '1' });
    await child.start();
    const stages = await Promise.all([1, 2, 3].map(() => setStage(() => child.api, own.path)));
    const [busy, cancelled, late] = stages;
    assert.ok(busy !== undefined && cancelled !== undefined && late !== undefined);
    const hold = busy.world.faults.arm('source.perform', 'hold-before');
    const first = await busy.submit();
    await hold.reached;
    const second = await cancelled.submit();
    const third = await late.submit({ timeouts: { queueMs: 1_000 } as never });
    assert.equal((await child.api.call('POST', `/v1/migrations/${second.id}/cancel`)).status, 202);
    assert.equal((await child.api.ended(second.id)).phase, 'cancelled');
    const overdue = await child.api.ended(third.id);
    assert.deepEqual([overdue.phase, overdue.error?.code], ['failed', 'STAGE_TIMEOUT']);
    hold.release();
    assert.equal((await child.api.ended(first.id)).phase, 'succeeded');
    for (const stage of stages) await stage[Symbol.asyncDispose]();
  });
});
