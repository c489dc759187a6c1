// Which address range belongs to which lab: one file per index under /run/lmas-lab, made exclusively. A lease goes with the lab that took
// it; a crashed lab keeps its lease until it is brought down, so its addresses cannot be given away while its namespaces still exist.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { LabError } from './errors.ts';
import { LEASE_DIR } from './names.ts';
import { isAlive, type ProcessRecord, recordOf, waitUntil } from './processes.ts';

const INDEX_DIR = join(LEASE_DIR, 'index');
const MAX_INDEX = 255;

export function indexOfLab(name: string): number | undefined {
  try {
    const file = readdirSync(INDEX_DIR).find((index) => readFileSync(join(INDEX_DIR, index), 'utf8') === name);
    return file === undefined ? undefined : Number(file);
  } catch {
    return undefined; // no directory (or a lease just given back): no lab of this name
  }
}

/** Index of the lab, leased now if it had none. */
export function leaseIndex(name: string): number {
  const held = indexOfLab(name);
  if (held !== undefined) return held;
  mkdirSync(INDEX_DIR, { recursive: true });
  const inUse = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((entry) => entry.address));
  for (let index = 0; index <= MAX_INDEX; index++) {
    if (inUse.some((address) => address.startsWith(`10.213.${index}.`))) continue;
    if (createExclusively(join(INDEX_DIR, String(index)), name)) return index;
  }
  throw new LabError('LAB_NO_ROOM', `see ${INDEX_DIR}`);
}

export function releaseIndex(name: string): void {
  const index = indexOfLab(name);
  if (index !== undefined) rmSync(join(INDEX_DIR, String(index)), { force: true });
}

/** Runs `work` while nobody else brings this lab up or down; waits for its turn. A lock whose owner is dead is taken over. */
export async function withLabLock<T>(name: string, work: () => Promise<T>, waitMs = 60_000): Promise<T> {
  mkdirSync(LEASE_DIR, { recursive: true });
  const path = join(LEASE_DIR, `${name}.lock`);
  const mine = JSON.stringify(recordOf(process.pid));
  if (!(await waitUntil(() => takeLock(path, mine), waitMs, 50))) throw new LabError('LAB_BUSY', `see ${path}`);
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

function takeLock(path: string, mine: string): boolean {
  if (createExclusively(path, mine)) return true;
  try {
    if (!isAlive(JSON.parse(readFileSync(path, 'utf8')) as ProcessRecord)) rmSync(path, { force: true });
  } catch {
    // given back, or not yet filled in, just now: we ask again
  }
  return false;
}

function createExclusively(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
