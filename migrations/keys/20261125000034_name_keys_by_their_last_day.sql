-- Keys that live for days and not for a month, for numbers that keep what is said for a shorter time (docs/envelope.md, Key tree).
SET LOCAL lock_timeout = '2s';

-- scope: as before, and 4 contact, 5 tenant, until a day: month is the day on which the key is destroyed; 6 contact, 7 tenant, of content
-- that goes when every endpoint has it: month is the day on which it came. Wider than before, so that no row needs to be looked at.
ALTER TABLE waxseal_keys.dek
    DROP CONSTRAINT dek_scope_check,
    ADD CONSTRAINT dek_scope_check CHECK (scope BETWEEN 0 AND 7) NOT VALID;

-- Serves the daily look for what is to be destroyed. Empty where no number has a rule of its own.
CREATE INDEX dek_short_lived ON waxseal_keys.dek (tenant_id, bucket, month) WHERE scope >= 4;
