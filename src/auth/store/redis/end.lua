-- ARGV: user, session or '' for all, reason, now
local ended, now = 0, tonumber(ARGV[4])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('sessions_of', ARGV[1]), over(now), '+inf')) do
  local session = (ARGV[2] == '' or ARGV[2] == id) and read_session(id)
  if session and is_alive(session, now) then
    end_session(session, ARGV[3], ARGV[4])
    ended = ended + 1
  end
end
return ended
