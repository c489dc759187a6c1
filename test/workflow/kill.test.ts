/**
 * The orchestrator is killed with SIGKILL in every step, forward and back, before and after the step's effect, and started again. Then
 * exactly one VM runs within 40 s, never two did, no gateway is left, and no migration was triggered twice.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ArmedFault } from '@lmas/plugin-simulated/world';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { OrchestratorProcess } from './child.ts';
import { type Stage, setStage, temporaryDirectory } from './harness.ts';
import { afterKill, armStep, HOLDS, nameOf, ROLLED_BACK, STEPS } from './matrix.ts';

const LIMIT_MS = 40_000;

const directory = await temporaryDirectory();
const orchestrator = new OrchestratorProcess(directory.path);
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

/** Where the outcome stands already. */
const IN_TEARDOWN: ReadonlySet<string> = new Set(['teardown', 'release']);

const CASES = STEPS.flatMap((step) =>
  HOLDS.flatMap((kind) =>
    (step.step === 'perform' ? [false, true] : [false]).map((peerToPeer) => ({
      ...{ step, kind, peerToPeer },
      name: `${nameOf(step)}, ${kind}${peerToPeer ? ', peer to peer' : ''}`,
    })),
  ),
);

interface Played {
  readonly stage: Stage;
  readonly hold: ArmedFault;
  readonly submitted: Migration;
}

/** Every case is held in its step; one kill hits them all; all recover side by side. */
describe('killed in a step', () => {
  const played = new Map<string, Played>();
  let restartedAt = 0;

  before(async () => {
    await orchestrator.start();
    for (const { name, step, kind, peerToPeer } of CASES) {
      const stage = await setStage(() => orchestrator.api, directory.path);
      const hold = armStep(stage.world, step, kind);
      const options = { createVolume: true, durationMs: 50, peerToPeer };
      played.set(name, { stage, hold, submitted: await stage.submit({ options }) });
    }
    await Promise.all([...played.values()].map(({ hold }) => hold.reached));
    await orchestrator.end('SIGKILL');
    await orchestrator.start();
    restartedAt = performance.now();
    // What the dead process had under way at the far end goes on there, while the new one recovers.
    setTimeout(() => {
      for (const { hold } of played.values()) hold.release();
    }, 50);
  });
  after(async () => {
    for (const { stage } of played.values()) await stage[Symbol.asyncDispose]();
  });

  for (const { name, step, kind, peerToPeer } of CASES) {
    test(name, async () => {
      const found = played.get(name);
      assert.ok(found !== undefined);
      const { stage, submitted } = found;
      const ended = await orchestrator.api.ended(submitted.id, LIMIT_MS);
      assert.ok(performance.now() - restartedAt < LIMIT_MS);
      const whole = await orchestrator.api.until(
        submitted.id,
        ({ teardown }) => teardown === 'complete' || teardown === 'not-needed',
      );
      stage.assertClean(whole);
      assert.equal(whole.phase, ended.phase);
      assert.ok(whole.runs >= 2 || IN_TEARDOWN.has(step.step), `runs: ${whole.runs}`);
      const expected = afterKill(step, kind, { peerToPeer });
      if (expected !== undefined) assert.deepEqual([whole.phase, whole.error?.code ?? null], expected);
      if (expected === ROLLED_BACK) assert.match(whole.error?.remedy ?? '', /not tried again by itself/);
    });
  }
});
