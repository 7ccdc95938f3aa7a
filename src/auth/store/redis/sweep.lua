-- ARGV: now, at most so many of each kind. All else expires by itself.
local swept, now = 0, tonumber(ARGV[1])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('sessions'), '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  swept = swept + redis.call('ZREM', key('sessions'), id)
end
for _, member in ipairs(redis.call('ZRANGE', key('events'), 0, tonumber(ARGV[2]) - 1)) do
  if tonumber(string.match(member, ':(%d+)$')) <= now then
    swept = swept + redis.call('ZREM', key('events'), member)
  end
end
return swept
