/**
 * Digests of secrets that are random and long (API keys): a slow hash would add nothing to 256 random bits.
 */
import { createHash, timingSafeEqual } from 'node:crypto';

/** SHA-256, in hexadecimal. */
export const digest = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** Whether `secret` is the one that was digested; takes the same time whatever differs. */
export function matchesDigest(secret: string, expected: string): boolean {
  return timingSafeEqual(Buffer.from(digest(secret), 'hex'), Buffer.from(expected, 'hex'));
}
