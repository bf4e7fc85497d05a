-- A pace of a channel's own, its PIN, and lists of messages.
SET LOCAL lock_timeout = '2s';

ALTER TABLE channel
    ADD COLUMN pace_limit integer CHECK (pace_limit BETWEEN 1 AND 100000), -- messages a second that the operator set; null: as for all
    ADD COLUMN pin sealed;                                                 -- of two-step verification at Meta

-- Serve GET /v1/messages: newest first, of one state, of one channel, or of both.
CREATE INDEX message_by_id ON message (tenant_id, message_id);
CREATE INDEX message_by_channel ON message (tenant_id, channel_id, message_id);
CREATE INDEX message_by_state ON message (tenant_id, state, message_id) WHERE state <> 'accepted';
