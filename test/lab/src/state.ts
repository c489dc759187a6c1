// What a lab writes down about itself, so that another process (or a later one, after a crash) can attach to it and take it down.
// One JSON file, replaced whole. Namespaces and interfaces are not in it: their names follow from the lab's name.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const processRecord = z.object({ pid: z.number(), startTicks: z.number() });

export const linkSettingsSchema = z.object({
  rateMbit: z.number().min(0).max(100_000),
  rttMs: z.number().min(0).max(10_000),
  lossPct: z.number().min(0).max(100),
  queueMs: z.number().min(0).max(10_000).optional(),
  jitterMs: z.number().min(0).max(1_000).optional(),
});

const stateSchema = z.object({
  name: z.string(),
  index: z.number(),
  /** False while it is being brought up: what is found in this state is half a lab. */
  complete: z.boolean(),
  linkKind: z.enum(['emulator', 'netem']),
  link: linkSettingsSchema,
  /** While the management network has a delay, or is being given one. */
  managementRttMs: z.number().optional(),
  /** `host-a` … are the `unshare` that holds the machine; its child is the machine's PID 1. */
  processes: z.record(z.string(), processRecord),
});

export type LabState = z.infer<typeof stateSchema>;

export function readState(stateDir: string): LabState | undefined {
  let text: string;
  try {
    text = readFileSync(join(stateDir, 'state.json'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return stateSchema.parse(JSON.parse(text));
}

/** As `readState`, for taking down: a state that cannot be read is no reason to leave everything standing. */
export function readStateIfWhole(stateDir: string): LabState | undefined {
  try {
    return readState(stateDir);
  } catch (error) {
    if (error instanceof z.ZodError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export function writeState(stateDir: string, state: LabState): void {
  const path = join(stateDir, 'state.json');
  writeFileSync(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
