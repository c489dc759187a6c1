/** What `prepare` notes for `perform`, `confirm` and a recovery: no secrets, for it is stored in the record. */
import type { JsonValue } from '@lmas/plugin-api';
import { z } from 'zod';

const stateSchema = z.object({
  /** Port at which the destination listens. */
  port: z.int(),
  memoryBytes: z.number(),
  /** The guest's configuration as xl prints it, without passwords. */
  definition: z.string().nullable(),
});
export type XlState = z.infer<typeof stateSchema>;

export function parseState(value: JsonValue): XlState | null {
  const parsed = stateSchema.safeParse(value);
  return parsed.success ? parsed.data : null;
}
