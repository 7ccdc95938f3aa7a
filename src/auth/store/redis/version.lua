-- ARGV: the version that the caller keeps. Returns the one that is kept.
local kept = redis.call('GET', key('version'))
if not kept then
  kept = ARGV[1]
  redis.call('SET', key('version'), kept)
end
return tonumber(kept)
