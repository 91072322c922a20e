-- How far each stream of events has been taken in: a repeated or older event is recognised by its sequence.
CREATE TABLE inbox (
    source      TEXT   NOT NULL,
    message_key TEXT   NOT NULL,
    sequence    BIGINT NOT NULL,
    PRIMARY KEY (source, message_key)
);

-- Messages that could not be processed, with the reason; later ones of the same key wait behind them.
CREATE TABLE dead_letter (
    id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic            TEXT   NOT NULL,
    kafka_partition  BIGINT NOT NULL,
    kafka_offset     BIGINT NOT NULL,
    message_key      TEXT   NOT NULL,
    headers          TEXT   NOT NULL,
    -- Base64: a message that cannot be read may be anything.
    payload          TEXT   NOT NULL,
    reason           TEXT   NOT NULL,
    attempts         BIGINT NOT NULL,
    parked_at        BIGINT NOT NULL
);
CREATE INDEX dead_letter_by_key ON dead_letter (message_key);
