-- ARGV: now in milliseconds; then key and step in milliseconds of each
for number = 2, #ARGV, 2 do
  local name = key('attempt', ARGV[number])
  local now, step = tonumber(ARGV[1]), tonumber(ARGV[number + 1])
  local taken = math.max(tonumber(redis.call('GET', name) or '0'), now) + step
  redis.call('SET', name, string.format('%.0f', taken), 'PX', string.format('%.0f', taken - now + 1))
end
return 1
