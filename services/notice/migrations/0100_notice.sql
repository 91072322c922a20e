-- Whom to tell about a reservation, as its events say; empty until one comes that says it.
CREATE TABLE contact (
    reservation_id   BIGINT NOT NULL PRIMARY KEY,
    customer_id      TEXT,
    name             TEXT,
    phone            TEXT,
    reservation_date TEXT
);

CREATE TABLE notice (
    id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reservation_id   BIGINT NOT NULL,
    kind             TEXT   NOT NULL,
    -- Which event it is about: its publisher and count, or its partition and offset where it brings none.
    source           TEXT   NOT NULL,
    sequence         BIGINT NOT NULL,
    customer_id      TEXT,
    name             TEXT,
    phone            TEXT,
    reservation_date TEXT,
    -- With {name} and {date} still open: they may come later, and not everyone is shown the name.
    text             TEXT   NOT NULL,
    -- WAITING for its recipient, PENDING, SENT, DELIVERED or FAILED.
    state            TEXT   NOT NULL,
    attempts         BIGINT NOT NULL,
    -- When it is to be sent; pushed ahead while someone is sending it.
    due_at           BIGINT NOT NULL,
    -- Why it did not arrive, the last time.
    failure          TEXT,
    created_at       BIGINT NOT NULL,
    sent_at          BIGINT,
    -- One message for each change of state, however often it is heard of.
    UNIQUE (reservation_id, kind, source, sequence)
);
CREATE INDEX notice_due ON notice (due_at) WHERE state = 'PENDING';
CREATE INDEX notice_waiting ON notice (created_at) WHERE state = 'WAITING';
CREATE INDEX notice_by_customer ON notice (customer_id);
CREATE INDEX notice_by_state ON notice (state);
