-- ARGV: token, now, access_until, grace, reuse; successor: id or '', its hash, issued, expires;
-- to adopt: a session (7) or '', when the token expires
local hash, now, access_until = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local found = find(hash)
if not found and ARGV[10] ~= '' then
  insert_session(ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14], ARGV[15], ARGV[16])
  insert_token(hash, ARGV[10], ARGV[17], now)
  found = find(hash)
end
if not found then return {'unknown'} end
if is_over(found, now) then return {'ended'} end
local session = found.session
if found.replaced then
  local grace = tonumber(ARGV[4])
  -- By this very exchange, which is asked for once more since its answer was lost.
  local is_by_us = ARGV[6] ~= '' and ARGV[6] == found.next[1]
  if is_by_us or (grace > 0 and now - found.replaced <= grace) then
    touch(session, now, access_until)
    return {'again', session.row, found.next}
  end
  if ARGV[5] == 'revoke_family' then end_session(session, 'reuse', now) end
  return {'reused', session.row}
end
touch(session, now, access_until)
if ARGV[6] == '' then return {'good', session.row} end
local expires = string.format('%.0f', math.min(tonumber(ARGV[9]), session.ends))
redis.call('HSET', key('token', hash), 'replaced', now, 'next', ARGV[6], 'next_issued', ARGV[8],
  'next_expires', expires)
insert_token(ARGV[7], session.id, expires, now)
return {'good', session.row, {ARGV[6], ARGV[8], expires}}
