/**
 * Ends that fall silent, a Redis that dies, an orchestrator that is stopped in the middle, limits that run out, two copies
 * that somebody else made: the record tells the truth, and nothing is destroyed or resumed on a guess.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { OrchestratorProcess } from './child.ts';
import { Api, type Stage, setStage, startInProcess, temporaryDirectory } from './harness.ts';

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
      if (call === 'source.confirm') {
        await api.until(id, ({ where }) => where === 'destination'); // it has said so; only the source is in doubt
      } else {
        const doubtful = await api.until(id, ({ where, byHand }) => where === 'unknown' && byHand !== null);
        assert.notEqual(doubtful.byHand, null, 'says what to do by hand meanwhile');
      }
      stage.server.comeBack();
      const ended = await api.ended(id);
      await api.until(id, ({ teardown }) => teardown === 'complete');
      stage.assertClean(ended);
      assert.equal(ended.byHand, null);
    });
  }

  test('they are away for longer than anybody waits: unknown, and nothing was touched; once they are back, it goes on', async () => {
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
    assert.match(ended.byHand ?? '', /Never resume or start it at one end before you have seen/);
    assert.equal(ended.teardown, 'incomplete');
    assert.ok(ended.leftovers.length > 0);
    const any = { 'if-match': '*' };
    const moved = await api.call('PATCH', `/v1/sites/${stage.source}`, { gateway: null }, any);
    assert.deepEqual([moved.status, moved.body.code], [409, 'IN_USE'], 'what is left is found by what is registered');
    const gone = await api.call('DELETE', `/v1/endpoints/${stage.source}`);
    assert.deepEqual([gone.status, gone.body.code], [409, 'IN_USE']);
    const after = [stage.world.presence('source', stage.vmId), stage.world.presence('destination', stage.vmId)];
    assert.deepEqual(
      after.map(({ presence }) => presence),
      before.map(({ presence }) => presence),
    );
    stage.server.comeBack();
    const settled = await api.until(id, ({ teardown }) => teardown === 'complete');
    stage.assertClean(settled);
    assert.deepEqual([settled.phase, settled.where, settled.byHand], ['failed', 'source', null]);
    assert.match(settled.error?.remedy ?? '', /found since: it runs at the source/);
  });

  test('the destination is away for longer than anybody waits, and nothing else is left: the VM is kept, and goes on once it is back', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.perform', 'hold-after');
    const { id } = await stage.submit({ transport: 'direct', options: { durationMs: 20 } });
    await hold.reached;
    stage.server.goAway('destination');
    hold.release();
    const { phase, where, teardown, leftovers } = await api.ended(id);
    assert.deepEqual([phase, where, teardown], ['failed', 'unknown', 'incomplete']);
    assert.match(leftovers.join(), /^VM .*: nobody knows where it runs; see `byHand`$/);
    const input = { vm: stage.vmId, source: stage.source, destination: stage.destination };
    const refused = await api.call('POST', '/v1/migrations', input);
    assert.deepEqual([refused.status, refused.body.code], [409, 'VM_ALREADY_MIGRATING']);
    stage.server.comeBack();
    const settled = await api.until(id, (each) => each.teardown === 'complete');
    assert.deepEqual([settled.phase, settled.where, settled.byHand], ['failed', 'source', null]);
    stage.assertClean(settled);
    assert.equal((await api.ended((await stage.submit()).id)).phase, 'succeeded', 'and its name is free');
  });

  test('the destination falls silent while a direct move goes on: what had arrived there is gone, and the VM can be moved again', async () => {
    await using stage = await setting();
    const { id } = await stage.submit({ transport: 'direct', options: { durationMs: 4_000 } });
    await stage.world.until(() => stage.world.moving === 1);
    stage.server.goAway('destination');
    await api.must('POST', `/v1/migrations/${id}/cancel`);
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.where, ended.teardown], ['cancelled', 'source', 'complete']);
    stage.server.comeBack();
    assert.equal(stage.world.presence('destination', stage.vmId).presence, 'absent');
    assert.equal((await api.ended((await stage.submit()).id)).phase, 'succeeded');
  });

  test('it went on by itself and arrived meanwhile: the record says so, and nobody moves it again', async () => {
    await using stage = await setting();
    const { id } = await stage.submit({ options: { durationMs: 4_000, peerToPeer: true } });
    await stage.world.until(() => stage.world.moving === 1);
    stage.server.goAway();
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.where], ['failed', 'unknown']);
    await stage.world.until(() => stage.world.moving === 0);
    stage.server.comeBack();
    const settled = await api.until(id, ({ teardown }) => teardown === 'complete');
    assert.deepEqual([settled.phase, settled.where, settled.byHand], ['failed', 'destination', null]);
    assert.equal(settled.report?.sourceDefinition, '<vm/>');
    stage.assertClean(settled);
  });

  test('a cancel that was granted, of what had arrived by itself unheard: the report says that it came too late', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.perform', 'hold-after');
    const { id } = await stage.submit({ options: { durationMs: 20, peerToPeer: true } });
    await hold.reached;
    const { cancelRequestedAt } = await api.must<Migration>('POST', `/v1/migrations/${id}/cancel`);
    hold.release();
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.where], ['succeeded', 'destination']);
    const warning = `A cancel was asked for at ${cancelRequestedAt}; nothing stopped the move before the VM had arrived.`;
    assert.deepEqual(ended.report?.warnings, [warning]);
    stage.assertClean(ended);
  });

  test('somebody looks after the VM: nothing is resumed once the ends are back, and its name is free', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.perform', 'hold-after');
    const { id } = await stage.submit({ transport: 'direct', options: { durationMs: 20 } });
    await hold.reached;
    stage.server.goAway('destination');
    hold.release();
    await api.ended(id);
    await api.must('POST', `/v1/migrations/${id}/done-by-hand`, { note: 'it runs at a third place' });
    const { where, leftovers } = await api.until(id, ({ teardown }) => teardown === 'complete');
    assert.deepEqual([where, leftovers], ['unknown', []]);
    stage.server.comeBack();
    const next = await stage.submit();
    assert.equal((await api.ended(next.id)).error?.code, 'CHECK_FAILED', 'its copies are still there');
    assert.deepEqual(stage.world.running(stage.vmId), []);
  });

  for (const [said, body, isHeard] of [
    [
      'done-by-hand',
      { note: 'it runs at a third place' },
      (each: Migration) => !each.leftovers.join().includes('byHand'),
    ],
    ['give-up-teardown', { reason: 'it runs at a third place' }, (each: Migration) => each.teardown === 'given-up'],
  ] as const) {
    test(`somebody says so while an attempt is about to resume it (${said}): it does nothing more`, async () => {
      await using stage = await setting();
      const hold = stage.world.faults.arm('source.perform', 'hold-after');
      const { id } = await stage.submit({ transport: 'direct', options: { durationMs: 20, createVolume: true } });
      await hold.reached;
      stage.server.goAway('destination');
      hold.release();
      await api.ended(id);
      const aborting = stage.world.faults.arm('destination.finish', 'hold-after');
      stage.server.comeBack();
      await aborting.reached;
      await api.must('POST', `/v1/migrations/${id}/${said}`, body);
      aborting.release();
      await api.until(id, isHeard);
      await sleep(500); // time for the first to do whatever it still dares
      assert.deepEqual(stage.world.running(stage.vmId), [], 'it may run at a third place');
      assert.equal((await api.migration(id)).where, 'unknown');
    });
  }

  test('the destination is gone for good while memory moves: it failed, and the guest goes on at the source', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.perform', 'hold-before');
    const { id } = await stage.submit({ options: { durationMs: 20 } });
    await hold.reached;
    stage.server.goAway('destination');
    stage.world.removeVm('destination', stage.vmId);
    hold.release();
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.where, ended.error?.code], ['failed', 'source', 'STREAM_FAILED']);
    assert.equal(ended.byHand, null);
    assert.deepEqual(stage.world.running(stage.vmId), ['source']);
  });

  test('only the way to the destination is lost: a cancel stops what goes on by itself at the source', async () => {
    await using own = await temporaryDirectory();
    await using child = new OrchestratorProcess(own.path);
    await child.start();
    await using stage = await setStage(() => child.api, own.path);
    const { id } = await stage.submit({ options: { durationMs: 60_000, peerToPeer: true } });
    await stage.world.until(() => stage.world.moving === 1);
    await child.end('SIGKILL');
    stage.server.goAway('destination');
    await child.start();
    await child.api.until(id, ({ runs }) => runs === 2);
    assert.equal((await child.api.call('POST', `/v1/migrations/${id}/cancel`)).status, 202);
    await stage.world.until(() => stage.world.moving === 0);
    assert.deepEqual(stage.world.running(stage.vmId), ['source']);
    const doubtful = await child.api.until(id, ({ where }) => where === 'unknown');
    assert.notEqual(doubtful.byHand, null, 'the source might have let it go before: it is asked for');
    stage.server.comeBack();
    const ended = await child.api.ended(id);
    assert.deepEqual([ended.phase, ended.where], ['cancelled', 'source']);
    stage.assertClean(await child.api.until(id, ({ teardown }) => teardown === 'complete'));
  });

  test('the source is away for longer than anybody waits after the destination has let the guest go: it succeeded, says what is left, and tidies it late', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('destination.finish', 'hold-after');
    const { id } = await stage.submit({ options: { durationMs: 20 } });
    await hold.reached;
    stage.server.goAway('source');
    hold.release();
    await api.until(id, ({ where }) => where === 'destination');
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.where, ended.error], ['succeeded', 'destination', null]);
    assert.match(ended.byHand ?? '', new RegExp(`When ${stage.source} is back`));
    assert.match(ended.leftovers.join(), /^the old copy of VM/);
    assert.equal(ended.report?.sourceDefinition, '<vm/>', 'as the source said while it could');
    assert.equal(ended.teardown, 'incomplete');
    assert.deepEqual(stage.world.violations, []);
    assert.equal(stage.world.presence('source', stage.vmId).presence, 'paused', 'nobody has touched it');
    stage.server.comeBack();
    const tidied = await api.until(id, ({ teardown }) => teardown === 'complete');
    assert.deepEqual([tidied.phase, tidied.byHand, tidied.leftovers], ['succeeded', null, []]);
    assert.deepEqual(tidied.report?.keptAtSource, [], 'the old copy is gone');
    stage.assertClean(tidied);
  });

  test('the source comes back after the destination has let the guest go: it is tidied', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('destination.finish', 'hold-after');
    const { id } = await stage.submit({ options: { durationMs: 20 } });
    await hold.reached;
    stage.server.goAway('source');
    hold.release();
    await api.until(id, ({ where }) => where === 'destination');
    stage.server.comeBack();
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.byHand, ended.leftovers], ['succeeded', null, []]);
    stage.assertClean(ended);
  });

  test('a login that is refused meanwhile is not tried at every turn, and does not end the asking', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.perform', 'hold-after');
    const { id } = await stage.submit({ options: { durationMs: 20 } });
    await hold.reached;
    stage.world.faults.arm('source.login', 'before', { code: 'LOGIN_REFUSED' });
    stage.server.goAway();
    stage.server.comeBack();
    hold.release();
    const before = stage.server.calls('source.login');
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.where, ended.error?.code], ['failed', 'source', 'CONNECTION_LOST']);
    assert.equal(stage.server.calls('source.login') - before, 2, 'once refused, once let in');
    await api.until(id, ({ teardown }) => teardown === 'complete');
    stage.assertClean(await api.migration(id));
  });

  test('a login that is refused for good: unknown, and the record still says what went wrong first', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('source.perform', 'hold-after');
    const { id } = await stage.submit({ options: { durationMs: 20 } });
    await hold.reached;
    stage.world.faults.arm('source.login', 'before', { code: 'LOGIN_REFUSED', times: 1_000 });
    stage.server.goAway();
    stage.server.comeBack();
    hold.release();
    const before = stage.server.calls('source.login');
    const ended = await api.ended(id);
    assert.deepEqual(
      [ended.where, ended.error?.code, ended.error?.cause?.code],
      ['unknown', 'OUTCOME_UNKNOWN', 'CONNECTION_LOST'],
    );
    const tries = stage.server.calls('source.login') - before;
    assert.ok(tries <= 5, `${tries} logins in 3 s, with a pause of 1 s`);
  });

  test('somebody else started a second copy: nothing is touched, a person decides', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('destination.prepare', 'after');
    const submitted = stage.submit({ options: { createVolume: true } });
    await hold.reached;
    const copy = stage.world.vm('destination', stage.vmId);
    assert.ok(copy !== undefined);
    copy.presence = 'running';
    const ended = await api.ended((await submitted).id);
    assert.deepEqual([ended.phase, ended.where, ended.error?.code], ['failed', 'both', 'BOTH_RUNNING']);
    assert.equal(ended.error?.cause?.code, 'HYPERVISOR_FAULT', 'what went wrong first');
    assert.match(ended.byHand ?? '', /power the other one off/);
    assert.equal(stage.world.running(stage.vmId).length, 2);
    assert.equal(stage.world.volumes.size, 1);
    assert.match(ended.leftovers.join(), /^volume .* at the destination: left alone/);
  });
});

describe('faults that pass, before anything was handed over', { concurrency: 4 }, () => {
  test('the gateway machine is away twice: tried again by itself, and the record tells', async () => {
    await using stage = await setting();
    stage.world.faults.arm('gateway.start', 'reply-lost', { times: 2 });
    const { id } = await stage.submit();
    const ended = await api.ended(id);
    assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
    const tried = ended.failedAttempts.map(({ phase, code }) => `${phase} ${code}`);
    assert.ok(
      tried.length >= 1 && tried.every((attempt) => attempt === 'provisioning GATEWAY_UNREACHABLE'),
      `${tried}`,
    );
    stage.assertClean(ended);
  });

  test('each attempt tells the phase that it failed in, not the furthest one', async () => {
    await using stage = await setting();
    stage.world.faults.arm('gateway.start', 'reply-lost', { times: 1 });
    const { id } = await stage.submit({ retries: { max: 2, backOffMs: 1_000 }, options: { durationMs: 20 } });
    await api.until(id, ({ failedAttempts }) => failedAttempts.length === 1);
    stage.world.faults.arm('source.find', 'before', { times: 100, code: 'TIMEOUT' });
    const ended = await api.ended(id);
    const phases = ended.failedAttempts.map(({ phase }) => phase);
    assert.deepEqual([...phases, ended.error?.phase], ['provisioning', 'checking', 'checking']);
  });

  test('as often as was asked for, and no more', async () => {
    await using stage = await setting();
    stage.world.faults.arm('source.find', 'before', { times: 100, code: 'TIMEOUT' });
    const { id } = await stage.submit({ retries: { max: 3, backOffMs: 100 } });
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.error?.code, ended.failedAttempts.length], ['failed', 'TIMEOUT', 3]);
    assert.doesNotMatch(ended.error?.remedy ?? '', /by itself/);
    assert.equal(stage.server.calls('source.find'), 4);
    stage.assertClean(ended);
  });

  for (const code of ['LOGIN_REFUSED', 'NOT_MIGRATABLE'] as const) {
    test(`never after ${code}`, async () => {
      await using stage = await setting();
      stage.world.faults.arm('source.login', 'before', { times: 100, code });
      const before = stage.server.calls('source.login');
      const { id } = await stage.submit();
      const ended = await api.ended(id);
      assert.deepEqual([ended.phase, ended.error?.code, ended.failedAttempts], ['failed', code, []]);
      assert.equal(stage.server.calls('source.login') - before, 1);
    });
  }

  test('never after the hand-over: what prepare has begun is settled and told, with the reason why it ends there', async () => {
    await using stage = await setting();
    stage.world.faults.arm('destination.prepare', 'after', { code: 'TIMEOUT' });
    const { id } = await stage.submit();
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.error?.code, ended.failedAttempts], ['failed', 'TIMEOUT', []]);
    assert.match(ended.error?.remedy ?? '', /not tried again by itself/);
    stage.assertClean(ended);
  });

  test('a cancel in the pause between two attempts ends it at once', async () => {
    await using stage = await setting();
    stage.world.faults.arm('source.find', 'before', { times: 100, code: 'TIMEOUT' });
    const { id } = await stage.submit({ retries: { max: 3, backOffMs: 60_000 } });
    await api.until(id, ({ failedAttempts }) => failedAttempts.length === 1);
    assert.equal((await api.call('POST', `/v1/migrations/${id}/cancel`)).status, 202);
    assert.equal((await api.ended(id, 5_000)).phase, 'cancelled');
  });
});

/** Somebody else migrates the VM, by means of their own. */
async function migrateElsewhere({ world, vmId }: Stage, durationMs: number): Promise<void> {
  const guest = { id: vmId, name: 'theirs', memoryBytes: 1 << 30, vcpus: 1, dirtyRateBytesPerSec: 0 };
  world.prepare('destination', guest, 'theirs', null);
  await world.perform('source', vmId, {
    destination: 'destination',
    durationMs,
    maxDowntimeMs: 300,
    autoConverge: false,
    bandwidthBytesPerSec: null,
    peerToPeer: true,
    onProgress: () => undefined,
    controller: new AbortController().signal,
  });
}

describe('somebody else migrates the VM meanwhile', { concurrency: 2 }, () => {
  test('prepare says so: nothing of theirs is stopped', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('gateway.configure', 'hold-after');
    const { id } = await stage.submit();
    await hold.reached;
    const theirs = migrateElsewhere(stage, 1_000);
    hold.release();
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.error?.code], ['failed', 'BUSY']);
    await theirs;
    assert.deepEqual(stage.world.running(stage.vmId), ['destination']);
  });

  test('the orchestrator is killed before prepare could say so: nothing of theirs is stopped', async () => {
    await using own = await temporaryDirectory();
    await using child = new OrchestratorProcess(own.path);
    await child.start();
    await using stage = await setStage(() => child.api, own.path);
    const hold = stage.world.faults.arm('destination.prepare', 'hold-before');
    const { id } = await stage.submit();
    await hold.reached;
    await child.end('SIGKILL');
    const theirs = migrateElsewhere(stage, 12_000); // longer than a start takes on a busy machine
    await child.start();
    const ended = await child.api.ended(id);
    assert.deepEqual([ended.phase, ended.error?.code], ['failed', 'INTERRUPTED']);
    await theirs;
    assert.deepEqual(stage.world.running(stage.vmId), ['destination']);
    hold.release();
  });
});

describe('a gateway is killed', { concurrency: 2 }, () => {
  for (const end of ['source', 'destination'] as const) {
    test(`the one at the ${end}, while memory moves: seen at once, the VM stays at the source`, async () => {
      await using stage = await setting();
      const { id } = await stage.submit({ options: { durationMs: 20_000 } });
      await api.until(id, ({ progress }) => progress !== null);
      const killedAt = performance.now();
      for (const name of stage.world.gateways.keys()) if (name.endsWith(`-${end}`)) stage.world.endGateway(name);
      const ended = await api.ended(id);
      assert.deepEqual([ended.phase, ended.where, ended.error?.code], ['failed', 'source', 'GATEWAY_ENDED']);
      assert.ok(performance.now() - killedAt < 3_000, 'within seconds');
      stage.assertClean(ended);
    });
  }

  test('the hypervisor complains of its connection first: the gateway is named, its words are the cause', async () => {
    await using stage = await setting();
    stage.world.faults.arm('source.perform', 'before', { code: 'STREAM_FAILED' });
    const { id } = await stage.submit();
    await api.until(id, ({ phase }) => phase === 'performing');
    setTimeout(() => {
      for (const name of stage.world.gateways.keys()) if (name.endsWith('-source')) stage.world.endGateway(name);
    }, 400);
    const { phase, where, error } = await api.ended(id);
    assert.deepEqual([phase, where, error?.code], ['failed', 'source', 'GATEWAY_ENDED']);
    assert.match(error?.message ?? '', /of the source at site/);
    assert.equal(error?.cause?.code, 'STREAM_FAILED');
  });

  test('a connection that breaks while both gateways live is what the hypervisor says it is', async () => {
    await using stage = await setting();
    stage.world.faults.arm('source.perform', 'before', { code: 'STREAM_FAILED' });
    const { id } = await stage.submit();
    const { phase, error } = await api.ended(id);
    assert.deepEqual([phase, error?.code, error?.cause], ['failed', 'STREAM_FAILED', null]);
  });

  test('past the point of no return the hand-over is finished without it', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('destination.finish', 'hold-before');
    const { id } = await stage.submit();
    await hold.reached;
    for (const name of stage.world.gateways.keys()) stage.world.endGateway(name);
    hold.release();
    const ended = await api.ended(id);
    assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
    stage.assertClean(ended);
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
      const request = { timeouts: { [limit]: 1_000 } };
      const { id } = await stage.submit({ ...request });
      await hold.reached;
      // Held for twice as long as the limit of the phase that it is in.
      await api.until(id, ({ timeline }) => Date.now() - Date.parse(timeline.at(-1)?.startedAt ?? '') > 2_000);
      hold.release();
      const ended = await api.ended(id);
      assert.deepEqual([ended.phase, ended.where, ended.error?.code], ['failed', 'source', code]);
      await api.until(id, ({ teardown }) => teardown !== 'incomplete');
      stage.assertClean(await api.migration(id));
    });
  }
});

describe('what can never be taken down', () => {
  /** Ended, with its gateways on a machine that cannot be reached any more. */
  async function leftBehind(stage: Stage): Promise<string> {
    const hold = stage.world.faults.arm('gateway.start', 'hold-after');
    const { id } = await stage.submit({ retries: { max: 0, backOffMs: 100 } });
    await hold.reached;
    stage.server.goAway();
    hold.release();
    const { phase, where } = await api.until(id, ({ teardown }) => teardown === 'incomplete');
    assert.deepEqual([phase, where], ['failed', 'source']);
    return id;
  }
  const giveUp = (id: string) => api.call('POST', `/v1/migrations/${id}/give-up-teardown`, { reason: 'burnt down' });

  /** Its end is not clear: the memory has arrived, the destination went away, and nobody has let either copy go on. */
  async function endedUnclear(stage: Stage): Promise<Migration> {
    const hold = stage.world.faults.arm('source.perform', 'hold-after');
    const { id } = await stage.submit({ options: { durationMs: 20, changeSetting: true, createVolume: true } });
    await hold.reached;
    stage.server.goAway('destination');
    hold.release();
    const ended = await api.ended(id);
    assert.deepEqual([ended.where, ended.error?.code], ['unknown', 'OUTCOME_UNKNOWN']);
    return await api.until(id, ({ leftovers }) => !leftovers.some((text) => text.startsWith('gateway')));
  }

  test('what an unclear ending leaves on purpose is told, stays, and goes once the VM is found', async () => {
    await using stage = await setting();
    const { id, teardown, leftovers, vm } = await endedUnclear(stage);
    assert.equal(teardown, 'incomplete');
    assert.match(
      leftovers.join('\n'),
      new RegExp(`^setting .* at the source: left alone, .*Then: Put the setting of ${vm.name} back`, 'm'),
    );
    assert.match(leftovers.join('\n'), /^volume .* at the destination: left alone/m);
    assert.match(leftovers.join('\n'), /^barrier at site .*: left alone/m);
    assert.deepEqual([[...stage.world.changedSettings], stage.world.barriers.size], [[stage.vmId], 2]);
    // Somebody looks after it: throws the destination's copy away, and lets the source's go on.
    stage.world.finish('destination', stage.vmId, true);
    stage.world.confirm('source', stage.vmId, true);
    stage.server.comeBack();
    const found = await api.until(id, (each) => each.leftovers.length === 1);
    assert.deepEqual([found.phase, found.where, found.byHand], ['failed', 'source', null]);
    assert.match(found.error?.remedy ?? '', /found since: it runs at the source/);
    assert.deepEqual([[...stage.world.changedSettings], stage.world.barriers.size], [[], 0]);
    // It may have run there, with writes that nobody else has.
    assert.match(found.leftovers.join(), /^volume .* at the destination: left alone, the VM may have run with it/);
    assert.equal(stage.world.volumes.size, 1);
    stage.world.volumes.clear();
    assert.equal((await giveUp(id)).status, 202);
    stage.assertClean(await api.until(id, (each) => each.teardown === 'given-up'));
  });

  test('what an unclear ending leaves on purpose can be given up, too', async () => {
    await using stage = await setting();
    const { id } = await endedUnclear(stage);
    assert.equal((await giveUp(id)).status, 202);
    const { leftovers, where } = await api.until(id, ({ teardown }) => teardown === 'given-up');
    assert.equal(where, 'unknown');
    assert.match(
      leftovers.join('\n'),
      /^setting .*Then: .* \(given up: it stays until somebody takes it away by hand\)/m,
    );
    assert.deepEqual([...stage.world.changedSettings], [stage.vmId], 'nobody but a person touches it any more');
  });

  test('a machine that is gone for good is given up by name: the record says so, and what it held is free', async () => {
    await using stage = await setting();
    const id = await leftBehind(stage);
    for (const [path, users] of [
      [`/v1/endpoints/${stage.source}`, id],
      [`/v1/sites/${stage.source}`, 'give-up'],
    ] as const) {
      const refused = await api.call('DELETE', path);
      assert.deepEqual([refused.status, refused.body.code], [409, 'IN_USE']);
      assert.match(String(refused.body.detail), new RegExp(users));
    }
    assert.equal(
      (await api.call('POST', `/v1/migrations/${id}/give-up-teardown`, {})).status,
      400,
      'it takes a reason',
    );
    assert.equal((await giveUp(id)).status, 202);
    const { givenUp, leftovers, phase } = await api.until(id, ({ teardown }) => teardown === 'given-up');
    assert.deepEqual([phase, givenUp?.reason], ['failed', 'burnt down']);
    assert.match(givenUp?.by ?? '', /\w/);
    assert.match(leftovers.join(), new RegExp(`gateway at site ${stage.source}: .*given up.*by hand`));
    assert.equal((await giveUp(id)).status, 202, 'safe to repeat');
    const { items } = await api.must<{ items: { migration: string }[] }>('GET', '/v1/gateways');
    assert.ok(!items.some(({ migration }) => migration === id), 'nobody waits for its gateways');

    const next = await stage.submit();
    await api.must('POST', `/v1/migrations/${next.id}/cancel`);
    const after = await api.ended(next.id);
    if (after.teardown === 'incomplete') assert.equal((await giveUp(next.id)).status, 202);
    await api.until(next.id, ({ teardown }) => teardown !== 'incomplete');
    for (const end of [stage.source, stage.destination]) {
      await api.must('DELETE', `/v1/endpoints/${end}`);
      await api.must('DELETE', `/v1/sites/${end}`);
    }
    const audit = await api.must<{ items: { operation: string; target: string }[] }>(
      'GET',
      '/v1/audit?operation=giveUpTeardown',
    );
    assert.ok(audit.items.some(({ operation, target }) => operation === 'giveUpTeardown' && target.includes(id)));
  });

  test('one that answers, and only refuses, is not given up, and the record says why; once it is gone, it is', async () => {
    await using stage = await setting();
    const hold = stage.world.faults.arm('gateway.start', 'hold-after');
    const { id } = await stage.submit({ retries: { max: 0, backOffMs: 100 } });
    await hold.reached;
    stage.world.faults.arm('gateway.remove', 'before', { code: 'BUSY', times: 1_000 });
    await api.must('POST', `/v1/migrations/${id}/cancel`);
    hold.release();
    await api.until(id, ({ teardown }) => teardown === 'incomplete');
    assert.equal((await giveUp(id)).status, 202);
    const still = await api.until(id, ({ leftovers }) => leftovers.some((text) => text.includes('not given up')));
    assert.deepEqual([still.teardown, still.givenUp], ['incomplete', null]);
    assert.equal((await api.call('DELETE', `/v1/sites/${stage.source}`)).body.code, 'IN_USE', 'it is waited for');
    stage.server.goAway();
    assert.equal((await giveUp(id)).status, 202);
    const gone = await api.until(id, ({ teardown }) => teardown === 'given-up');
    assert.deepEqual([gone.phase, gone.givenUp?.reason], ['cancelled', 'burnt down']);
  });

  test('one that has come back is taken down all the same; where nothing is left there is nothing to give up', async () => {
    await using stage = await setting();
    const id = await leftBehind(stage);
    stage.server.comeBack();
    const said = await giveUp(id);
    assert.ok([202, 409].includes(said.status), 'unless it was quicker by itself');
    const ended = await api.until(id, ({ teardown }) => teardown !== 'incomplete');
    assert.deepEqual([ended.teardown, ended.givenUp, ended.leftovers], ['complete', null, []]);
    stage.assertClean(ended);
    const late = await giveUp(id);
    assert.deepEqual([late.status, late.body.code], [409, 'NOTHING_TO_GIVE_UP']);
    const missing = await giveUp('m_00000000-0000-4000-8000-000000000000');
    assert.deepEqual([missing.status, missing.body.code], [404, 'MIGRATION_NOT_FOUND']);
  });
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
    const third = await late.submit({ timeouts: { queueMs: 1_000 } });
    assert.equal((await child.api.call('POST', `/v1/migrations/${second.id}/cancel`)).status, 202);
    assert.equal((await child.api.ended(second.id)).phase, 'cancelled');
    const overdue = await child.api.ended(third.id);
    assert.deepEqual([overdue.phase, overdue.error?.code], ['failed', 'STAGE_TIMEOUT']);
    hold.release();
    assert.equal((await child.api.ended(first.id)).phase, 'succeeded');
    for (const stage of stages) await stage[Symbol.asyncDispose]();
  });
});
