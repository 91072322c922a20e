-- The current state of each reservation, folded from the events of all services.
CREATE TABLE reservation_stats (
    reservation_id   BIGINT NOT NULL PRIMARY KEY,
    -- Counts the events folded in.
    version          BIGINT NOT NULL,
    customer_id      TEXT,
    reservator_name  TEXT,
    phone_number     TEXT,
    -- The same number however it is written, for the filter.
    phone_digits     TEXT,
    reservation_date TEXT,
    -- The date as yyyyMMddHHmm, for the filters and for sorting; a month counts as its first day.
    visit_at         BIGINT,
    doctor           TEXT,
    fee              BIGINT,
    -- What each publisher has said last, and the furthest of it, which is the reservation's state.
    reservation      TEXT,
    treatment        TEXT,
    payment          TEXT,
    state            TEXT,
    last_event_at    BIGINT
);
CREATE INDEX reservation_stats_by_customer ON reservation_stats (customer_id, reservation_id);
CREATE INDEX reservation_stats_by_state ON reservation_stats (state, reservation_id);
CREATE INDEX reservation_stats_by_name ON reservation_stats (reservator_name, reservation_id);
CREATE INDEX reservation_stats_by_phone ON reservation_stats (phone_digits, reservation_id);
CREATE INDEX reservation_stats_by_visit ON reservation_stats (visit_at, reservation_id);
CREATE INDEX reservation_stats_by_last_event ON reservation_stats (last_event_at, reservation_id);

-- What happened to each reservation, in the order in which it was taken in.
CREATE TABLE reservation_history (
    reservation_id   BIGINT NOT NULL,
    -- The row's version with this event.
    version          BIGINT NOT NULL,
    event_type       TEXT   NOT NULL,
    happened_at      BIGINT,
    reservation_date TEXT,
    doctor           TEXT,
    fee              BIGINT,
    PRIMARY KEY (reservation_id, version)
);

-- How many rows are in each state, so that a page's total needs no counting. One row a partition of the
-- topic: consumers of different partitions do not wait for each other. Only the sum means anything.
CREATE TABLE reservation_count (
    state           TEXT   NOT NULL,
    kafka_partition BIGINT NOT NULL,
    total           BIGINT NOT NULL,
    PRIMARY KEY (state, kafka_partition)
);

-- Has a row while the view is being rebuilt; what is there until then is not the whole.
CREATE TABLE rebuild (
    id       BIGINT NOT NULL PRIMARY KEY,
    began_at BIGINT NOT NULL
);
