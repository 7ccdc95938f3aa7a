-- ARGV: token, now, when the access token expires, leeway, grace, reuse; successor: id or '', its hash, issued, expires;
-- to adopt: a session (7) or '', when the token expires
local hash, now = ARGV[1], tonumber(ARGV[2])
local found = find(hash)
if not found and ARGV[11] ~= '' then
  insert_session(ARGV[11], ARGV[12], ARGV[13], ARGV[14], ARGV[15], ARGV[16], ARGV[17])
  insert_token(hash, ARGV[11], ARGV[18], now)
  found = find(hash)
end
if not found then return {'unknown'} end
if is_over(found, now) then return {'ended'} end
local session = found.session
local access_until = math.min(tonumber(ARGV[3]), session.ends) + tonumber(ARGV[4])
if found.replaced then
  local grace = tonumber(ARGV[5])
  -- By this very exchange, which is asked for once more since its answer was lost.
  local is_by_us = ARGV[7] ~= '' and ARGV[7] == found.next[1]
  if is_by_us or (grace > 0 and now - found.replaced <= grace) then
    touch(session, now, access_until)
    return {'again', session.row, found.next}
  end
  if ARGV[6] == 'revoke_family' then end_session(session, 'reuse', now) end
  return {'reused', session.row}
end
touch(session, now, access_until)
if ARGV[7] == '' then return {'good', session.row} end
local expires = string.format('%.0f', math.min(tonumber(ARGV[10]), session.ends))
redis.call('HSET', key('token', hash), 'replaced', now, 'next', ARGV[7], 'next_issued', ARGV[9],
  'next_expires', expires)
insert_token(ARGV[8], session.id, expires, now)
return {'good', session.row, {ARGV[7], ARGV[9], expires}}
