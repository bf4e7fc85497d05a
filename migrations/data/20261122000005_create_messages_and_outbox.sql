-- Messages that applications handed to us for Meta.

CREATE TABLE message (
    tenant_id   uuid        NOT NULL,
    part_day    date        NOT NULL,           -- UTC day inside message_id, so the id alone finds its partition
    message_id  uuid        NOT NULL,
    channel_id  uuid        NOT NULL,
    contact_id  uuid        NOT NULL,
    origin      text        NOT NULL CHECK (origin IN ('api', 'mirror')),
    kind        text        NOT NULL,           -- text, template, … from a closed list
    state       text        NOT NULL CHECK (state IN ('queued', 'accepted', 'failed', 'in_doubt')),
    request     sealed      NOT NULL,           -- what goes to Meta
    answer      sealed,                         -- what Meta said: the wamid, or its error
    subject     bytea       CHECK (octet_length(subject) = 16), -- of the wamid: joins the statuses in event
    error_code  integer,
    created_at  timestamptz NOT NULL,
    settled_at  timestamptz,
    PRIMARY KEY (tenant_id, part_day, message_id)
) PARTITION BY RANGE (part_day);
-- Serves GET /v1/contacts/{id}/messages.
CREATE INDEX message_by_contact ON message (tenant_id, contact_id, message_id);

-- Serves ingest: a status proves a message whose answer is not recorded. Small, because most answers are.
CREATE INDEX message_unsettled ON message (tenant_id, part_day, message_id) WHERE state IN ('queued', 'in_doubt');

-- What is still owed to Meta. Hot and delete-only, like delivery. sending_epoch marks a request that may be on the wire:
-- found by a later owner of the lane it becomes in_doubt and is never sent again blindly.
CREATE TABLE outbox (
    tenant_id     uuid        NOT NULL,
    channel_id    uuid        NOT NULL,
    message_id    uuid        NOT NULL,
    part_day      date        NOT NULL,
    attempts      smallint    NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL,
    sending_epoch bigint,
    PRIMARY KEY (tenant_id, channel_id, message_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- What an application handed over under an Idempotency-Key, for a day: a repetition gets the message of the first time. The key
-- may be an order number or worse, so that only its keyed hash is kept; so of the request.
CREATE TABLE idempotency (
    tenant_id    uuid        NOT NULL,
    key_hash     bytea       NOT NULL CHECK (octet_length(key_hash) = 16),
    request_hash bytea       NOT NULL CHECK (octet_length(request_hash) = 16),
    message_id   uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key_hash)
);
