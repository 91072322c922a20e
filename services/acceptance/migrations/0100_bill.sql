-- One row for each treated reservation, or for one that was cancelled before its treatment was heard of.
CREATE TABLE bill (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- One bill for each treatment, however often the treatment is heard of.
    reservation_id BIGINT NOT NULL UNIQUE,
    customer_id    TEXT,
    treatment      TEXT,
    -- In won.
    fee            BIGINT NOT NULL,
    -- BILLED, PAID, VOIDED, REFUNDED; or NEVER_BILLED, which keeps a late treatment from being billed.
    state          TEXT   NOT NULL,
    method         TEXT,
    -- Rises with each change; each change publishes one event, so it counts these as well.
    version        BIGINT NOT NULL,
    billed_at      BIGINT NOT NULL,
    paid_at        BIGINT,
    canceled_at    BIGINT
);
CREATE INDEX bill_by_customer ON bill (customer_id);
CREATE INDEX bill_by_state ON bill (state);
