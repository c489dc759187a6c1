/**
 * Idempotency keys: the same key of the same project with the same request stands for one migration. A key is reserved before its
 * migration is stored; the step that stores it settles the key, too: kept where it was stored, free again where it was refused.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { canonicalJson } from '../canonical-json.ts';
import { LmasError } from '../errors.ts';
import { keys } from '../redis/keys.ts';
import { newMigrationId } from './record.ts';

const reservationSchema = z.object({ request: z.string(), id: z.string() });

export interface Reservation {
  /** In Redis. */
  readonly key: string;
  /** Digest of what is asked for. */
  readonly request: string;
}

export function reservationFor(
  { project, idempotencyKey }: { project: string | null; idempotencyKey: string },
  asked: object,
): Reservation {
  const hash = (text: string) => createHash('sha256').update(text).digest('hex');
  return { key: keys.idempotency(hash(`${project ?? ''}:${idempotencyKey}`)), request: hash(canonicalJson(asked)) };
}

/** What the key says while it stands for this migration, and for how long, as the step that stores it wants it. */
export interface Reserved {
  readonly key: string;
  readonly value: string;
  readonly ttlMs: number;
}

/** The id that this key of this project stands for already. @throws LmasError IDEMPOTENCY_KEY_REUSED as below */
export async function reservedId(redis: Redis, { key, request }: Reservation): Promise<string | undefined> {
  const former = await redis.get(key);
  return former === null ? undefined : idFor(request, former);
}

/**
 * The id that this key of this project stands for from now on.
 * @throws LmasError IDEMPOTENCY_KEY_REUSED when it came with another request before
 */
export async function reserveId(
  redis: Redis,
  { key, request }: Reservation,
  ttlMs: number,
): Promise<{ id: string; reserved: Reserved }> {
  const id = newMigrationId();
  const value = JSON.stringify({ request, id });
  const former = await redis.set(key, value, 'PX', ttlMs, 'NX', 'GET');
  if (former === null) return { id, reserved: { key, value, ttlMs } };
  return { id: idFor(request, former), reserved: { key, value: former, ttlMs } };
}

function idFor(asked: string, reserved: string): string {
  const { request, id } = reservationSchema.parse(JSON.parse(reserved));
  if (request !== asked) throw new LmasError('IDEMPOTENCY_KEY_REUSED');
  return id;
}
