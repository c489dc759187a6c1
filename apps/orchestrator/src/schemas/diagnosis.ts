/**
 * What the doctor looks at: the installation as its orchestrator sees it, and one gateway machine.
 */
import { z } from 'zod';
import { timestampSchema } from './common.ts';

export const diagnosisCheckSchema = z
  .object({
    name: z.string().describe('What was looked at: `redis`, `queue`, `webhook portal`.'),
    status: z
      .enum(['ok', 'warning', 'failed', 'skipped'])
      .describe('`warning`: works, and may not go on to; `failed`: does not; `skipped`: was not looked at.'),
    found: z.string().describe('What was seen, in words.'),
    remedy: z.string().nullable().describe('What to do about it; null where nothing has to be done.'),
  })
  .meta({ id: 'DiagnosisCheck' });

export const diagnosisSchema = z
  .object({
    at: timestampSchema.describe('By the clock of the orchestrator.'),
    version: z.string(),
    checks: z.array(diagnosisCheckSchema),
  })
  .meta({ id: 'Diagnosis' });

export const settingsSchema = z
  .object({
    items: z.array(
      z.object({
        variable: z.string(),
        value: z.string().nullable().describe('`(set)` where it is secret; null: not set.'),
        isDefault: z.boolean(),
      }),
    ),
  })
  .meta({ id: 'Settings' });

export const processLogSchema = z
  .object({
    items: z.array(z.looseObject({ level: z.int(), time: z.number(), msg: z.string() })),
  })
  .meta({ id: 'ProcessLog' });

export const gatewayTestSchema = z
  .object({
    ok: z.boolean().describe('No check failed.'),
    durationMs: z.int(),
    checks: z.array(diagnosisCheckSchema),
  })
  .meta({ id: 'GatewayTest' });
