/** One thing that was looked at, and its verdict. */
import type { z } from 'zod';
import { describeError } from '../errors.ts';
import type { diagnosisCheckSchema } from '../schemas/diagnosis.ts';

export type Check = z.infer<typeof diagnosisCheckSchema>;

export const ok = (name: string, found: string): Check => ({ name, status: 'ok', found, remedy: null });
export const warning = (name: string, found: string, remedy: string): Check => ({
  ...{ name, status: 'warning', found, remedy },
});
export const failed = (name: string, found: string, remedy: string | null): Check => ({
  ...{ name, status: 'failed', found, remedy },
});
export const skipped = (name: string, found: string): Check => ({ name, status: 'skipped', found, remedy: null });

/** What could not even be looked at. */
export function brokenOff(name: string, error: unknown): Check {
  const { code, message, remedy } = describeError(error);
  return failed(name, `${code}: ${message}`, remedy);
}
