-- Telling somebody what becomes of their data may be impossible for a while (no token, their data restricted): it is tried again. Serves the look
-- for people who wrote and were not told yet, in which nobody stands before others because they cannot be told now.
SET LOCAL lock_timeout = '2s';

-- What is there was checked before, and holds: the new conditions are wider.
ALTER TABLE notice
    DROP CONSTRAINT notice_state_check,
    DROP CONSTRAINT notice_check,
    ADD COLUMN tries smallint NOT NULL DEFAULT 0,   -- how often it was put off
    ADD COLUMN again_at timestamptz,                -- not before this
    ADD CONSTRAINT notice_state_check CHECK (state IN ('sent', 'refused', 'put_off')) NOT VALID,
    ADD CONSTRAINT notice_check CHECK ((message_id IS NULL) = (state <> 'sent')) NOT VALID,
    ADD CONSTRAINT notice_put_off_check CHECK ((again_at IS NULL) = (state <> 'put_off')) NOT VALID;
