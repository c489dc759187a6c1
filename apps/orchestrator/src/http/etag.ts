/**
 * Changes by two people at once: whoever changes something says, by `if-match`, which version was looked at, and is
 * refused when it is not the newest any more.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../canonical-json.ts';
import { LmasError } from '../errors.ts';

export const ifMatchHeaders = z.object({
  'if-match': z
    .string()
    .max(200)
    .optional()
    .describe('The `etag` of the version that you looked at; `*` for any. Needed: without it the answer is 428.'),
});

/** The same text for the same content, in whatever order its fields are. Weak ones have no place in If-Match. */
export function etagOf(content: unknown): string {
  return `"${createHash('sha256').update(canonicalJson(content)).digest('base64url').slice(0, 22)}"`;
}

/**
 * @param current null: it is not there @param whatIsThere said to whoever named no version, where that makes a new thing if there is none
 * @throws LmasError PRECONDITION_REQUIRED without a header, PRECONDITION_FAILED when it names another version
 */
export function expectMatch(ifMatch: string | undefined, current: unknown, whatIsThere?: string): void {
  if (ifMatch === undefined) {
    throw new LmasError('PRECONDITION_REQUIRED', whatIsThere, {
      remedy:
        'Get it, change what you got, and send its `etag` as `if-match`; or `if-match: *` to overwrite whatever is there.',
    });
  }
  const accepted = ifMatch.split(',').map((tag) => tag.trim());
  if (accepted.includes('*') || accepted.includes(etagOf(current))) return;
  if (current === null) {
    throw new LmasError('PRECONDITION_FAILED', 'It has been removed.', {
      remedy: 'To make it anew, send it without `if-match`.',
    });
  }
  throw new LmasError('PRECONDITION_FAILED', undefined, {
    remedy: 'Get it again, look at what the other one changed, and send your change with the new `etag`.',
  });
}
