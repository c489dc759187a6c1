/** A login that is refused: who asks again and again does not try it again, a person who tests it does, and everybody is told which. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';

const PAUSE_MS = 600_000;
const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path, { LMAS_LOGIN_RETRY_MS: String(PAUSE_MS) });
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

/** One whose source lets nobody in so many times. */
async function lockedOut(times: number) {
  const stage = await setStage(() => api, directory.path);
  stage.world.faults.arm('source.login', 'before', { code: 'LOGIN_REFUSED', times });
  return {
    stage,
    tries: () => stage.server.calls('source.login'),
    path: `/v1/endpoints/${stage.source}`,
    [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose](),
  };
}

test('a page that is open tries once, and says when it is tried again; a test tries at once', async () => {
  await using world = await lockedOut(2);
  const { path, tries } = world;
  const askedAt = Date.now();
  for (let look = 0; look < 4; look++) {
    const { status, body } = await api.call('GET', `${path}/inventory`);
    assert.deepEqual([status, body.code], [502, 'LOGIN_REFUSED']);
    const [, until = ''] =
      /not tried again by itself before (\S+Z); .* by a test of the endpoint/.exec(String(body.detail)) ?? [];
    const pauseMs = Date.parse(until) - askedAt;
    assert.ok(Math.abs(pauseMs - PAUSE_MS) < 30_000, String(body.detail));
  }
  assert.equal(tries(), 1);
  const refused = await api.must<{ error: { code: string; remedy: string } }>('POST', `${path}/test`);
  assert.equal(refused.error.code, 'LOGIN_REFUSED');
  assert.match(refused.error.remedy, /not tried again by itself before/);
  assert.equal(tries(), 2);
  assert.equal((await api.call('GET', `${path}/inventory`)).status, 502);
  assert.equal(tries(), 2, 'what the test was refused is not tried again either');
  assert.equal((await api.must<{ ok: boolean }>('POST', `${path}/test`)).ok, true);
  await api.must('GET', `${path}/inventory`);
});

test('nor do checks, nor a balancing policy', async () => {
  await using world = await lockedOut(Number.POSITIVE_INFINITY);
  const { stage, tries } = world;
  const { vmId: vm, source, destination } = stage;
  const check = { vm, source, destination };
  for (let look = 0; look < 2; look++) {
    assert.equal((await api.call('POST', '/v1/migration-checks', check)).body.code, 'LOGIN_REFUSED');
  }
  assert.equal(tries(), 1);
  const policy = { id: source, endpoints: [source, destination], measureMs: 200, intervalMs: 3_600_000 };
  await api.must('POST', '/v1/balancing-policies', policy);
  for (let pass = 0; pass < 2; pass++) await api.must('POST', `/v1/balancing-policies/${source}/run`);
  assert.equal(tries(), 1);
});
