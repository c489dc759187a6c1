/**
 * What `prepare` leaves in the record for `confirm` and for a recovery in another process. No secrets: the definition was
 * read without them.
 */
import { type JsonValue, PluginError } from '@lmas/plugin-api';
import { z } from 'zod';

const stateSchema = z.object({
  domainName: z.string(),
  /** The persistent definition at the source. */
  sourceDefinition: z.string(),
  nvram: z.string().nullable(),
  /** Started with its host. */
  autostart: z.boolean(),
  /** Paths of disks that stay at the source. */
  keptDisks: z.array(z.string()),
  /** Paths of volumes that were made at the destination. */
  createdVolumes: z.array(z.string()),
});

export type RunState = z.infer<typeof stateSchema>;

/** @throws PluginError INVALID_CONFIG for a record that this version cannot read */
export function parseState(state: JsonValue): RunState {
  const parsed = stateSchema.safeParse(state);
  if (parsed.success) return parsed.data;
  throw new PluginError('INVALID_CONFIG', 'The record of the migration cannot be read.', { cause: parsed.error });
}
