CREATE TABLE ferricorn_session (
    id bytea PRIMARY KEY,
    username text NOT NULL,
    created bigint NOT NULL,
    used bigint NOT NULL,
    ends bigint NOT NULL,
    access_until bigint NOT NULL,
    credential bytea,
    ended bigint,
    reason text
);
CREATE INDEX ferricorn_session_by_user ON ferricorn_session (username);
CREATE INDEX ferricorn_session_by_end ON ferricorn_session (ends);
CREATE TABLE ferricorn_token (
    hash bytea PRIMARY KEY,
    session bytea NOT NULL,
    expires bigint NOT NULL,
    replaced bigint,
    next bytea,
    next_issued bigint,
    next_expires bigint
);
CREATE INDEX ferricorn_token_by_session ON ferricorn_token (session, expires);
CREATE INDEX ferricorn_token_by_expiry ON ferricorn_token (expires);
CREATE TABLE ferricorn_event (
    number bigint PRIMARY KEY,
    session bytea NOT NULL,
    until bigint NOT NULL
);
CREATE TABLE ferricorn_attempt (
    key bytea PRIMARY KEY,
    until_ms bigint NOT NULL
);
CREATE TABLE ferricorn_user (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL UNIQUE,
    password text NOT NULL,
    active boolean NOT NULL,
    created bigint NOT NULL
);
CREATE TABLE ferricorn_version (version bigint NOT NULL);
INSERT INTO ferricorn_version VALUES (1);
