-- ARGV: "session" or "token", its name. Returns the session, or nothing.
local id = ARGV[2]
if ARGV[1] == 'token' then id = redis.call('HGET', key('token', ARGV[2]), 'session') end
local session = id and read_session(id)
return session and {session.row} or {}
