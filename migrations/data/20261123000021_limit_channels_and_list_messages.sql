-- A pace of a channel's own, its PIN, and lists of messages.
SET LOCAL lock_timeout = '2s';

ALTER TABLE channel
    ADD COLUMN pace_limit integer CHECK (pace_limit BETWEEN 1 AND 100000), -- messages a second that the operator set; null: as for all
    ADD COLUMN pin sealed,           -- of two-step verification, as Meta took it last
    ADD COLUMN pin_next sealed,      -- as Meta was asked to take it and has not said of
    ADD COLUMN pin_asked_at timestamptz; -- that question is under way; null: nobody asks

-- What is wrong with the token of a channel, for metrics and /readyz, which open nothing; null: nothing that is known.
ALTER TABLE channel_state ADD COLUMN token_trouble text CHECK (token_trouble IN ('invalid', 'missing_scopes', 'expires_soon'));

-- Serve GET /v1/messages, newest first: of one channel, and of what went wrong. What waits or is in doubt has message_unsettled, and
-- lists of everything go along the primary key. The tenant stands behind what it is asked for with: an index that began with it would
-- do for a look-up of one message as well as the primary key as long as the planner takes the table to be empty, and would be read whole.
CREATE INDEX message_by_channel ON message (channel_id, tenant_id, part_day, message_id);
CREATE INDEX message_to_contact ON message (contact_id, tenant_id, message_id);
DROP INDEX message_by_contact;
CREATE INDEX message_unsuccessful ON message (tenant_id, part_day, message_id) WHERE state IN ('failed', 'cancelled', 'expired');
