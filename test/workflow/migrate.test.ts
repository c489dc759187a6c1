/** One migration from request to end, as a portal sees it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';

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

for (const transport of ['tunnel', 'direct'] as const) {
  test(`a VM moves (${transport})`, async () => {
    await using stage = await setStage(() => api, directory.path);
    const submitted = await stage.submit({ transport });
    assert.equal(submitted.phase, 'queued');
    const ended = await api.ended(submitted.id);
    assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
    assert.equal(ended.where, 'destination');
    assert.equal(ended.runs, 1);
    assert.equal(ended.teardown, 'complete');
    const phases = ended.timeline.map(({ phase }) => phase);
    const gatewayPhases = transport === 'tunnel' ? ['provisioning'] : [];
    const connectPhases = transport === 'tunnel' ? ['connecting'] : [];
    assert.deepEqual(phases, [
      'queued',
      'checking',
      ...gatewayPhases,
      'preparing',
      ...connectPhases,
      'performing',
      'confirming',
      'tearing-down',
      'succeeded',
    ]);
    stage.assertClean(ended);
  });
}

/** The simulated hypervisor has flows that are intercepted with this option. */
const INTERCEPTED = { options: { changeSetting: true, durationMs: 20 } };

test('an intercepted migration that went past the tunnel succeeds, and its report says so and where to look', async () => {
  for (const [input, deliveredBytes, isWarned] of [
    [INTERCEPTED, 0, true],
    [INTERCEPTED, 2 ** 40, false],
    [{ options: { durationMs: 20 } }, 0, false],
  ] as const) {
    await using stage = await setStage(() => api, directory.path);
    stage.world.deliveredBytes = deliveredBytes;
    const { id } = await stage.submit(input);
    const ended = await api.ended(id);
    assert.equal(ended.phase, 'succeeded', JSON.stringify(ended.error));
    const warnings = ended.report?.warnings ?? assert.fail('no report');
    assert.equal(warnings.length, isWarned ? 1 : 0, warnings.join());
    if (isWarned) assert.match(warnings[0] ?? '', new RegExp(`^NOT_THROUGH_TUNNEL: .*${stage.source}.*next hop`));
    stage.assertClean(ended);
  }
});
