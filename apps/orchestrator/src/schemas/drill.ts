/**
 * Drills: a copy of a VM that is started at the destination and undone again. What is asked for, and what came of it.
 */
import { z } from 'zod';
import { timestampSchema } from './common.ts';

export const MAX_KEEP_MS = 7 * 24 * 3_600_000;
export const keepMsSchema = z.int().min(0).max(MAX_KEEP_MS).default(300_000);

export const drillInputSchema = z
  .strictObject({
    keepMs: keepMsSchema.describe('How long the copy runs before it is undone; a cancel undoes it at once.'),
  })
  .nullable()
  .default(null)
  .describe(
    'A drill instead of a move: a copy of the VM is started at the destination and undone again, the VM itself is not touched. `networkMap` names isolated networks then, and what it does not name is not connected. null: the VM moves.',
  );

export const drillSchema = z
  .object({
    copy: z.object({
      vm: z.object({ id: z.string(), name: z.string() }),
      networks: z.array(z.string()).describe('At the destination; no others have a link.'),
      disks: z.array(z.object({ name: z.string(), location: z.string() })),
      startedAt: timestampSchema,
    }),
    upAfterMs: z.int().describe('From when a worker first took it up until the copy was seen to run.'),
    keepUntil: timestampSchema,
    ranToTheEnd: z
      .boolean()
      .nullable()
      .default(null)
      .describe('Whether the copy still ran just before it was undone; null: not yet, or nobody could be asked.'),
  })
  .meta({ id: 'Drill', description: 'A copy that came up.' });
