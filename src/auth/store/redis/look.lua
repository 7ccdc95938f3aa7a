-- ARGV: token, now
local found = find(ARGV[1])
if not found then return 'unknown' end
if found.replaced or is_over(found, tonumber(ARGV[2])) then return 'ended' end
return 'live'
