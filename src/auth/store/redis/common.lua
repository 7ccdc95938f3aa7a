-- What all scripts share; it stands before each of them. KEYS[1] is what all names of keys begin with.
--
-- session:ID           user, created, used, ends, access_until, credential, token_until; ended and reason once it has
-- token:HASH           session, expires; replaced, next, next_issued, next_expires once it has a successor
-- sessions             names of sessions that have not ended, by their end
-- sessions_of:USER     the same of one user
-- events               "SESSION:UNTIL" by number
-- event_number         the number of the last event
-- attempt:KEY          until when failures have taken up time, in milliseconds
-- user:NAME            id, password, active, created
-- user_name:ID         the name
-- users                all names
-- user_number          the last id
-- version              of all of this; programs that keep another one leave it alone
--
-- Times are Unix seconds where nothing else is said. Whoever calls says what time it is.

-- What has expired is kept for this long, for tokens that are taken with leeway.
local SLACK = 600

-- No token is taken of sessions whose end is before this.
local function over(now)
  return string.format('%.0f', tonumber(now) - SLACK)
end

local function key(...)
  return KEYS[1] .. table.concat({...}, ':')
end

-- Empty for what is not there: a nil would end the array that is returned.
local function text(value)
  return value or ''
end

local function read_session(id)
  local row = redis.call('HMGET', key('session', id),
    'user', 'created', 'used', 'ends', 'access_until', 'credential', 'token_until', 'ended')
  if not row[1] then return nil end
  return {
    id = id, user = row[1], ends = tonumber(row[4]), access_until = tonumber(row[5]),
    token_until = tonumber(row[7] or '0'), ended = row[8],
    row = {id, row[1], row[2], row[3], row[4], row[5], text(row[6])},
  }
end

-- A token with its session, or nil.
local function find(hash)
  local row = redis.call('HMGET', key('token', hash),
    'session', 'expires', 'replaced', 'next', 'next_issued', 'next_expires')
  if not row[1] then return nil end
  local session = read_session(row[1])
  if not session then return nil end
  return {
    session = session, expires = tonumber(row[2]), replaced = row[3] and tonumber(row[3]),
    next = {text(row[4]), text(row[5]), text(row[6])},
  }
end

-- A session has not ended as long as a refresh token is good, or access tokens are taken.
local function is_alive(session, now)
  return not session.ended and (session.access_until > now or session.ends > now and session.token_until > now)
end

local function is_over(found, now)
  return found.session.ended or found.expires <= now or found.session.ends <= now
end

-- Its own clock alone tells a server how long something is to be kept; ours may be another.
local function expire(name, at, now)
  redis.call('EXPIRE', name, string.format('%.0f', math.max(tonumber(at) - tonumber(now), 0) + SLACK))
end

local function insert_session(id, user, created, used, ends, access_until, credential)
  local name, mine = key('session', id), key('sessions_of', user)
  redis.call('HSET', name, 'user', user, 'created', created, 'used', used, 'ends', ends,
    'access_until', access_until, 'credential', credential)
  expire(name, math.max(tonumber(ends), tonumber(access_until)), created)
  redis.call('ZADD', key('sessions'), ends, id)
  redis.call('ZREMRANGEBYSCORE', mine, '-inf', over(created))
  redis.call('ZADD', mine, ends, id)
  local last = redis.call('ZRANGE', mine, -1, -1, 'WITHSCORES')
  expire(mine, last[2], created)
end

local function insert_token(hash, session, expires, now)
  local name = key('token', hash)
  redis.call('HSET', name, 'session', session, 'expires', expires)
  expire(name, expires, now)
  local mine = key('session', session)
  local known = redis.call('HMGET', mine, 'token_until', 'ends', 'access_until')
  if not known[1] or tonumber(known[1]) < tonumber(expires) then
    redis.call('HSET', mine, 'token_until', expires)
  end
  -- One of simplejwt may outlive the session that it has begun, and begins no other.
  if tonumber(known[2]) < tonumber(expires) then
    expire(mine, math.max(tonumber(expires), tonumber(known[3])), now)
  end
end

local function touch(session, now, access_until)
  redis.call('HSET', key('session', session.id), 'used', now)
  if access_until > session.access_until then
    redis.call('HSET', key('session', session.id), 'access_until', string.format('%.0f', access_until))
    session.access_until = access_until
  end
end

-- Numbers follow the clock, so that they go on rising when the server has lost what it had.
local function next_event_number()
  local time = redis.call('TIME')
  local number = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local last = tonumber(redis.call('GET', key('event_number')) or '0')
  if number <= last then number = last + 1 end
  number = string.format('%.0f', number)
  redis.call('SET', key('event_number'), number)
  return number
end

-- Ends a session; its access tokens are refused everywhere by the event.
local function end_session(session, reason, now)
  if not session.ended then
    redis.call('HSET', key('session', session.id), 'ended', now, 'reason', reason)
    redis.call('ZREM', key('sessions'), session.id)
    redis.call('ZREM', key('sessions_of', session.user), session.id)
  end
  local member = session.id .. ':' .. string.format('%.0f', session.access_until)
  redis.call('ZADD', key('events'), next_event_number(), member)
end

