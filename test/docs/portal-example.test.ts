/** The example of the portal guide, as it is printed, against a real orchestrator and a simulated hypervisor. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLmasClient } from '@lmas/client';
import { cancel, main } from '../../docs/examples/portal.ts';
import { run } from '../lab/src/command.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

test('submit, follow by webhook and by events, cancel', async () => {
  await using directory = await temporaryDirectory();
  const orchestrator = await startInProcess(directory.path, { LMAS_WEBHOOK_ALLOW: '127.0.0.1' });
  try {
    const api = await Api.of(orchestrator);
    const client = createLmasClient({ baseUrl: api.url, apiKey: api.key });
    await using stage = await setStage(() => api, directory.path);
    // The second one writes faster than the link carries: there is all the time in the world to cancel it.
    stage.world.rates.set('source', 100 << 20);
    stage.world.addVm('source', { id: 'quick', name: 'quick', memoryBytes: 1 << 20, dirtyRateBytesPerSec: 0 });
    stage.world.addVm('source', { id: 'busy', name: 'busy', memoryBytes: 50 << 20, dirtyRateBytesPerSec: 300 << 20 });
    const { source, destination } = stage;
    const lines: string[] = [];
    const story = await main(client, ['quick', 'busy'], { source, destination }, (line) => lines.push(line));
    assert.deepEqual([story.first.phase, story.first.where], ['succeeded', 'destination']);
    const { phase, where, vm } = story.second;
    // A cancel that comes before the source was asked ends a migration that claims nothing of where the VM is.
    assert.deepEqual([phase, where], ['cancelled', vm.id === null ? 'unknown' : 'source']);
    assert.deepEqual(stage.world.running('busy'), ['source'], 'it runs on where it was');
    assert.deepEqual(story.told.sort(), ['migration.cancelled', 'migration.succeeded']);
    assert.ok(
      lines.some((line) => line.startsWith('events:  quick performing')),
      lines.join('\n'),
    );
    assert.ok(!lines.some((line) => line.includes('refused')), lines.join('\n'));
    assert.equal(await cancel(client, story.first.id), false, 'too late is no error');
    assert.deepEqual(await client.listWebhooks(), [], 'nothing is left behind');
  } finally {
    await orchestrator.stop();
  }
});

test('run by hand with the set-up of the simulated hypervisor’s page, whose sites have no gateways', async () => {
  await using directory = await temporaryDirectory();
  const orchestrator = await startInProcess(directory.path, { LMAS_WEBHOOK_ALLOW: '127.0.0.1' });
  try {
    const api = await Api.of(orchestrator);
    await api.must('POST', '/v1/credentials', { id: 'any', kind: 'password', username: 'any', password: 'any' });
    const quick = { name: 'web-1', memoryBytes: 1 << 20, dirtyRateBytesPerSec: 0 };
    const busy = { name: 'web-2', memoryBytes: 50 << 20, dirtyRateBytesPerSec: 300 << 20 };
    for (const [site, vms] of [
      ['a', [quick, busy]],
      ['b', []],
    ] as const) {
      await api.must('POST', '/v1/sites', { id: site });
      const config = { world: 'portal', host: `kvm-${site}`, vms };
      await api.must('POST', '/v1/endpoints', {
        ...{ id: `kvm-${site}`, site, plugin: 'simulated', credential: 'any', config },
      });
    }
    const program = join(import.meta.dirname, '../../docs/examples/portal.ts');
    const start = (...more: string[]) => {
      const command = [
        `LMAS_URL=${api.url}`,
        `LMAS_API_KEY_FILE=${orchestrator.apiKeyFile}`,
        process.execPath,
        program,
      ];
      return run('env', [...command, 'web-1', 'web-2', 'kvm-a', 'kvm-b', ...more], { allowFailure: true });
    };
    const refused = await start();
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^NO_GATEWAY: [^\n]*\n$/, 'a sentence, and no stack');
    const { code, stdout, stderr } = await start('--direct');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /submitted m_[\s\S]*cancelled m_/);
  } finally {
    await orchestrator.stop();
  }
});
