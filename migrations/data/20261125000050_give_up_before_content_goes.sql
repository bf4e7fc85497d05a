-- A delivery whose content goes before it could be tried again is given up with a word of its own.
SET LOCAL lock_timeout = '2s';

ALTER TABLE delivery_dead
    DROP CONSTRAINT delivery_dead_reason_check,
    ADD CONSTRAINT delivery_dead_reason_check
        CHECK (reason IN ('exhausted', 'payload_gone', 'retention', 'unreadable')) NOT VALID;
