/**
 * Drills whose disks cross so slowly that no progress can be told for longer than one without any is waited for. The plugin is the
 * simulated one, which takes its time here before it copies.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HypervisorPlugin } from '@lmas/plugin-api';
import simulated from '@lmas/plugin-simulated';
import { ISOLATED_NETWORK } from '@lmas/plugin-simulated/world';
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { type Orchestrator, startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import { createRegistry } from '../../apps/orchestrator/src/plugins/registry.ts';
import { createSimulatedProvisioner } from '../simulated/gateways.ts';
import { Api, SHORT, setStage, temporaryDirectory } from './harness.ts';

const PATIENCE_MS = 1_000;
const plain = simulated as HypervisorPlugin;
let worksOn: boolean;

const slow: HypervisorPlugin = {
  ...plain,
  drill(ends, request, context) {
    const driver = plain.drill?.(ends, request, context) ?? assert.fail('it has drills');
    const copy = driver.copy.bind(driver);
    return Object.assign(driver, {
      async copy(...[prepared, routes, options]: Parameters<typeof copy>) {
        for (let ms = 0; ms < 3 * PATIENCE_MS && !options.signal.aborted; ms += PATIENCE_MS / 10) {
          await sleep(PATIENCE_MS / 10);
          if (worksOn) options.onWork?.();
        }
        await copy(prepared, routes, options);
      },
    });
  },
};

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  const config = readConfig({ ...SHORT, LMAS_DATA_DIR: directory.path });
  const parts = { plugins: createRegistry([slow]), gateways: createSimulatedProvisioner };
  orchestrator = await startOrchestrator(config, createLog(config.logLevel), parts);
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

for (const [title, works, phase, code] of [
  ['one that works on is waited for', true, 'succeeded', undefined],
  ['one of which nothing is heard is stopped', false, 'failed', 'NO_PROGRESS'],
] as const) {
  test(title, async () => {
    worksOn = works;
    await using stage = await setStage(() => api, directory.path);
    const { id } = await stage.submit({
      ...{ transport: 'direct', drill: { keepMs: 0 }, networkMap: { default: ISOLATED_NETWORK } },
      timeouts: { noProgressMs: PATIENCE_MS },
    });
    const ended = await api.ended(id);
    assert.deepEqual([ended.phase, ended.error?.code], [phase, code], JSON.stringify(ended.error));
    assert.deepEqual(stage.world.drills.leftovers, []);
  });
}
