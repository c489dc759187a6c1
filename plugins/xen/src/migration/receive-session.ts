/**
 * The session in the receive map, by its UUID: with that it can be ended by whoever is logged in, and is worth nothing to others. So a
 * run that comes after a crash can end it without the map. Only pool administrators may ask for it; for others the session stays until
 * the pool drops it by itself, a day after its last use (xapi_globs.ml, inactive_session_timeout).
 */
import { PluginError, type PluginResource } from '@lmas/plugin-api';
import { z } from 'zod';
import { isFault } from '../errors.ts';
import { refSchema } from '../records.ts';
import type { XenSession } from '../session.ts';

interface Options {
  readonly signal: AbortSignal;
}

export const sessionResource = (uuid: string): PluginResource => ({
  kind: 'session',
  id: uuid,
  end: 'destination',
  data: {},
  lifetime: 'migration',
});

/** `null` when this login may not ask. */
export async function uuidOfSession({ client }: XenSession, ref: string, options: Options): Promise<string | null> {
  try {
    return await client.call('session.get_uuid', [ref], z.string(), options);
  } catch (error) {
    if (isFault(error)) return null;
    throw error;
  }
}

/** Ends it; one that is unknown has ended. @throws when the pool did not say so */
export async function endSession({ client }: XenSession, uuid: string, options: Options): Promise<void> {
  let ref: string;
  try {
    ref = await client.call('session.get_by_uuid', [uuid], refSchema, options);
  } catch (error) {
    if (isFault(error, 'UUID_INVALID')) return;
    throw error;
  }
  if (await client.logOut(ref)) return;
  throw new PluginError('CONNECTION_LOST', 'The pool did not say that the session in the receive map has ended.');
}
