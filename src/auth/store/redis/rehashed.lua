-- ARGV: user, fingerprint of a password, its next one
for _, id in ipairs(redis.call('ZRANGE', key('sessions_of', ARGV[1]), 0, -1)) do
  local name = key('session', id)
  if redis.call('HGET', name, 'credential') == ARGV[2] then redis.call('HSET', name, 'credential', ARGV[3]) end
end
return 1
