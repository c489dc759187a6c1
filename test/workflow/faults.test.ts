/**
 * For every step of the workflow, forward and back: a failure before it, a failure after its effect, the reply lost after its effect; and a
 * cancel in it, before and after its effect. Then exactly one VM runs, never two did, and nothing is left over.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';
import { armStep, FAULTS, HOLDS, nameOf, ROLL_BACK, STEPS, STEPS_IN_THE_CLEAR } from './matrix.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path);
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

const setting = () => setStage(() => api, directory.path);
const ALL_STEPS = [...STEPS, ...STEPS_IN_THE_CLEAR];
const request = { options: { changeSetting: true, createVolume: true, durationMs: 30 } };

describe('a step fails', { concurrency: 8 }, () => {
  for (const step of ALL_STEPS) {
    for (const kind of FAULTS) {
      test(`${nameOf(step)}, ${kind}`, async () => {
        await using stage = await setting();
        const fault = armStep(stage.world, step, kind);
        const { id } = await stage.submit(request);
        await fault.reached;
        const ended = await api.ended(id);
        const whole = await api.until(id, ({ teardown }) => teardown === 'complete' || teardown === 'not-needed');
        stage.assertClean(whole);
        assert.deepEqual(whole.leftovers, []);
        assert.equal(whole.phase, ended.phase, 'the outcome never changes');
        assert.equal(whole.phase === 'succeeded', whole.where === 'destination');
        if (whole.phase === 'failed') assert.notEqual(whole.error, null);
        if (step.isBack) assert.deepEqual([whole.phase, whole.error?.code], ['failed', ROLL_BACK.code]);
      });
    }
  }
});

describe('a step is cancelled', { concurrency: 8 }, () => {
  for (const step of ALL_STEPS) {
    for (const kind of HOLDS) {
      test(`${nameOf(step)}, ${kind}`, async () => {
        await using stage = await setting();
        const hold = armStep(stage.world, step, kind);
        const { id } = await stage.submit(request);
        await hold.reached;
        const answer = await api.call('POST', `/v1/migrations/${id}/cancel`);
        const again = await api.call('POST', `/v1/migrations/${id}/cancel`);
        hold.release();
        assert.equal(again.status, answer.status, 'safe to repeat');
        const ended = await api.ended(id);
        if (step.refusal !== null) {
          assert.equal(answer.status, 409, JSON.stringify(answer.body));
          assert.equal(answer.body.code, step.refusal);
          assert.equal(ended.phase, step.isBack ? 'failed' : 'succeeded');
        } else {
          assert.equal(answer.status, 202, JSON.stringify(answer.body));
          assert.equal(ended.phase, 'cancelled', JSON.stringify(ended.error));
          assert.notEqual(ended.cancelRequestedAt, null);
        }
        stage.assertClean(ended);
      });
    }
  }
});
