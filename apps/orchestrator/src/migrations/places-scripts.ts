/**
 * The Lua of what a run does to its migration's places: it takes what its check has found that it needs (a pair of hosts, addresses of a
 * gateway machine), lets it go before a pause, and hands the whole migration back to the queue when others have that. Fenced as all
 * of a run's writes are (scripts.ts), and idempotent.
 */
import { addressesLua, headsLua, pairsLua, placesLua, waitingLua } from '../admission/scripts.ts';
import { keptScript } from '../redis/script.ts';
import { FENCE } from './scripts.ts';

/**
 * Takes what the lane names. It is not to be had while another migration holds it, or one that comes first in the order waits for it; one
 * that was admitted with it has it already. What the migration had of other pairs it gives up.
 * KEYS: migration, lanes of the queue, placesKeys, kept pairs. ARGV: token, writes, id, lane, rank, admission channel
 */
export const TAKE_HOSTS = keptScript(`
  ${placesLua(3)} ${pairsLua} ${headsLua(2)}
  ${FENCE}
  local id, lane = ARGV[3], ARGV[4]
  local pair = pairIn(lane)
  local holder = redis.call('HGET', KEYS[5], pair)
  if holder == id then holder = nil end
  local all, mine = redis.call('HGETALL', KEYS[3]), nil
  for i = 1, #all, 2 do
    if all[i] == id then mine = all[i + 1]
    elseif not holder and excludes(lane, all[i + 1]) then holder = all[i] end
  end
  local before = mine and pairIn(mine)
  if not holder and before ~= pair then
    eachHead(function(entry)
      local head = headOf(entry)
      if not holder and head.rank < ARGV[5] and excludes(lane, head.lane) then holder = head.id end
    end)
  end
  if holder then return {'HELD', holder} end
  changePlaces(id, lane)
  redis.call('HSET', KEYS[1], 'need', pair)
  if before and before ~= pair then redis.call('PUBLISH', ARGV[6], '') end
  return {'OK', redis.call('HINCRBY', KEYS[1], 'writes', 1)}
`);

/**
 * Takes addresses as the lane names them, of as many as there are. Not while others have too many of them, or one that comes first in the
 * order waits for some, unless it can never have them; one that was admitted with its own has them already. How many there are holds for all
 * from then on.
 * KEYS: migration, lanes of the queue, placesKeys, limits. ARGV: token, writes, id, lane, rank, need, how many there are, admission
 * channel
 */
export const TAKE_ADDRESSES = keptScript(`
  ${placesLua(3)} ${addressesLua} ${headsLua(2)}
  ${FENCE}
  local id, lane = ARGV[3], ARGV[4]
  local group, count = addressesIn(lane)
  if redis.call('HGET', KEYS[5], group) ~= ARGV[7] then
    redis.call('HSET', KEYS[5], group, ARGV[7])
    redis.call('PUBLISH', ARGV[8], '')
  end
  local all, mine, others, holder = redis.call('HGETALL', KEYS[3]), 0, 0, nil
  for i = 1, #all, 2 do
    local same, held = addressesIn(all[i + 1])
    if same == group and all[i] == id then mine = held
    elseif same == group then others, holder = others + held, all[i] end
  end
  if others + count <= tonumber(ARGV[7]) then holder = nil end
  if not holder and mine < count then
    eachHead(function(entry)
      local head = headOf(entry)
      local contends = wantsToo(lane, head.lane) and not waitsInVain(head.lane, ARGV[7])
      if not holder and head.rank < ARGV[5] and contends then holder = head.id end
    end)
  end
  if holder then return {'HELD', holder} end
  changePlaces(id, lane)
  redis.call('HSET', KEYS[1], 'need', ARGV[6])
  if mine > count then redis.call('PUBLISH', ARGV[8], '') end
  return {'OK', redis.call('HINCRBY', KEYS[1], 'writes', 1)}
`);

/** KEYS: migration, placesKeys. ARGV: token, writes, id, lane without what was needed, admission channel */
export const LET_NEED_GO = keptScript(`
  ${placesLua(2)}
  ${FENCE}
  changePlaces(ARGV[3], ARGV[4])
  redis.call('HDEL', KEYS[1], 'need')
  redis.call('PUBLISH', ARGV[5], '')
  return {'OK', redis.call('HINCRBY', KEYS[1], 'writes', 1)}
`);

/**
 * The copy of a drill runs: whoever looks at it next does so when its time is over, and nothing but its journal is held until then. A
 * cancel that came meanwhile has it taken up at once.
 * KEYS: migration, lease, running, queue deadlines, placesKeys, bandwidth
 * ARGV: token, writes, id, until when it is kept (ms), admission channel
 */
export const KEEP = keptScript(`
  ${placesLua(5)}
  ${FENCE}
  if redis.call('HEXISTS', KEYS[1], 'handedBack') == 0 then
    givePlacesBack(ARGV[3])
    redis.call('HDEL', KEYS[7], ARGV[3])
    redis.call('SREM', KEYS[3], ARGV[3])
    local deadline = redis.call('HEXISTS', KEYS[1], 'cancelRequestedAt') == 1 and 0 or ARGV[4]
    redis.call('ZADD', KEYS[4], deadline, ARGV[3])
    redis.call('HSET', KEYS[1], 'handedBack', 1)
    redis.call('DEL', KEYS[2])
    redis.call('PUBLISH', ARGV[5], '')
  end
  return {'OK', redis.call('HINCRBY', KEYS[1], 'writes', 1)}
`);

/**
 * Gives up places and claim, and puts the migration back into the queue, where its priority and its age put it. A cancel that came
 * meanwhile has it taken up at once.
 * KEYS: migration, lease, running, queue deadlines, waitingKeys, placesKeys
 * ARGV: token, writes, id, need, order, lane entry, until when it may wait (ms), admission channel
 */
export const HAND_BACK = keptScript(`
  ${waitingLua(5)} ${placesLua(8)}
  ${FENCE}
  if redis.call('HEXISTS', KEYS[1], 'handedBack') == 0 then
    givePlacesBack(ARGV[3])
    enqueue(ARGV[3], ARGV[5], ARGV[6])
    redis.call('SREM', KEYS[3], ARGV[3])
    local deadline = redis.call('HEXISTS', KEYS[1], 'cancelRequestedAt') == 1 and 0 or ARGV[7]
    redis.call('ZADD', KEYS[4], deadline, ARGV[3])
    redis.call('HSET', KEYS[1], 'need', ARGV[4], 'handedBack', 1)
    redis.call('DEL', KEYS[2])
    redis.call('PUBLISH', ARGV[8], '')
  end
  return {'OK', redis.call('HINCRBY', KEYS[1], 'writes', 1)}
`);
