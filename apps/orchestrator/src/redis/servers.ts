/**
 * Which servers keep our data now. A server gets a new name each time it starts (`run_id` of INFO): what is built on the
 * memory of another one, or of the one before, has to be looked at anew.
 */
import type { Redis } from 'ioredis';
import { mastersOf } from './connect.ts';

/** The names of all masters, the same as long as they are the same and run on. */
export async function serversOf(redis: Redis): Promise<string> {
  const infos = await Promise.all(mastersOf(redis).map((server) => server.info('server')));
  const names = infos.map((info) => /^run_id:(\w+)/m.exec(info)?.[1] ?? '');
  return names.sort().join(' ');
}
