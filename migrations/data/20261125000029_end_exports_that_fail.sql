-- An archive that can never be made (for a key that is none) ends as failed, and is not tried for ever. Serves /v1/privacy/exports.
SET LOCAL lock_timeout = '2s';

-- What is there was checked before, and holds: the new conditions are wider. An export that failed was never ready, and was over at `expires_at`.
ALTER TABLE export
    DROP CONSTRAINT export_state_check,
    DROP CONSTRAINT export_check,
    DROP CONSTRAINT export_check1,
    ADD CONSTRAINT export_state_check CHECK (state IN ('requested', 'building', 'ready', 'removed', 'failed')) NOT VALID,
    ADD CONSTRAINT export_ready_check CHECK ((state IN ('requested', 'building', 'failed')) = (ready_at IS NULL)) NOT VALID,
    ADD CONSTRAINT export_expires_check CHECK ((state IN ('requested', 'building')) = (expires_at IS NULL)) NOT VALID;
