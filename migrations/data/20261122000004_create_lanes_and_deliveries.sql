-- A lane is the ordered queue that one worker owns at a time. kind: 1 endpoint, 2 channel, 3 replay, 4 audit log.

CREATE TABLE worker (
    worker_id   uuid        NOT NULL,
    started_at  timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    leaving     boolean     NOT NULL DEFAULT false, -- was told to stop: gives its lanes back, and counts in no share
    PRIMARY KEY (worker_id)
);

CREATE TABLE lane (
    tenant_id uuid     NOT NULL REFERENCES tenant,
    kind      smallint NOT NULL CHECK (kind IN (1, 2, 3, 4)),
    owner_id  uuid     NOT NULL,                -- the endpoint, the channel, the replay or the tenant
    shard     smallint NOT NULL,
    worker_id uuid,
    epoch     bigint   NOT NULL DEFAULT 0,      -- every write of a lane's owner carries it; a lost lane writes nothing
    failing_since timestamptz,                  -- of an endpoint: its first failed attempt after the last 2xx; written when it changes
    PRIMARY KEY (tenant_id, kind, owner_id, shard)
) WITH (fillfactor = 50);

-- One row for each event that is owed to an endpoint and was never attempted. Inserted and deleted, never updated: no index but the
-- key, no history.
CREATE TABLE delivery (
    tenant_id   uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    shard       smallint    NOT NULL,
    event_id    uuid        NOT NULL,
    part_day    date        NOT NULL,
    event_xid   xid8        NOT NULL DEFAULT pg_current_xact_id(), -- of the event: finds it through event_in_commit_order
    contact_id  uuid,                           -- of the event: whose turn it is where order is promised
    PRIMARY KEY (tenant_id, endpoint_id, shard, event_id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- One row for each event whose last attempt failed, in the order in which they fall due, so that reading what is due never
-- touches what is not. A failure moves the row: it is deleted where it was and inserted here.
CREATE TABLE delivery_retry (
    tenant_id   uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    shard       smallint    NOT NULL,
    next_at     timestamptz NOT NULL,
    event_id    uuid        NOT NULL,
    part_day    date        NOT NULL,
    event_xid   xid8        NOT NULL,
    contact_id  uuid,
    attempts    smallint    NOT NULL,           -- all of them failed
    PRIMARY KEY (tenant_id, endpoint_id, shard, next_at, event_id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
-- Serves the gauge of the oldest undelivered event, and "is this event still owed?".
CREATE INDEX delivery_retry_by_event ON delivery_retry (tenant_id, endpoint_id, shard, event_id);

-- What was given up. A redrive inserts it into delivery again.
CREATE TABLE delivery_dead (
    tenant_id   uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    event_id    uuid        NOT NULL,
    part_day    date        NOT NULL,
    event_xid   xid8        NOT NULL,
    contact_id  uuid,
    attempts    smallint    NOT NULL,
    last_class  text,                           -- what the last attempt came to; absent: there was none
    last_status smallint,                       -- with which status; absent: no answer began
    reason      text        NOT NULL CHECK (reason IN ('exhausted', 'payload_gone', 'unreadable')),
    died_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id, event_id)
);
-- Serves the list of dead letters, newest first, and redriving and purging them by time.
CREATE INDEX delivery_dead_by_time ON delivery_dead (tenant_id, endpoint_id, died_at, event_id);

-- History of attempts that did not end in 2xx. Those that did are not kept: nearly all do. Without bodies. number counts since the
-- event was last owed anew, so that it may come twice after a replay; the time does not.
CREATE TABLE attempt (
    tenant_id      uuid        NOT NULL,
    part_day       date        NOT NULL,
    endpoint_id    uuid        NOT NULL,
    event_id       uuid        NOT NULL,
    number         smallint    NOT NULL,
    class          text        NOT NULL,
    http_status    smallint,
    millis         integer     NOT NULL,
    request_bytes  integer     NOT NULL,
    response_bytes integer     NOT NULL,        -- as far as the body was read
    at             timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, part_day, endpoint_id, event_id, at)
) PARTITION BY RANGE (part_day);
-- Serves GET /v1/endpoints/{id}/attempts, newest first.
CREATE INDEX attempt_by_time ON attempt (tenant_id, endpoint_id, at, event_id);
