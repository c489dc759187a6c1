-- A store of sessions as a web shop keeps them: a few short fields that change, and a text of about a kilobyte, half words, half digits of hashes.
for i = 1, 60000 do
  local items = {}
  for n = 1, 8 do
    local name = redis.sha1hex(i .. ':' .. n)
    items[n] = '{"article":"' .. name .. '","title":"A thing that somebody wants to have","count":' .. n .. ',"currency":"EUR"}'
  end
  redis.call('HSET', 'session:' .. i, 'user', i, 'token', redis.sha1hex('t' .. i), 'seen', 1700000000, 'hits', 0)
  redis.call('SET', 'basket:' .. i, '[' .. table.concat(items, ',') .. ']')
end
return 'filled'
