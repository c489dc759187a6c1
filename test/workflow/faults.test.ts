/**
 * For every step of the workflow: a failure before it, a failure after its effect, the reply lost after its effect; and a
 * cancel in it, before and after its effect. Then exactly one VM runs, never two did, and nothing is left over.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';
import { FAULTS, HOLDS, STEPS } from './matrix.ts';

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
const request = { options: { createVolume: true, durationMs: 30 } };

describe('a step fails', { concurrency: 8 }, () => {
  for (const { step, call } of STEPS) {
    for (const kind of FAULTS) {
      test(`${step}: ${call}, ${kind}`, async () => {
        await using stage = await setting();
        const fault = stage.world.faults.arm(call, kind);
        const { id } = await stage.submit(request);
        await fault.reached;
        const ended = await api.ended(id);
        const whole = await api.until(id, ({ teardown }) => teardown === 'complete' || teardown === 'not-needed');
        stage.assertClean(whole);
        assert.equal(whole.phase, ended.phase, 'the outcome never changes');
        assert.equal(whole.phase === 'succeeded', whole.where === 'destination');
        if (whole.phase === 'failed') assert.notEqual(whole.error, null);
      });
    }
  }
});

describe('a step is cancelled', { concurrency: 8 }, () => {
  for (const { step, call, commits } of STEPS) {
    for (const kind of HOLDS) {
      test(`${step}: ${call}, ${kind}`, async () => {
        await using stage = await setting();
        const hold = stage.world.faults.arm(call, kind);
        const { id } = await stage.submit(request);
        await hold.reached;
        const answer = await api.call('POST', `/v1/migrations/${id}/cancel`);
        const again = await api.call('POST', `/v1/migrations/${id}/cancel`);
        hold.release();
        assert.equal(again.status, answer.status, 'safe to repeat');
        const ended = await api.ended(id);
        if (commits) {
          assert.equal(answer.status, 409, JSON.stringify(answer.body));
          assert.equal(answer.body.code, 'PAST_POINT_OF_NO_RETURN');
          assert.equal(ended.phase, 'succeeded');
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
