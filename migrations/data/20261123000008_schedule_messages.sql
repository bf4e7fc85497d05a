-- Messages that are sent later, in another order, or not at all.
SET LOCAL lock_timeout = '2s';

ALTER TABLE message
    ADD COLUMN send_at timestamptz,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN priority smallint NOT NULL DEFAULT 1 CHECK (priority BETWEEN 0 AND 2), -- 0 high, 1 normal, 2 bulk
    ADD COLUMN fallback sealed,                  -- template to send instead where the request is no longer allowed
    ADD COLUMN on_doubt text NOT NULL DEFAULT 'hold' CHECK (on_doubt IN ('hold', 'resend')),
    DROP CONSTRAINT message_state_check,
    ADD CONSTRAINT message_state_check
        CHECK (state IN ('queued', 'accepted', 'failed', 'in_doubt', 'cancelled', 'expired'));

-- What the lane has to know before it opens anything stands in the hot row.
ALTER TABLE outbox
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN priority smallint NOT NULL DEFAULT 1,
    ADD COLUMN api_key_id uuid,                  -- shares the channel fairly between keys; null: the mirror
    ADD COLUMN contact_id uuid;                  -- paces what one person gets
UPDATE outbox SET contact_id = message.contact_id FROM message
    WHERE message.tenant_id = outbox.tenant_id AND message.part_day = outbox.part_day AND message.message_id = outbox.message_id;
ALTER TABLE outbox ALTER COLUMN contact_id SET NOT NULL;
-- Serves the lane's claim, and the place of a message in the queue: what is due, replies before bulk.
CREATE INDEX outbox_waiting ON outbox (tenant_id, channel_id, priority, next_at, message_id) WHERE sending_epoch IS NULL;

-- What a batch was answered: its ids in order, and why some items were refused.
ALTER TABLE idempotency ADD COLUMN answer sealed;
