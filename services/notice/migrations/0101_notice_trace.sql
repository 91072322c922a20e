-- The trace of the event that a notice is about: its sending, later and by another task, belongs to it.
ALTER TABLE notice ADD COLUMN traceparent TEXT;
