-- ARGV: name, what is changed, the value, now, the value that it must have had or ''
local name = key('user', ARGV[1])
local exists = redis.call('EXISTS', name) == 1
if ARGV[2] ~= 'add' then
  if ARGV[5] ~= '' and redis.call('HGET', name, ARGV[2]) ~= ARGV[5] then return 0 end
  if exists then redis.call('HSET', name, ARGV[2], ARGV[3]) end
  return exists and 1 or 0
end
if exists then return 0 end
local id = redis.call('INCR', key('user_number'))
redis.call('HSET', name, 'id', id, 'password', ARGV[3], 'active', '1', 'created', ARGV[4])
redis.call('SET', key('user_name', id), ARGV[1])
redis.call('ZADD', key('users'), 0, ARGV[1])
return 1
