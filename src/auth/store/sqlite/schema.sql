CREATE TABLE session (
    id BLOB PRIMARY KEY,
    user TEXT NOT NULL,
    created INTEGER NOT NULL,
    used INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    access_until INTEGER NOT NULL,
    credential BLOB,
    ended INTEGER,
    reason TEXT
) WITHOUT ROWID;
CREATE INDEX session_by_user ON session (user);
CREATE INDEX session_by_end ON session (ends);
CREATE TABLE token (
    hash BLOB PRIMARY KEY,
    session BLOB NOT NULL,
    expires INTEGER NOT NULL,
    replaced INTEGER,
    next BLOB,
    next_issued INTEGER,
    next_expires INTEGER
) WITHOUT ROWID;
CREATE INDEX token_by_session ON token (session, expires);
CREATE INDEX token_by_expiry ON token (expires);
CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    session BLOB NOT NULL,
    until INTEGER NOT NULL
);
CREATE TABLE attempt (
    key BLOB PRIMARY KEY,
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE user (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,
    active INTEGER NOT NULL,
    created INTEGER NOT NULL
);
