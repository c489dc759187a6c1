/**
 * What `prepare` leaves in the record for `confirm` and for a recovery in another process. No secrets: the definition was
 * read without them.
 */
import { PluginError, type Prepared } from '@lmas/plugin-api';
import { z } from 'zod';

const stateSchema = z.object({
  domainName: z.string(),
  nvram: z.string().nullable(),
  /** Started with its host. */
  autostart: z.boolean(),
  /** Paths of disks that stay at the source. */
  keptDisks: z.array(z.string()),
  /** Paths of volumes that were made at the destination. */
  createdVolumes: z.array(z.string()),
});

export type StoredState = z.infer<typeof stateSchema>;

export interface RunState extends StoredState {
  /** The persistent definition at the source. It may be large: stored once, in `atSource`. */
  readonly sourceDefinition: string | null;
}

/** @throws PluginError INVALID_CONFIG for a record that this version cannot read */
export function parsePrepared({ state, atSource }: Pick<Prepared, 'state' | 'atSource'>): RunState {
  const parsed = stateSchema.safeParse(state);
  if (parsed.success) return { ...parsed.data, sourceDefinition: atSource?.sourceDefinition ?? null };
  throw new PluginError('INVALID_CONFIG', 'The record of the migration cannot be read.', { cause: parsed.error });
}
