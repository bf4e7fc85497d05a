-- How fast messages may leave, shared by all processes.
SET LOCAL lock_timeout = '2s';

-- What Meta allows the number, as Meta reported it last; null: not asked yet.
ALTER TABLE channel ADD COLUMN messages_per_second integer CHECK (messages_per_second BETWEEN 1 AND 100000);

-- Whether the application had it sent again after a doubt: that happens once.
ALTER TABLE outbox ADD COLUMN resent boolean NOT NULL DEFAULT false;

-- Serves the lane's claim: for each priority and each key, what is due, oldest first. The lane steps from key to key by it, so that
-- one with a million messages costs no more than one with ten.
CREATE INDEX outbox_turns ON outbox
    (tenant_id, channel_id, priority, COALESCE(api_key_id, '00000000-0000-0000-0000-000000000000'::uuid), next_at, message_id)
    WHERE sending_epoch IS NULL;
-- Serves the look for requests whose answer nobody lived to record, without a look at what waits.
CREATE INDEX outbox_on_the_wire ON outbox (tenant_id, channel_id, sending_epoch, next_at) WHERE sending_epoch IS NOT NULL;
-- Serves the look for what is too late to be sent.
CREATE INDEX outbox_expiring ON outbox (tenant_id, channel_id, expires_at) WHERE expires_at IS NOT NULL AND sending_epoch IS NULL;

-- The place of each channel in time: everything before taken_until is given away. Nothing in these two tables is worth the disk: after
-- a crash of Postgres they are empty, which costs a second at most (docs/adr/0012-pace-in-postgres.md). Serves claims and the mirror.
CREATE UNLOGGED TABLE channel_pace (
    tenant_id    uuid        NOT NULL,
    channel_id   uuid        NOT NULL,
    taken_until  timestamptz NOT NULL,
    slowed_until timestamptz NOT NULL DEFAULT 'epoch', -- Meta refused for going too fast: nothing goes before
    slow_step    smallint    NOT NULL DEFAULT 0,       -- how often in a row
    PRIMARY KEY (tenant_id, channel_id)
) WITH (fillfactor = 10, autovacuum_vacuum_cost_delay = 0);

-- The same for each contact of a channel: one message in six seconds, 45 of them borrowed from later. Rows that are past say
-- nothing and are swept.
CREATE UNLOGGED TABLE pair_pace (
    tenant_id      uuid        NOT NULL,
    channel_id     uuid        NOT NULL,
    contact_id     uuid        NOT NULL,
    taken_until    timestamptz NOT NULL,
    promised_until timestamptz NOT NULL DEFAULT 'epoch', -- the last of the messages that were put off has this place
    refused        smallint    NOT NULL DEFAULT 0,       -- how often Meta refused all the same
    PRIMARY KEY (tenant_id, channel_id, contact_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
