-- An archive may be for a passphrase. Serves POST /v1/privacy/exports.
SET LOCAL lock_timeout = '2s';

-- What is there was checked before, and holds: the new condition is wider.
ALTER TABLE export
    DROP CONSTRAINT export_sealed_for_check,
    ADD CONSTRAINT export_sealed_for_check CHECK (sealed_for IN ('recipient', 'new_key', 'passphrase')) NOT VALID;
