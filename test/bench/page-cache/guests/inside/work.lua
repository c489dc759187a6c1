-- Fifty requests of users, some of whom come often: counters and times change in each, a token in some, a whole basket in few.
math.randomseed(tonumber(ARGV[1]))
for _ = 1, 50 do
  local i = 1 + math.floor(60000 * math.random() ^ 3)
  redis.call('HINCRBY', 'session:' .. i, 'hits', 1)
  redis.call('HSET', 'session:' .. i, 'seen', 1700000000 + tonumber(ARGV[1]))
  local what = math.random()
  if what < 0.2 then redis.call('HSET', 'session:' .. i, 'token', redis.sha1hex(ARGV[1] .. ':' .. i)) end
  if what < 0.04 then
    local items = {}
    for n = 1, 8 do
      local name = redis.sha1hex(ARGV[1] .. ':' .. i .. ':' .. n)
      items[n] = '{"article":"' .. name .. '","title":"A thing that somebody wants to have","count":' .. n .. ',"currency":"EUR"}'
    end
    redis.call('SET', 'basket:' .. i, '[' .. table.concat(items, ',') .. ']')
  end
end
return 50
