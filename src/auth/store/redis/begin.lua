-- ARGV: a session (7), its first token, when that expires
insert_session(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
insert_token(ARGV[8], ARGV[1], ARGV[9], ARGV[3])
return 1
