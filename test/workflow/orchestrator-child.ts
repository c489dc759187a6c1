/**
 * The orchestrator as a process of its own that can be killed: settings from the environment, simulated far ends. With
 * LMAS_TEST_REAL_GATEWAYS, the directory of the worlds' sockets, the gateways are real and can be held by their world.
 * Prints `ready <url>` once the API answers.
 */
import { join } from 'node:path';
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { type Parts, startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import { wantsTraces } from '../../apps/orchestrator/src/tracing/settings.ts';
import { startTracing } from '../../apps/orchestrator/src/tracing/start.ts';
import { holdGateways } from '../simulated/held-gateways.ts';
import { simulatedParts } from './harness.ts';

const config = readConfig(process.env);
const worlds = process.env.LMAS_TEST_REAL_GATEWAYS;
const worldOf = (site: string): string => join(worlds ?? '', `${site.replace(/-(source|destination)$/, '')}.sock`);
const parts: Parts =
  worlds === undefined
    ? simulatedParts
    : { ...simulatedParts, gateways: async (_, real) => holdGateways(await real(), worldOf) };
const log = createLog(config.logLevel, { traced: wantsTraces(process.env) });
const tracing = await startTracing(process.env, config.role, log);
const orchestrator = await startOrchestrator(config, log, parts);
process.on('SIGTERM', async () => {
  await orchestrator.stop();
  await tracing.stop();
  process.exit(0);
});
console.log(`ready ${orchestrator.url}`);
