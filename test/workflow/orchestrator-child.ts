/**
 * The orchestrator as a process of its own that can be killed: settings from the environment, simulated far ends (real
 * gateways, if LMAS_TEST_REAL_GATEWAYS is set). Prints
 * `ready <url>` once the API answers.
 */
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import { simulatedParts } from './harness.ts';

const config = readConfig(process.env);
const { plugins } = simulatedParts;
const parts = process.env.LMAS_TEST_REAL_GATEWAYS === undefined ? simulatedParts : { plugins };
const orchestrator = await startOrchestrator(config, createLog(config.logLevel), parts);
process.on('SIGTERM', () => void orchestrator.stop().then(() => process.exit(0)));
console.log(`ready ${orchestrator.url}`);
