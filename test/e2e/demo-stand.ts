/**
 * What a demonstration has standing on this machine: its lab and its orchestrator. There is one at a time; what is up
 * is written down, so that a later process can take it down.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Lab, labDown, openLab } from '../lab/src/index.ts';
import { indexOfLab } from '../lab/src/lease.ts';
import { LEASE_DIR } from '../lab/src/names.ts';
import {
  isAlive,
  killRecorded,
  type ProcessRecord,
  recordOf,
  signalRecorded,
  waitUntil,
} from '../lab/src/processes.ts';
import type { OrchestratorProcess } from '../support/orchestrator.ts';

export const LAB_NAME = 'demo';
const CLAIM_FILE = join(LEASE_DIR, `${LAB_NAME}.claim`);
const ORCHESTRATOR_ENDS_WITHIN_MS = 20_000;

export interface OrchestratorRecord extends ProcessRecord {
  readonly url: string;
  readonly apiKeyFile: string;
}

/** Another demonstration runs on this machine. */
export class DemoRunsError extends Error {}

/** Makes this process the one that may build and take down. @throws DemoRunsError */
export function claimStand(): void {
  const owner = readJson<ProcessRecord>(CLAIM_FILE);
  if (owner && owner.pid !== process.pid && isAlive(owner)) {
    throw new DemoRunsError(`A demonstration runs already (process ${owner.pid}). Wait for it, or end it with Ctrl-C.`);
  }
  mkdirSync(LEASE_DIR, { recursive: true });
  writeFileSync(CLAIM_FILE, JSON.stringify(recordOf(process.pid)));
}

export function releaseStand(): void {
  rmSync(CLAIM_FILE, { force: true });
}

/** Written beside the lab's own state. */
export function rememberOrchestrator(lab: Lab, { pid, baseUrl, apiKeyFile }: OrchestratorProcess): void {
  const running = pid === undefined ? undefined : recordOf(pid);
  if (!running) return;
  const record: OrchestratorRecord = { ...running, url: baseUrl, apiKeyFile };
  writeFileSync(orchestratorFile(lab), JSON.stringify(record));
}

export function recallOrchestrator(lab: Lab): OrchestratorRecord | undefined {
  return readJson<OrchestratorRecord>(orchestratorFile(lab));
}

/** Whether something of a demonstration is up on this machine. */
export const isStanding = (): boolean => indexOfLab(LAB_NAME) !== undefined;

/** Takes down whatever is up, from this process or an earlier one. @returns what would not go */
export async function takeDown(): Promise<string[]> {
  const lab = await openLab(LAB_NAME).catch(() => undefined);
  const record = lab && recallOrchestrator(lab);
  if (record && signalRecorded(record, 'SIGTERM')) {
    const ended = await waitUntil(() => !isAlive(record), ORCHESTRATOR_ENDS_WITHIN_MS);
    if (!ended) await killRecorded(record);
  }
  return (await labDown(LAB_NAME)).leftovers;
}

const orchestratorFile = (lab: Lab): string => join(lab.stateDir, 'demo-orchestrator.json');

function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
