/**
 * The Lua scripts of the record store. Invariants they keep, whoever calls them and however often:
 *
 * - idempotent: a client that lost its connection sends a script again; `writeId` tells that it has been done;
 * - fenced: whoever writes for a run names its token, and an older one changes nothing;
 * - one live migration per VM: the locks are taken in the same step that stores the record, and given back in the same
 *   step that ends it with nothing left to be taken down;
 * - a cancel and the point of no return exclude each other: whichever came first wins; and no change is accepted past that point, or
 *   once the end has begun;
 * - `writes` counts what a run was told is written: a Redis that knows of fewer than the run does (a fail-over to a replica
 *   that lagged, a restart without its last second) has forgotten some; whatever the run says next changes nothing and
 *   is answered so.
 */
import { pairsLua, placesLua, waitingLua } from '../admission/scripts.ts';
import { keys, MAX_NOTICES } from '../redis/keys.ts';
import { keptScript, script } from '../redis/script.ts';
import { COURSE_LUA } from './course.ts';
import { DONE_FIELD, NEED_LUA } from './needs.ts';

/**
 * Tells everybody who follows one migration and, of changes that are worth a notice, everybody who follows them all.
 * The feed and the indexes have fixed names in the slot of all the others.
 */
const TELL = `
  ${COURSE_LUA}
  local function tell(events, channel, maxEvents, event, notice, courseGapMs)
    local id = redis.call('XADD', events, 'MAXLEN', '~', maxEvents, '*', 'event', event)
    keepForCourse(events, id, event, courseGapMs)
    redis.call('PUBLISH', channel, '')
    if notice ~= '' then
      redis.call('XADD', '${keys.feed}', 'MAXLEN', '~', ${MAX_NOTICES}, '*', 'event', notice)
      redis.call('PUBLISH', '${keys.feedChannel}', '')
    end
  end
`;

/** `indexes`: names, as JSON. A migration is in the index of one phase only; in the others it stays. */
const INDEX = `
  local function index(id, createdAtMs, before, after, indexes)
    if before and before ~= after then redis.call('ZREM', '${keys.phaseIndexes}' .. before, id) end
    for _, name in ipairs(cjson.decode(indexes)) do redis.call('ZADD', name, createdAtMs, id) end
  end
`;

/** How it ends is written by then, though its books may still be open: nothing can be wanted of it any more. */
const IS_DECIDED = `
  local function isDecided(phase)
    return phase == 'tearing-down' or phase == 'succeeded' or phase == 'failed' or phase == 'cancelled'
  end
`;

/**
 * With the migration as KEYS[1], a run's token as ARGV[1] and the writes it knows of as ARGV[2]: an older token is out; a
 * token or writes that Redis has never heard of were forgotten, and nothing is built on what is left.
 */
export const FENCE = `
  local token = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
  if token < tonumber(ARGV[1]) then return {'FORGOTTEN'} end
  if token > tonumber(ARGV[1]) then return {'SUPERSEDED'} end
  if tonumber(redis.call('HGET', KEYS[1], 'writes') or '0') < tonumber(ARGV[2]) then return {'FORGOTTEN'} end`;

/** Fields of many records, in one command: as many commands cost several times as much. KEYS: migrations. ARGV: fields */
export const READ_RECORDS = script(`
  local found = {}
  for i, migration in ipairs(KEYS) do found[i] = redis.call('HMGET', migration, unpack(ARGV)) end
  return found
`);

/**
 * Stores the record with its bandwidth limit, and puts it into the queue.
 * KEYS: migration, events, migrations, live, queue deadlines, waitingKeys, bandwidth, lock…
 * ARGV: id, queue deadline (ms), record, createdAtMs, event, maxEvents, channel, notice, indexes, order, lane entry,
 * admission channel, key and token of a fence ('' for none): whoever orders it must not have withdrawn it meanwhile;
 * bytes per second ('' for unlimited); an idempotency key ('' for none), what it says while it stands for this one, for how long (ms);
 * between which two texts the lane entries of its project stand, and how many there may be with this one ('' for any number)
 */
export const CREATE = keptScript(`
  ${TELL}
  ${INDEX}
  ${waitingLua(6)}
  if redis.call('EXISTS', KEYS[1]) == 1 then return {'OK'} end
  if ARGV[13] ~= '' and redis.call('HGET', ARGV[13], 'token') ~= ARGV[14] then return {'WITHDRAWN'} end
  local function refused(...)
    if ARGV[16] ~= '' and redis.call('GET', ARGV[16]) == ARGV[17] then redis.call('DEL', ARGV[16]) end
    return {...}
  end
  for i = 10, #KEYS do
    local holder = redis.call('GET', KEYS[i])
    if holder and holder ~= ARGV[1] then return refused('LOCKED', holder) end
  end
  if ARGV[21] ~= '' then
    local waiting = redis.call('ZLEXCOUNT', KEYS[7], ARGV[19], ARGV[20])
    if waiting >= tonumber(ARGV[21]) then return refused('FULL', waiting) end
  end
  for i = 10, #KEYS do redis.call('SET', KEYS[i], ARGV[1]) end
  if ARGV[16] ~= '' then redis.call('SET', ARGV[16], ARGV[17], 'PX', ARGV[18]) end
  if ARGV[15] ~= '' then redis.call('HSET', KEYS[9], ARGV[1], ARGV[15]) end
  redis.call('ZADD', KEYS[5], ARGV[2], ARGV[1])
  redis.call('HSET', KEYS[1], 'record', ARGV[3], 'version', 1, 'token', 0, 'phase', 'queued')
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
  redis.call('SADD', KEYS[4], ARGV[1])
  enqueue(ARGV[1], ARGV[10], ARGV[11])
  index(ARGV[1], ARGV[4], nil, 'queued', ARGV[9])
  tell(KEYS[2], ARGV[7], ARGV[6], ARGV[5], ARGV[8], 0)
  redis.call('PUBLISH', ARGV[12], '')
  return {'OK'}
`);

/**
 * One that waits for its places can be taken up only to be ended: because it is cancelled, or has waited for too long.
 * KEYS: migration, lease, live, running, incomplete, queue deadlines, waitingKeys. ARGV: id, runId, leaseMs, nowMs
 */
export const CLAIM = keptScript(`
  ${waitingLua(7)}
  if redis.call('EXISTS', KEYS[1]) == 0 then return {'MISSING'} end
  local live = redis.call('SISMEMBER', KEYS[3], ARGV[1]) == 1
  if not live and redis.call('SISMEMBER', KEYS[5], ARGV[1]) == 0 then return {'ENDED'} end
  if redis.call('HEXISTS', KEYS[9], ARGV[1]) == 1 and redis.call('HEXISTS', KEYS[1], 'cancelRequestedAt') == 0
    and tonumber(redis.call('ZSCORE', KEYS[6], ARGV[1]) or ARGV[4]) > tonumber(ARGV[4]) then return {'WAITING'} end
  dequeue(ARGV[1])
  local holder = redis.call('GET', KEYS[2])
  if holder and holder ~= ARGV[2] then return {'BUSY'} end
  if not holder then redis.call('HINCRBY', KEYS[1], 'token', 1) end
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
  if live then redis.call('SADD', KEYS[4], ARGV[1]) end
  redis.call('ZREM', KEYS[6], ARGV[1])
  local names = {'token', 'version', 'record', 'cancelRequestedAt', 'pointOfNoReturnAt', 'writes', 'need', 'handedBack'}
  local h = redis.call('HMGET', KEYS[1], unpack(names))
  redis.call('HDEL', KEYS[1], 'handedBack')
  return {'CLAIMED', h[1], h[2], h[3], h[4] or '', h[5] or '', h[6] or '0', h[7] or '', h[8] or ''}
`);

/**
 * A run that has handed the migration back has nothing to renew any more.
 * KEYS: migration, lease. ARGV: token, writes, runId, leaseMs. Answers 'CURRENT' and when a cancel was asked for.
 */
export const RENEW = script(`
  ${FENCE}
  if redis.call('HEXISTS', KEYS[1], 'handedBack') == 1 then return {'SUPERSEDED'} end
  local holder = redis.call('GET', KEYS[2])
  if holder and holder ~= ARGV[3] then return {'SUPERSEDED'} end
  redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
  return {'CURRENT', redis.call('HGET', KEYS[1], 'cancelRequestedAt') or ''}
`);

/** Leases whose holder's name begins so. KEYS: leases. ARGV: how the names begin */
export const DROP_LEASES = script(`
  for _, lease in ipairs(KEYS) do
    local holder = redis.call('GET', lease)
    if holder and string.sub(holder, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', lease) end
  end
  return {'OK'}
`);

/** KEYS: lease. ARGV: runId */
export const LET_GO = script(`
  if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
  return {'OK'}
`);

/**
 * KEYS: migration, events
 * ARGV: token, writes, writeId, version, record, phase, event ('' for none), maxEvents, channel, notice ('' for none),
 * indexes ('' for no change), id, createdAtMs, what a person is needed for ('' for nothing), gap of the course (ms)
 */
export const WRITE = keptScript(`
  ${TELL}
  ${INDEX}
  ${NEED_LUA}
  ${FENCE}
  if redis.call('HGET', KEYS[1], 'writeId') == ARGV[3] then return {'OK', redis.call('HGET', KEYS[1], 'writes')} end
  local version = tonumber(redis.call('HGET', KEYS[1], 'version'))
  if version < tonumber(ARGV[4]) then return {'FORGOTTEN'} end
  if version > tonumber(ARGV[4]) then return {'CONFLICT'} end
  local before = redis.call('HGET', KEYS[1], 'phase')
  redis.call('HSET', KEYS[1], 'record', ARGV[5], 'version', tonumber(ARGV[4]) + 1, 'writeId', ARGV[3], 'phase', ARGV[6])
  if ARGV[11] ~= '' then index(ARGV[12], ARGV[13], before, ARGV[6], ARGV[11]) end
  need(ARGV[12], ARGV[13], ARGV[14])
  if ARGV[7] ~= '' then tell(KEYS[2], ARGV[9], ARGV[8], ARGV[7], ARGV[10], ARGV[15]) end
  return {'OK', redis.call('HINCRBY', KEYS[1], 'writes', 1)}
`);

/**
 * After the last WRITE, whose phase must be there. A migration whose teardown is incomplete stays on a list, can be claimed
 * for that alone, and keeps its VM to itself: what a later attempt takes down must not be in use by the VM's next migration. The
 * same goes for the pair of hosts that it had for itself.
 * KEYS: migration, live, running, lease, events, journal, incomplete, placesKeys, bandwidth, kept pairs, lock…
 * ARGV: token, writes, id, phase, keepMs, complete (1 or 0), admission channel
 */
export const END = keptScript(`
  ${placesLua(8)} ${pairsLua} ${COURSE_LUA}
  ${FENCE}
  if redis.call('HGET', KEYS[1], 'phase') ~= ARGV[4] then return {'FORGOTTEN'} end
  local pair, shared = pairIn(redis.call('HGET', KEYS[8], ARGV[3]) or '')
  if pair and not shared then
    redis.call('HSET', KEYS[11], pair, ARGV[3])
    redis.call('HSET', KEYS[1], 'need', pair)
  end
  redis.call('SREM', KEYS[2], ARGV[3])
  redis.call('SREM', KEYS[3], ARGV[3])
  givePlacesBack(ARGV[3])
  redis.call('HDEL', KEYS[10], ARGV[3])
  redis.call('PUBLISH', ARGV[7], '')
  redis.call('DEL', KEYS[4])
  redis.call('PEXPIRE', KEYS[5], ARGV[5])
  expireCourse(KEYS[5], ARGV[5])
  if ARGV[6] == '1' then
    redis.call('SREM', KEYS[7], ARGV[3])
    redis.call('PEXPIRE', KEYS[6], ARGV[5])
    if redis.call('HEXISTS', KEYS[1], '${DONE_FIELD}') == 1 then redis.call('ZREM', '${keys.needsPerson}', ARGV[3]) end
    local kept = redis.call('HGET', KEYS[1], 'need')
    if kept and redis.call('HGET', KEYS[11], kept) == ARGV[3] then redis.call('HDEL', KEYS[11], kept) end
    for i = 12, #KEYS do
      if redis.call('GET', KEYS[i]) == ARGV[3] then redis.call('DEL', KEYS[i]) end
    end
  else
    redis.call('SADD', KEYS[7], ARGV[3])
  end
  return {'OK'}
`);

/** KEYS: migration, lock. ARGV: token, writes, id */
export const LOCK = keptScript(`
  ${FENCE}
  local holder = redis.call('GET', KEYS[2])
  if holder and holder ~= ARGV[3] then return {'LOCKED', holder} end
  redis.call('SET', KEYS[2], ARGV[3])
  return {'OK', redis.call('HINCRBY', KEYS[1], 'writes', 1)}
`);

/** Gives it back, if it is held by this one. KEYS: migration, lock. ARGV: token, writes, id */
export const UNLOCK = keptScript(`
  ${FENCE}
  if redis.call('GET', KEYS[2]) == ARGV[3] then redis.call('DEL', KEYS[2]) end
  return {'OK', redis.call('HINCRBY', KEYS[1], 'writes', 1)}
`);

/** KEYS: migration, journal. ARGV: token, writes, resource key, entry */
export const JOURNAL = keptScript(`
  ${FENCE}
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
  return {'OK', redis.call('HINCRBY', KEYS[1], 'writes', 1)}
`);

/**
 * A run that finds that Redis has forgotten what it wrote puts back what it knows, and leaves: the next run finds the whole
 * journal, and asks both ends where the VM is before it does anything. Its claim may be forgotten as well, or even the request: it
 * waits for nothing then, is in every list, and has the limit that it came with, unless one was asked for since. Its places are
 * counted anew (queue/recovery.ts).
 * KEYS: migration, journal, live, running, lease, queue deadlines, waitingKeys, migrations, bandwidth, changes, lock…
 * ARGV: id, token, runId, record, version, phase, writes, cancelRequestedAt, pointOfNoReturnAt, indexes, createdAtMs, need,
 * what a person is needed for, bytes per second of the request ('' for unlimited), resource key, entry, …
 */
export const RESTORE_RECORD = keptScript(`
  ${INDEX}
  ${NEED_LUA}
  ${waitingLua(7)}
  if tonumber(redis.call('HGET', KEYS[1], 'token') or '0') > tonumber(ARGV[2]) then return {'SUPERSEDED'} end
  local holder = redis.call('GET', KEYS[5])
  if holder and holder ~= ARGV[3] then return {'SUPERSEDED'} end
  index(ARGV[1], ARGV[11], redis.call('HGET', KEYS[1], 'phase'), ARGV[6], ARGV[10])
  redis.call('HSET', KEYS[1], 'token', ARGV[2], 'record', ARGV[4], 'version', ARGV[5], 'phase', ARGV[6], 'writes', ARGV[7])
  if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'cancelRequestedAt', ARGV[8]) end
  if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'pointOfNoReturnAt', ARGV[9]) end
  if ARGV[12] ~= '' then redis.call('HSET', KEYS[1], 'need', ARGV[12]) end
  redis.call('HDEL', KEYS[1], 'handedBack')
  need(ARGV[1], ARGV[11], ARGV[13])
  for i = 15, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
  for i = 13, #KEYS do redis.call('SETNX', KEYS[i], ARGV[1]) end
  redis.call('ZADD', KEYS[10], ARGV[11], ARGV[1])
  redis.call('SADD', KEYS[3], ARGV[1])
  redis.call('SADD', KEYS[4], ARGV[1])
  dequeue(ARGV[1])
  redis.call('ZREM', KEYS[6], ARGV[1])
  local changes = cjson.decode(redis.call('HGET', KEYS[12], ARGV[1]) or '{}')
  if ARGV[14] ~= '' and changes.bandwidthBytesPerSec == nil then redis.call('HSETNX', KEYS[11], ARGV[1], ARGV[14]) end
  redis.call('DEL', KEYS[5])
  return {'OK'}
`);

/**
 * What waits has waited for long enough from then on: should nobody hurry it, the next look at what is overdue ends it.
 * KEYS: migration, live, events, queue deadlines. ARGV: id, at, event, maxEvents, event channel, cancel channel, notice, nowMs
 */
export const CANCEL = keptScript(`
  ${TELL}
  ${IS_DECIDED}
  if redis.call('EXISTS', KEYS[1]) == 0 then return {'MISSING'} end
  local h = redis.call('HMGET', KEYS[1], 'cancelRequestedAt', 'pointOfNoReturnAt', 'phase')
  if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then return {'ENDED'} end
  if h[1] then return {'ALREADY'} end
  if h[2] then return {'TOO_LATE', h[2]} end
  if isDecided(h[3]) then return {'ENDED'} end
  redis.call('HSET', KEYS[1], 'cancelRequestedAt', ARGV[2])
  redis.call('ZADD', KEYS[4], 'XX', ARGV[8], ARGV[1])
  tell(KEYS[3], ARGV[5], ARGV[4], ARGV[3], ARGV[7], 0)
  redis.call('PUBLISH', ARGV[6], ARGV[1])
  return {'ACCEPTED'}
`);

/**
 * What is asked for of a migration that takes it still, if that and its limit are what they were when they were read.
 * KEYS: migration, live, changes, bandwidth. ARGV: id, changes before, changes after, bytes per second before, after ('' for none),
 * admission channel
 */
export const CHANGE = keptScript(`
  ${IS_DECIDED}
  if redis.call('EXISTS', KEYS[1]) == 0 then return {'MISSING'} end
  local changes = redis.call('HGET', KEYS[3], ARGV[1]) or ''
  local limit = redis.call('HGET', KEYS[4], ARGV[1]) or ''
  local isNews = ARGV[2] ~= ARGV[3] or ARGV[4] ~= ARGV[5]
  if isNews and changes == ARGV[3] and limit == ARGV[5] then return {'CHANGED'} end -- sent again
  local h = redis.call('HMGET', KEYS[1], 'phase', 'pointOfNoReturnAt')
  if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 or isDecided(h[1]) then return {'ENDED'} end
  if h[2] then return {'TOO_LATE'} end
  if changes ~= ARGV[2] or limit ~= ARGV[4] then return {'CONFLICT'} end
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
  if ARGV[5] == '' then redis.call('HDEL', KEYS[4], ARGV[1]) else redis.call('HSET', KEYS[4], ARGV[1], ARGV[5]) end
  redis.call('PUBLISH', ARGV[6], '')
  return {'CHANGED'}
`);

/** Nothing is built on a log, so it knows of no writes (0). KEYS: migration, log. ARGV: token, 0, maxLines, line… */
export const APPEND_LOG = script(`
  ${FENCE}
  for i = 4, #ARGV do redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], '*', 'line', ARGV[i]) end
  return {'OK'}
`);

/** KEYS: migration. ARGV: token, writes, at. It counts each time it is sent, as a journal entry does. */
export const PASS_POINT_OF_NO_RETURN = keptScript(`
  ${FENCE}
  if redis.call('HEXISTS', KEYS[1], 'pointOfNoReturnAt') == 0 then
    if redis.call('HGET', KEYS[1], 'cancelRequestedAt') then return {'CANCELLED'} end
    redis.call('HSET', KEYS[1], 'pointOfNoReturnAt', ARGV[3])
  end
  return {'OK', redis.call('HINCRBY', KEYS[1], 'writes', 1)}
`);
