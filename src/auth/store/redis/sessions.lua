-- ARGV: now, names of sessions
local rows, now = {}, tonumber(ARGV[1])
for number = 2, #ARGV do
  local session = read_session(ARGV[number])
  if session and is_alive(session, now) then
    rows[#rows + 1] = session.row
  end
end
return rows
