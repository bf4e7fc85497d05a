-- Endpoints that are not told of an erasure are named in its certificate too, each with why. disabled: it is turned off; other_channels: its
-- filter names none of the channels in which the person was met. Either may have been otherwise when the person wrote.
SET LOCAL lock_timeout = '2s';

ALTER TABLE erasure_receipt
    DROP CONSTRAINT erasure_receipt_state_check,
    ADD CONSTRAINT erasure_receipt_state_check
        CHECK (state IN ('pending', 'acknowledged', 'dead', 'removed', 'cannot_be_told', 'disabled', 'other_channels')) NOT VALID;
