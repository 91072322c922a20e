-- One row a reservation. It is also what serialises everything about that reservation: every change takes it first.
CREATE TABLE medical_record (
    id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reservation_id   BIGINT NOT NULL UNIQUE,
    -- When the visit was accepted. Absent: it was refused, or the reservation was cancelled before a visit was
    -- asked for, and this row is the tombstone that refuses a late request.
    held_at          BIGINT,
    -- As it was written, and the places of the clinic that it takes: a day, and an hour of it where one is said.
    reservation_date TEXT,
    visit_day        TEXT,
    visit_hour       TEXT,
    -- The last change of date that was requested or settled.
    change_number    BIGINT NOT NULL DEFAULT 0,
    doctor           TEXT   NOT NULL DEFAULT '',
    treatment        TEXT   NOT NULL DEFAULT '',
    medical_opinion  TEXT   NOT NULL DEFAULT '',
    state            TEXT   NOT NULL CHECK (state IN ('SCHEDULED', 'TREATED', 'CANCELED')),
    -- 1: the reservation's own event has confirmed it.
    confirmed        BIGINT NOT NULL DEFAULT 0,
    -- Why the visit was refused, where it was: a late try of the same request gets the same answer.
    refusal          TEXT,
    customer_id      TEXT,
    -- Events published about this reservation so far.
    events           BIGINT NOT NULL DEFAULT 0,
    version          BIGINT NOT NULL DEFAULT 1,
    updated_at       BIGINT NOT NULL
);
CREATE INDEX medical_record_by_customer ON medical_record (customer_id, id);
CREATE INDEX medical_record_by_day ON medical_record (visit_day) WHERE state <> 'CANCELED';
CREATE INDEX medical_record_by_hour ON medical_record (visit_hour) WHERE state <> 'CANCELED';

-- Dates held beside the current one until the reservation's event says which it is. A reservation may ask for its
-- next change before the event of the last one has arrived, so there can be more than one.
CREATE TABLE requested_change (
    reservation_id BIGINT NOT NULL,
    change_number  BIGINT NOT NULL,
    requested_date TEXT   NOT NULL,
    visit_day      TEXT,
    visit_hour     TEXT,
    PRIMARY KEY (reservation_id, change_number)
);
CREATE INDEX requested_change_by_day ON requested_change (visit_day);
CREATE INDEX requested_change_by_hour ON requested_change (visit_hour);

-- A row for each day and hour whose places are counted; who counts holds it until his commit.
CREATE TABLE slot (
    name TEXT NOT NULL PRIMARY KEY
);
