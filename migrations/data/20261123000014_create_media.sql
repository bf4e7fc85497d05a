-- Files that people send. Owed from the commit of their event on, fetched from Meta by the owner of the channel's lane of kind 6,
-- and kept sealed in an object store under the id of the event, which is the id of the media.
SET LOCAL lock_timeout = '2s';

-- kind: 1 endpoint, 2 channel, 3 replay, 4 audit log, 6 media of a channel.
ALTER TABLE lane DROP CONSTRAINT lane_kind_check, ADD CONSTRAINT lane_kind_check CHECK (kind BETWEEN 1 AND 6);
INSERT INTO lane (tenant_id, kind, owner_id, shard) SELECT tenant_id, 6, channel_id, 0 FROM channel;

-- What is still to be fetched. Small: a row lives for seconds, or as long as Meta keeps the file.
CREATE TABLE media_fetch (
    tenant_id  uuid        NOT NULL,
    media_id   uuid        NOT NULL,
    part_day   date        NOT NULL,            -- of the event
    channel_id uuid        NOT NULL,
    contact_id uuid,                            -- of the event
    next_at    timestamptz NOT NULL,
    attempts   smallint    NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, media_id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
-- Serves the lane's look for what is due.
CREATE INDEX media_fetch_due ON media_fetch (tenant_id, channel_id, next_at, media_id);

-- What became of each file. Serves GET /v1/media/{id}.
CREATE TABLE media (
    tenant_id  uuid        NOT NULL,
    media_id   uuid        NOT NULL,
    channel_id uuid        NOT NULL,
    contact_id uuid,
    state      text        NOT NULL CHECK (state IN ('stored', 'lost')),
    reason     text        CHECK (reason IN ('gone', 'too_old', 'too_large', 'damaged', 'erased', 'unreadable')),
    bytes      bigint,                          -- of the file as it is kept
    details    sealed,                          -- its type, its name, what was done to it
    settled_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, media_id)
);
