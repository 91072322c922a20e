CREATE TABLE reservation (
    id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state            TEXT   NOT NULL,
    reservator_name  TEXT   NOT NULL,
    reservation_date TEXT   NOT NULL,
    phone_number     TEXT   NOT NULL,
    -- Whose it is: the subject of the token that reserved.
    customer_id      TEXT   NOT NULL,
    -- Why diagnosis refused it, where it did.
    refusal          TEXT,
    -- Rises with each change that a client can see.
    version          BIGINT NOT NULL,
    -- How many events this reservation has published.
    events           BIGINT NOT NULL,
    -- A change of date that diagnosis has been asked for and has not answered, as JSON.
    requested_change TEXT,
    -- Counts the changes of date that were asked for.
    change_number    BIGINT NOT NULL,
    -- While diagnosis's answer is not known: when the reconciler takes over, and when it gives up.
    settle_after     BIGINT,
    decide_by        BIGINT,
    -- The request that made it, while that request has no answer yet.
    idempotency_key  TEXT,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL
);
CREATE INDEX reservation_by_customer ON reservation (customer_id, id);
CREATE INDEX reservation_unsettled ON reservation (settle_after) WHERE settle_after IS NOT NULL;
