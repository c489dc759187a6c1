/**
 * The workflow with real gateways, put in place over a real sshd, and a simulated hypervisor: the tunnel is joined, the
 * routes are open, and after success, cancel and SIGKILL no gateway process and no directory is left.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sshdMissing, startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { OrchestratorProcess } from './child.ts';
import { filesOf, processesOf } from './gateway-leftovers.ts';
import { type Stage, setStage, temporaryDirectory } from './harness.ts';

const skip = sshdMissing();
const directory = await temporaryDirectory();
const orchestrator = new OrchestratorProcess(directory.path, {
  LMAS_TEST_REAL_GATEWAYS: directory.path,
  LMAS_TEARDOWN_MS: '30000',
  LMAS_GATEWAY_LEASE_MS: '30000',
  LMAS_TUNNEL_WARM_UP_MS: '200',
  // Real processes on a busy machine take their time, and each look at a gateway machine is a dozen of them there.
  ...{ LMAS_RUN_LEASE_MS: '6000', LMAS_REAPER_INTERVAL_MS: '5000' },
});
let sshd: TestSshd;

before(async () => {
  if (skip) return;
  sshd = await startSshd();
  await orchestrator.start();
});
// The bundle stays at the machine, as everywhere: whoever tests beside this one may be starting gateways from it.
after(async () => {
  if (!skip) {
    await orchestrator[Symbol.asyncDispose]();
    await sshd[Symbol.asyncDispose]();
  }
  await directory[Symbol.asyncDispose]();
});

const setting = () => setStage(() => orchestrator.api, directory.path, { sshd });

async function assertNothingLeft(stage: Stage, id: string): Promise<void> {
  const whole = await orchestrator.api.until(id, ({ teardown }) => teardown === 'complete');
  stage.assertClean(whole);
  assert.deepEqual(await filesOf(id), []);
  assert.deepEqual(await processesOf(id), new Map());
}

test('a VM moves, and the record says what the tunnel was like', { skip }, async () => {
  await using stage = await setting();
  const hold = stage.world.faults.arm('source.perform', 'hold-before');
  const { id } = await stage.submit();
  await Promise.race([hold.reached, orchestrator.api.ended(id, 60_000)]);
  assert.equal((await processesOf(id)).size, 2);
  hold.release();
  const ended = await orchestrator.api.ended(id, 60_000);
  assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
  assert.equal(ended.tunnel?.suite, 'aes-256-gcm');
  assert.ok((ended.tunnel?.subflows ?? 0) >= 1);
  await assertNothingLeft(stage, id);
});

test('cancelled while it moves', { skip }, async () => {
  await using stage = await setting();
  const { id } = await stage.submit({ options: { durationMs: 60_000 } });
  await orchestrator.api.until(id, ({ phase }) => phase === 'performing', 60_000);
  assert.equal((await orchestrator.api.call('POST', `/v1/migrations/${id}/cancel`)).status, 202);
  assert.equal((await orchestrator.api.ended(id)).phase, 'cancelled');
  await assertNothingLeft(stage, id);
});

test('the orchestrator is killed while it moves by itself: the next one follows, with the same gateways', {
  skip,
}, async () => {
  await using stage = await setting();
  const { id } = await stage.submit({ options: { durationMs: 8_000, peerToPeer: true } });
  await orchestrator.api.until(id, ({ progress }) => progress !== null, 60_000); // it moves, and not only shall
  const before = await processesOf(id);
  assert.equal(before.size, 2);
  await orchestrator.end('SIGKILL');
  await orchestrator.start();
  await orchestrator.api.until(id, ({ runs, tunnel }) => runs === 2 && tunnel !== null);
  assert.deepEqual(await processesOf(id), before, 'the gateways were kept');
  const ended = await orchestrator.api.ended(id, 60_000);
  assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
  await assertNothingLeft(stage, id);
});

test('a gateway is killed while memory moves: seen at once, and nothing of the other one is left either', {
  skip,
}, async () => {
  await using stage = await setting();
  const { id } = await stage.submit({ options: { durationMs: 60_000 } });
  await orchestrator.api.until(id, ({ phase, progress }) => phase === 'performing' && progress !== null, 60_000);
  const [pid] = (await processesOf(id)).keys();
  assert.ok(pid !== undefined);
  const killedAt = performance.now();
  process.kill(pid, 'SIGKILL');
  const ended = await orchestrator.api.ended(id, 60_000);
  assert.deepEqual([ended.phase, ended.where, ended.error?.code], ['failed', 'source', 'GATEWAY_ENDED']);
  assert.ok(performance.now() - killedAt < 45_000, 'its peer would have waited for more than a minute');
  await assertNothingLeft(stage, id);
});
