/**
 * The workflow with real gateways, put in place over a real sshd, and a simulated hypervisor: the tunnel is joined, the
 * routes are open, and after success, cancel and SIGKILL no gateway process and no directory is left.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildGatewayBundle } from '../../apps/gateway/bundle.ts';
import { commandLine } from '../../apps/orchestrator/src/redis/processes.ts';
import { sshdMissing, startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { OrchestratorProcess } from './child.ts';
import { type Stage, setStage, temporaryDirectory } from './harness.ts';

const skip = sshdMissing();
const directory = await temporaryDirectory();
const orchestrator = new OrchestratorProcess(directory.path, {
  LMAS_TEST_REAL_GATEWAYS: '1',
  LMAS_TEARDOWN_MS: '30000',
  LMAS_GATEWAY_LEASE_MS: '30000',
  LMAS_TUNNEL_WARM_UP_MS: '200',
});
const home = join(homedir(), '.lmas');
let sshd: TestSshd;
let bundleDirectory: string;
let hadBundle: boolean;

before(async () => {
  if (skip) return;
  sshd = await startSshd();
  bundleDirectory = join(home, 'bundles', (await buildGatewayBundle()).sha256);
  hadBundle = existsSync(bundleDirectory);
  await orchestrator.start();
});
after(async () => {
  if (!skip) {
    await orchestrator[Symbol.asyncDispose]();
    await sshd[Symbol.asyncDispose]();
    if (!hadBundle) await rm(bundleDirectory, { recursive: true, force: true });
  }
  await directory[Symbol.asyncDispose]();
});

const setting = () => setStage(() => orchestrator.api, directory.path, { sshd });

async function runDirectories(id: string): Promise<string[]> {
  const all = await readdir(join(home, 'gateways'), { recursive: true }).catch(() => []);
  return all.filter((name) => name.includes(id));
}

/** Pids of gateway processes whose command line names this migration. */
async function processes(id: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    if ((await commandLine(Number(pid))).includes(id)) found.push(pid);
  }
  return found;
}

async function assertNothingLeft(stage: Stage, id: string): Promise<void> {
  const whole = await orchestrator.api.until(id, ({ teardown }) => teardown === 'complete');
  stage.assertClean(whole);
  assert.deepEqual(await runDirectories(id), []);
  assert.deepEqual(await processes(id), []);
}

test('a VM moves, and the record says what the tunnel was like', { skip }, async () => {
  await using stage = await setting();
  const hold = stage.world.faults.arm('source.perform', 'hold-before');
  const { id } = await stage.submit();
  await Promise.race([hold.reached, orchestrator.api.ended(id, 60_000)]);
  assert.equal((await processes(id)).length, 2);
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
  const before = await processes(id);
  assert.equal(before.length, 2);
  await orchestrator.end('SIGKILL');
  await orchestrator.start();
  await orchestrator.api.until(id, ({ runs, tunnel }) => runs === 2 && tunnel !== null);
  assert.deepEqual(await processes(id), before, 'the gateways were kept');
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
  const [pid] = await processes(id);
  assert.ok(pid !== undefined);
  const killedAt = performance.now();
  process.kill(Number(pid), 'SIGKILL');
  const ended = await orchestrator.api.ended(id, 60_000);
  assert.deepEqual([ended.phase, ended.where, ended.error?.code], ['failed', 'source', 'GATEWAY_ENDED']);
  assert.ok(performance.now() - killedAt < 15_000, 'its peer would have waited for a minute');
  await assertNothingLeft(stage, id);
});
