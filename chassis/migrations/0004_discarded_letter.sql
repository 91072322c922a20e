-- Parked messages that someone gave up, and why; without their content, which may be personal.
CREATE TABLE discarded_letter (
    id              BIGINT NOT NULL PRIMARY KEY,
    topic           TEXT   NOT NULL,
    kafka_partition BIGINT NOT NULL,
    kafka_offset    BIGINT NOT NULL,
    message_key     TEXT   NOT NULL,
    reason          TEXT   NOT NULL,
    discarded_at    BIGINT NOT NULL
);
