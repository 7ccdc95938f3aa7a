-- ARGV: token, now; to adopt: a session (7) or '', when the token expires
local found = find(ARGV[1])
if not found and ARGV[3] ~= '' then
  insert_session(ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9])
  insert_token(ARGV[1], ARGV[3], ARGV[10], ARGV[2])
  found = find(ARGV[1])
end
if not found then return 'unknown' end
if found.replaced or is_over(found, tonumber(ARGV[2])) then return 'ended' end
end_session(found.session, 'logout', ARGV[2])
return 'live'
