-- A lane is the ordered queue that one worker owns at a time. kind: 1 endpoint, 2 channel, 3 replay.

CREATE TABLE worker (
    worker_id   uuid        NOT NULL,
    started_at  timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (worker_id)
);

CREATE TABLE lane (
    tenant_id uuid     NOT NULL REFERENCES tenant,
    kind      smallint NOT NULL CHECK (kind IN (1, 2, 3)),
    owner_id  uuid     NOT NULL,                -- the endpoint, the channel or the replay
    shard     smallint NOT NULL,
    worker_id uuid,
    epoch     bigint   NOT NULL DEFAULT 0,      -- every write of a lane's owner carries it; a lost lane writes nothing
    PRIMARY KEY (tenant_id, kind, owner_id, shard)
) WITH (fillfactor = 50);

-- One row for each event owed to an endpoint. Hot and delete-only: no index but the key, no history.
CREATE TABLE delivery (
    tenant_id   uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    shard       smallint    NOT NULL,
    event_id    uuid        NOT NULL,
    part_day    date        NOT NULL,
    event_xid   xid8        NOT NULL DEFAULT pg_current_xact_id(), -- of the event: finds it through event_in_commit_order
    attempts    smallint    NOT NULL DEFAULT 0,
    next_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id, shard, event_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE delivery_dead (
    tenant_id   uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    event_id    uuid        NOT NULL,
    part_day    date        NOT NULL,
    event_xid   xid8        NOT NULL,
    attempts    smallint    NOT NULL,
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
