/** What `prepare` leaves for `perform`, `confirm` and a recovery: JSON in the record, and no secret. */
import { PluginError } from '@lmas/plugin-api';
import { z } from 'zod';

const stateSchema = z.object({
  hostUuid: z.string(),
  hostName: z.string(),
  network: z.string(),
  address: z.string(),
  /** The coordinator's, where the source's calls to it are relayed: for it the routes were opened. */
  coordinator: z.string().nullable().default(null),
  /** Of the guest itself: where each shall be, by its place in the guest (`userdevice`). */
  disks: z
    .array(z.object({ place: z.string(), name: z.string(), storageUuid: z.string(), storageName: z.string() }))
    .default([]),
  /** The guest's record as it was, for people. */
  definition: z.string(),
});

export type XenState = z.infer<typeof stateSchema>;

/** `null` is what a recovery has when the answer of `prepare` was lost. */
export function parseState(value: unknown): XenState | null {
  if (value === null) return null;
  const parsed = stateSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new PluginError('INVALID_CONFIG', `The notes of this migration cannot be read: ${parsed.error.message}`);
}
