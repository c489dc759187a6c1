/**
 * Two workers on one Redis. The one that has the migrations is stopped with SIGSTOP in every step, forward and back, past
 * its lease; the other takes over and finishes; then the first one wakes up in the middle of what it was doing, and must
 * do no harm.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { OrchestratorProcess } from './child.ts';
import { freePort, type Stage, setStage, temporaryDirectory } from './harness.ts';
import { armStep, nameOf, STEPS } from './matrix.ts';

const directory = await temporaryDirectory();

describe('a worker that was stopped wakes up after another one has taken over', () => {
  const stages = new Map<string, { stage: Stage; id: string }>();
  let redis: ReturnType<typeof spawn>;
  let first: OrchestratorProcess;
  let second: OrchestratorProcess;

  before(async () => {
    const port = await freePort();
    const options = ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'yes'];
    redis = spawn('redis-server', [...options, '--appendfsync', 'always', '--dir', directory.path], {
      stdio: 'ignore',
    });
    const masterKeyFile = join(directory.path, 'key');
    await writeFile(masterKeyFile, randomBytes(32).toString('base64'), { mode: 0o600 });
    const shared = { REDIS_URL: `redis://127.0.0.1:${port}`, LMAS_MASTER_KEY_FILE: masterKeyFile };
    first = new OrchestratorProcess(join(directory.path, '1'), shared);
    second = new OrchestratorProcess(join(directory.path, '2'), shared, first);
    await first.start();
    const holds = [];
    for (const step of STEPS) {
      const stage = await setStage(() => first.api, directory.path);
      const hold = armStep(stage.world, step, 'hold-after');
      const { id } = await stage.submit({ options: { createVolume: true, durationMs: 30 } });
      stages.set(nameOf(step), { stage, id });
      holds.push(hold);
    }
    await Promise.all(holds.map(({ reached }) => reached));
    first.signal('SIGSTOP');
    let takenOver = 0;
    await second.start();
    for (const { stage, id } of stages.values()) {
      await second.api.ended(id);
      const { runs } = stage.server;
      if (runs.displaced === 0) continue; // the first was connected to no host, or nothing was left to do there
      takenOver += 1;
      assert.ok(!runs.tokensOf(id).includes(1), `${id}: the stopped worker is still connected to a host`);
    }
    assert.ok(takenOver > STEPS.length / 2, `${takenOver} of ${STEPS.length} were taken over at the hosts`);
    for (const hold of holds) hold.release();
    first.signal('SIGCONT');
    await sleep(1_500); // time for the first to do whatever it still dares
  });
  after(async () => {
    for (const { stage } of stages.values()) await stage[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
    redis.kill('SIGKILL');
    await once(redis, 'exit');
    await directory[Symbol.asyncDispose]();
  });

  for (const step of STEPS) {
    test(nameOf(step), async () => {
      const found = stages.get(nameOf(step));
      assert.ok(found !== undefined);
      const { stage, id } = found;
      const ended = await second.api.until(id, ({ teardown }) => teardown === 'complete' || teardown === 'not-needed');
      stage.assertClean(ended);
      assert.equal(ended.where === 'destination', ended.phase === 'succeeded');
    });
  }
});
