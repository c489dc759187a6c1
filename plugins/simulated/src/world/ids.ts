/**
 * Identifiers that are made from names. Pure.
 */
import { createHash } from 'node:crypto';

/** The same name has the same identifier, today and tomorrow (RFC 9562, version 8). */
export function uuidOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
