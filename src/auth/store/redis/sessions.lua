-- ARGV: now, names of sessions
local rows, now = {}, tonumber(ARGV[1])
for number = 2, #ARGV do
  local session = read_session(ARGV[number])
  if session and not session.ended and session.ends > now and session.token_until > now then
    rows[#rows + 1] = session.row
  end
end
return rows
