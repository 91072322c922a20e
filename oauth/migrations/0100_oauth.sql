-- The keys that tokens are signed with, oldest first by generation. A new one begins to sign at active_from,
-- some time after it was published; the number keeps two replicas from making the same step twice.
CREATE TABLE signing_keys (
    kid            TEXT   NOT NULL PRIMARY KEY,
    generation     BIGINT NOT NULL UNIQUE,
    private_key    TEXT   NOT NULL,
    active_from    BIGINT NOT NULL,
    -- The longest life of a token signed with it, in milliseconds.
    token_lifetime BIGINT NOT NULL
);

-- One login, and every refresh token that came of it.
CREATE TABLE refresh_families (
    id         TEXT   NOT NULL PRIMARY KEY,
    client_id  TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    scope      TEXT   NOT NULL,
    -- The digest of the password hash at login: a changed password ends the login.
    credential TEXT   NOT NULL,
    revoked_at BIGINT
);

-- Refresh tokens by their SHA-256. A used one keeps the salt that makes its one successor.
CREATE TABLE refresh_tokens (
    token_hash     TEXT   NOT NULL PRIMARY KEY,
    family         TEXT   NOT NULL REFERENCES refresh_families (id),
    expires_at     BIGINT NOT NULL,
    used_at        BIGINT,
    successor_salt TEXT
);
CREATE INDEX refresh_tokens_by_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);

-- Wrong passwords of late: an account has as many slots as guesses. The account is a digest of the name that
-- was typed, because people type passwords there too.
CREATE TABLE guesses (
    account TEXT   NOT NULL,
    slot    BIGINT NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (account, slot)
);
CREATE INDEX guesses_by_age ON guesses (made_at);
