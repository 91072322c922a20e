-- Events that are committed but not yet acknowledged by the broker; the relay deletes what is.
CREATE TABLE outbox (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_type   TEXT   NOT NULL,
    message_key  TEXT   NOT NULL,
    -- Counts the events of one key from this service, without a gap.
    sequence     BIGINT NOT NULL,
    payload      TEXT   NOT NULL,
    traceparent  TEXT,
    created_at   BIGINT NOT NULL
);

-- Which replica's relay publishes; the epoch rises with each change of hands.
CREATE TABLE relay_lease (
    id         BIGINT NOT NULL PRIMARY KEY,
    holder     TEXT   NOT NULL,
    epoch      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
INSERT INTO relay_lease (id, holder, epoch, expires_at) VALUES (1, '', 0, 0);
