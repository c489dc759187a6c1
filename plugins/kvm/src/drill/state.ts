/** What `prepare` leaves in the record for `copy` and `start`. No secrets: the definition was read without them. */
import { type JsonValue, PluginError } from '@lmas/plugin-api';
import { z } from 'zod';

export const stateDiskSchema = z.object({
  name: z.string(),
  via: z.enum(['backup', 'file']),
  from: z.string(),
  fromFormat: z.string(),
  to: z.string(),
  format: z.enum(['raw', 'qcow2']),
  capacityBytes: z.number(),
  /** In use at the source: what has to cross, about. */
  bytes: z.number(),
  /** It was there before, and does not read as zeros where nothing is written. */
  isOverwritten: z.boolean().default(false),
});

const stateSchema = z.object({
  /** Of the copy. */
  definition: z.string(),
  disks: z.array(stateDiskSchema),
  /** At which QEMU serves the disks as they were; `null` when all are read as they lie there. */
  socket: z.string().nullable(),
  /** At the source. */
  keyDirectory: z.string(),
  /** To which the copy is connected. */
  networks: z.array(z.string()),
});

export type StateDisk = z.infer<typeof stateDiskSchema>;
export type DrillState = z.infer<typeof stateSchema>;

/** @throws PluginError INVALID_CONFIG for a record that this version cannot read */
export function parseDrillState(state: JsonValue): DrillState {
  const parsed = stateSchema.safeParse(state);
  if (parsed.success) return parsed.data;
  throw new PluginError('INVALID_CONFIG', 'The record of the drill cannot be read.', { cause: parsed.error });
}
