/**
 * The Lua of admission. Invariants, whoever calls and however often:
 *
 * - a migration waits, or holds its places, or neither; never both;
 * - what is counted as taken is exactly what the holders' lanes name: both change in one step;
 * - nothing is started past a limit as it stands at that moment, or while the queue is paused; only one that asks for more addresses
 *   than there are is started for that very reason: its run refuses it, where waiting would have no end;
 * - of those that may start, the first in the order does; one that may not holds up its own lane only, and those that would
 *   take from it the pair of hosts, or the addresses, that are all it lacks;
 *
 * Places belong to the migration and not to its run: they outlive a worker that dies, because what it had under way is
 * still there, and go in the same step that takes the migration off the books.
 */
import { keys } from '../redis/keys.ts';
import { script } from '../redis/script.ts';

/** For scripts of the record store: KEYS[first…] are `waitingKeys`. Defines enqueue(id, order, entry) and dequeue(id). */
export const waitingKeys = [keys.waiting, keys.waitingLanes, keys.waitingEntries];
export const waitingLua = (first: number): string => `
  local function enqueue(id, order, entry)
    if redis.call('HSETNX', KEYS[${first + 2}], id, entry) == 0 then return end
    redis.call('ZADD', KEYS[${first}], order, id)
    redis.call('ZADD', KEYS[${first + 1}], 0, entry)
  end
  local function dequeue(id)
    local entry = redis.call('HGET', KEYS[${first + 2}], id)
    if not entry then return end
    redis.call('HDEL', KEYS[${first + 2}], id)
    redis.call('ZREM', KEYS[${first}], id)
    redis.call('ZREM', KEYS[${first + 1}], entry)
  end
`;

/** KEYS[first…] are `placesKeys`. Defines takePlaces(id, lane), changePlaces(id, lane) and givePlacesBack(id). */
export const placesKeys = [keys.places, keys.placesTaken];
export const placesLua = (first: number): string => `
  local function count(lane, by)
    for group in string.gmatch('total ' .. lane, '%S+') do
      if redis.call('HINCRBY', KEYS[${first + 1}], group, by) == 0 then redis.call('HDEL', KEYS[${first + 1}], group) end
    end
  end
  local function takePlaces(id, lane)
    if redis.call('HSETNX', KEYS[${first}], id, lane) == 1 then count(lane, 1) end
  end
  local function givePlacesBack(id)
    local lane = redis.call('HGET', KEYS[${first}], id)
    if not lane then return end
    redis.call('HDEL', KEYS[${first}], id)
    count(lane, -1)
  end
  local function changePlaces(id, lane)
    if redis.call('HGET', KEYS[${first}], id) == lane then return end
    givePlacesBack(id)
    takePlaces(id, lane)
  end
`;

/**
 * Of lanes that name a pair of hosts (see groups.ts). Defines pairIn(lane), which answers the pair and whether it is shared, and
 * excludes(lane, other): whether the one cannot have it beside the other.
 */
export const pairsLua = `
  local function pairIn(lane)
    if not string.find(lane, 'host-pair', 1, true) then return nil, false end
    local mode, pair = string.match(' ' .. lane, ' host%-pair(%-?%a*):(%S+)')
    return pair, mode == '-direct'
  end
  local function excludes(lane, other)
    local pair, shared = pairIn(lane)
    local same, alsoShared = pairIn(other)
    return pair ~= nil and pair == same and not (shared and alsoShared)
  end
`;

/**
 * Of lanes that name addresses of a gateway machine (see groups.ts). Defines addressesIn(lane), which answers the group and how many of it;
 * wantsToo(lane, other): whether both take of the same ones; and waitsInVain(lane, limit): whether it asks for more than there are.
 */
export const addressesLua = `
  local function addressesIn(lane)
    local group, count = nil, 0
    if not string.find(lane, 'gateway-address:', 1, true) then return group, count end
    for name in string.gmatch(' ' .. lane, ' (gateway%-address:%S+)') do
      group, count = name, count + 1
    end
    return group, count
  end
  local function wantsToo(lane, other)
    local group = addressesIn(lane)
    return group ~= nil and group == addressesIn(other)
  end
  local function waitsInVain(lane, limit)
    local _, count = addressesIn(lane)
    return count > tonumber(limit)
  end
`;

/**
 * KEYS[key] are the lanes of the queue. Defines headOf(entry): what it says; firstFrom(from): the first one from there on; and eachHead(see),
 * lane by lane, each the first entry and its lane: some entries at once, because most lanes of a queue with many of them are short. Where
 * `see` answers a text, it goes on from there.
 */
export const headsLua = (key: number): string => `
  local function entriesFrom(from, count) return redis.call('ZRANGEBYLEX', KEYS[${key}], from, '+', 'LIMIT', 0, count) end
  local function laneIn(entry)
    local bar = string.find(entry, '|', 1, true)
    return string.sub(entry, 1, bar - 1), bar
  end
  local function headOf(entry)
    local lane, bar = laneIn(entry)
    local order, id = string.match(entry, '^(%d+)|(.+)$', bar + 1)
    return { lane = lane, rank = order .. id, id = id, entry = entry }
  end
  local function firstFrom(from)
    local entry = entriesFrom(from, 1)[1]
    return entry and headOf(entry)
  end
  local function eachHead(see)
    local lane, entries = nil, entriesFrom('-', 16)
    while #entries > 0 do
      local from
      for _, entry in ipairs(entries) do
        local itsLane = laneIn(entry)
        if itsLane ~= lane then
          lane = itsLane
          from = see(entry, lane)
          if from then break end
        end
      end
      entries = entriesFrom(from or '(' .. lane .. '|\\255', 16)
    end
  end
`;

/**
 * Starts what may start, in order. Lanes are walked head by head: a lane whose head cannot start is not looked into, nor is any lane of a
 * project that has no place left, however many it has; they stand together (groups.ts).
 * KEYS: waitingKeys, placesKeys, limits, paused-at, kept pairs. ARGV: how many at most
 * @returns the ids, each of which holds its places now
 */
export const ADMIT = script(`
  ${waitingLua(1)} ${placesLua(4)} ${pairsLua} ${addressesLua} ${headsLua(2)}
  local room = tonumber(ARGV[1])
  if room <= 0 or redis.call('EXISTS', KEYS[7]) == 1 then return {} end
  local function pairsOf(key)
    local flat, map = redis.call('HGETALL', key), {}
    for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
    return map
  end
  local taken, limits, kept = pairsOf(KEYS[5]), pairsOf(KEYS[6]), pairsOf(KEYS[8])
  local function takenIn(group) return tonumber(taken[group] or '0') end
  local function isFull(group)
    local limit = limits[group]
    return limit ~= nil and takenIn(group) >= tonumber(limit)
  end
  local function hasRoom(lane)
    local addresses = addressesIn(lane)
    for group in string.gmatch(lane, '%S+') do
      if group ~= addresses and isFull(group) then return false end
    end
    return true
  end
  local function isPairFree(lane)
    local pair, shared = pairIn(lane)
    if not pair then return true end
    if kept[pair] or takenIn('host-pair:' .. pair) > 0 then return false end
    return shared or takenIn('host-pair-direct:' .. pair) == 0
  end
  local function hasAddresses(lane)
    local group, count = addressesIn(lane)
    if group == nil or limits[group] == nil or waitsInVain(lane, limits[group]) then return true end
    return takenIn(group) + count <= tonumber(limits[group])
  end
  if isFull('total') then return {} end
  local heads, lackingPair, lackingAddresses = {}, {}, {}
  local function sort(head)
    if not isPairFree(head.lane) then lackingPair[#lackingPair + 1] = head
    elseif not hasAddresses(head.lane) then lackingAddresses[#lackingAddresses + 1] = head
    else return true end
  end
  local isOpen = {} -- by what a lane names besides its project: the lanes of many projects lead over the same links
  eachHead(function(entry, lane)
    local project, places = string.match(lane, '^(project:%S+) (.+)')
    if project and isFull(project) then return '(' .. project .. '!' end
    places = places or lane
    if isOpen[places] == nil then isOpen[places] = hasRoom(places) end
    if not isOpen[places] then return end
    local head = headOf(entry)
    if sort(head) then heads[#heads + 1] = head end
  end)
  local function passes(head, others, contend)
    for _, other in ipairs(others) do
      if other.rank < head.rank and contend(head.lane, other.lane) and hasRoom(other.lane) then return true end
    end
    return false
  end
  table.sort(heads, function(one, other) return one.rank < other.rank end)
  local at, behind = 1, {}
  -- The first in the order: of these heads, and of those that came to the head of their lane meanwhile.
  local function takeFirst()
    local best
    for i, head in ipairs(behind) do
      if not best or head.rank < behind[best].rank then best = i end
    end
    if best and (not heads[at] or behind[best].rank < heads[at].rank) then return table.remove(behind, best) end
    at = at + 1
    return heads[at - 1]
  end
  local started = {}
  while #started < room and not isFull('total') do
    local now = takeFirst()
    if not now then break end
    -- Places only get fewer here: the lane of one that is not ready is done.
    local isReady = hasRoom(now.lane) and sort(now)
    if isReady and not passes(now, lackingPair, excludes) and not passes(now, lackingAddresses, wantsToo) then
      local following = firstFrom('(' .. now.entry)
      dequeue(now.id)
      takePlaces(now.id, now.lane)
      for group in string.gmatch('total ' .. now.lane, '%S+') do taken[group] = takenIn(group) + 1 end
      started[#started + 1] = now.id
      if following and following.lane == now.lane then behind[#behind + 1] = following end
    end
  end
  return started
`);

/** The place of each in the order, from 0; none for what does not wait. In one command: see READ_RECORDS. KEYS: waiting. ARGV: ids */
export const RANKS = script(`
  local ranks = {}
  for i, id in ipairs(ARGV) do ranks[i] = redis.call('ZRANK', KEYS[1], id) end
  return ranks
`);

/** What RESTORE is told of one migration: its id, its lane, its order, its lane entry, its need ('' for none). */
export type RestoreArgs = readonly [id: string, lane: string, order: number, entry: string, need: string];

/**
 * Puts live migrations where their records say that they belong: they wait, in the lane that is theirs now, or, while a run has them, hold
 * places. Whose need has changed since its lane was made out is where it belongs: that change put it there. A drill whose copy runs
 * belongs nowhere.
 * KEYS: waitingKeys, placesKeys, live, running, and each migration. ARGV: of each in turn its RestoreArgs
 */
export const RESTORE = script(`
  ${waitingLua(1)} ${placesLua(4)}
  local function restore(migration, id, lane, order, entry, need)
    if redis.call('SISMEMBER', KEYS[6], id) == 0 then return end
    if (redis.call('HGET', migration, 'need') or '') ~= need then return end
    if redis.call('HGET', migration, 'phase') == 'kept' then return end
    if redis.call('SISMEMBER', KEYS[7], id) == 1 then
      dequeue(id)
      changePlaces(id, lane)
    elseif redis.call('HEXISTS', KEYS[4], id) == 0 then
      if redis.call('HGET', KEYS[3], id) ~= entry then dequeue(id) end
      enqueue(id, order, entry)
    end
  end
  for i = 8, #KEYS do
    local first = 5 * (i - 8) + 1
    restore(KEYS[i], unpack(ARGV, first, first + 4))
  end
  return 1
`);

/**
 * Takes everything away from what is not live, and counts anew. KEYS: waitingKeys, placesKeys, live, kept pairs, incomplete
 */
export const REPAIR = script(`
  ${waitingLua(1)} ${placesLua(4)}
  for _, id in ipairs(redis.call('HKEYS', KEYS[3])) do
    if redis.call('SISMEMBER', KEYS[6], id) == 0 then dequeue(id) end
  end
  for _, id in ipairs(redis.call('HKEYS', KEYS[4])) do
    if redis.call('SISMEMBER', KEYS[6], id) == 0 then givePlacesBack(id) end
  end
  for _, pair in ipairs(redis.call('HKEYS', KEYS[7])) do
    if redis.call('SISMEMBER', KEYS[8], redis.call('HGET', KEYS[7], pair)) == 0 then redis.call('HDEL', KEYS[7], pair) end
  end
  redis.call('DEL', KEYS[5])
  for _, lane in ipairs(redis.call('HVALS', KEYS[4])) do count(lane, 1) end
  return 1
`);
