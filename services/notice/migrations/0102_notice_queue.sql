-- How many messages wait to be sent says nothing about how many will when their channel is down, so no planner may think
-- it knows: of their index only the head is read, and the index of states, which it would take for as good, has the rest.
-- Where the table is large, both are made CONCURRENTLY beforehand.
DROP INDEX notice_due;
DROP INDEX notice_by_state;
CREATE INDEX IF NOT EXISTS notice_queue ON notice (due_at, id) WHERE state = 'PENDING';
CREATE INDEX IF NOT EXISTS notice_settled ON notice (state, id) WHERE state <> 'PENDING';
