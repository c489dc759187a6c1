/** What the orchestrator complains of, beside the fields that it is about. Pure. */
import { LmasApiError } from '@lmas/client';

/**
 * @param isOf whether what stands at that path of the request was filled in at this field
 * @returns what is said against it; undefined: nothing
 */
export function complaintAt(error: unknown, isOf: (path: string) => boolean): string | undefined {
  if (!(error instanceof LmasApiError)) return undefined;
  const messages = error.errors.filter(({ path }) => isOf(path)).map(({ message }) => message);
  return messages.length === 0 ? undefined : [...new Set(messages)].join('; ');
}
