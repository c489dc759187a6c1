/** What migrations note of their links, with simulated gateways that measure nine tenths of a gigabit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';

test('a migration notes what its link carries; a limited one does not take its limit for that', async () => {
  await using directory = await temporaryDirectory();
  const orchestrator = await startInProcess(directory.path, { LMAS_TUNNEL_WARM_UP_MS: '50' });
  try {
    const api = await Api.of(orchestrator);
    await using stage = await setStage(() => api, directory.path);
    stage.world.addVm('source', { id: 'second', name: 'second' });
    const measured = async () => {
      const id = [stage.source, stage.destination].sort().join('~');
      const link = await api.must<{ measurements: { goodputBitsPerSec: number }[] }>('GET', `/v1/links/${id}`);
      return link.measurements.map(({ goodputBitsPerSec }) => goodputBitsPerSec);
    };
    const limited = await stage.submit({ bandwidthBytesPerSec: 2 ** 31 });
    assert.equal((await api.ended(limited.id)).phase, 'succeeded');
    assert.deepEqual(await measured(), []);
    const free = await stage.submit({ vm: 'second' });
    assert.equal((await api.ended(free.id)).phase, 'succeeded');
    assert.deepEqual(await measured(), [9e8]);
  } finally {
    await orchestrator.stop();
  }
});
