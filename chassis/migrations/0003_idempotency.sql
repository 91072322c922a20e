-- The answer to each request that came with an Idempotency-Key; no status yet: it is still being worked on.
CREATE TABLE idempotency (
    caller      TEXT   NOT NULL,
    request_key TEXT   NOT NULL,
    fingerprint TEXT   NOT NULL,
    status      BIGINT,
    headers     TEXT,
    body        TEXT,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (caller, request_key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);
