/**
 * A person's word about a migration that has ended reaches whoever is at its teardown: that run is out from then on, as if another one
 * had taken over, before it does anything else, and hears of it at once. The next one finds the word.
 */
import { keys } from '../redis/keys.ts';
import { OUTCOMES } from './phases.ts';

const OVER = OUTCOMES.map((outcome) => `phase == '${outcome}'`).join(' or ');

/** For scripts whose KEYS[1] is the migration, and ARGV[1] its id. */
export const SUPERSEDE_LUA = `
  local function supersede(lease)
    local phase = redis.call('HGET', KEYS[1], 'phase')
    if not (${OVER}) then return end
    redis.call('HINCRBY', KEYS[1], 'token', 1)
    redis.call('DEL', lease)
    redis.call('PUBLISH', '${keys.cancelChannel}', ARGV[1])
  end
`;
