-- What happened. Append-only, partitioned by the day of Meta's own timestamp, so that a redelivered webhook
-- meets its first copy in the same partition and ON CONFLICT DO NOTHING is the whole dedupe.

CREATE TABLE event (
    tenant_id   uuid        NOT NULL,
    part_day    date        NOT NULL,
    subject     bytea       NOT NULL CHECK (octet_length(subject) = 16), -- keyed hash of (phone_number_id, wamid), or of the whole item
    variant     bytea       NOT NULL CHECK (octet_length(variant) = 8),  -- keyed hash of (kind, status, error code)
    event_id    uuid        NOT NULL,
    type        text        NOT NULL,
    channel_id  uuid,
    contact_id  uuid,
    message_id  uuid,                           -- ours, when the event is about a message that we sent
    status_rank smallint,
    error_code  integer,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    xid         xid8        NOT NULL DEFAULT pg_current_xact_id(),
    -- The subject first: the same index answers "seen before?" and "every status of this message".
    PRIMARY KEY (tenant_id, part_day, subject, variant)
) PARTITION BY RANGE (part_day);
-- Serves GET /v1/events: a cursor over commits that no late commit can slip behind.
CREATE INDEX event_in_commit_order ON event (tenant_id, xid, event_id);
-- Serves GET /v1/contacts/{id}/messages. Statuses, three quarters of all rows, are left out.
CREATE INDEX event_by_contact ON event (tenant_id, contact_id, event_id) WHERE status_rank IS NULL AND contact_id IS NOT NULL;

-- Serves replays and GET /v1/events/{id}/deliveries: events by id, or by the time inside their ids. Ids ascend as rows are added, so
-- that the least and the greatest of every few pages find them, at next to no cost for the way in.
CREATE INDEX event_by_id ON event USING brin (tenant_id, event_id) WITH (pages_per_range = 16, autosummarize = on);

-- The content, apart from the fact, so that it can be dropped earlier.
CREATE TABLE event_payload (
    tenant_id uuid   NOT NULL,
    part_day  date   NOT NULL,
    event_id  uuid   NOT NULL,
    payload   sealed NOT NULL,
    PRIMARY KEY (tenant_id, part_day, event_id)
) PARTITION BY RANGE (part_day);

-- Dedupe for items whose own timestamp is absent, in the future or older than two days (docs/adr/0002-dedupe-zones.md).
CREATE TABLE event_ledger (
    tenant_id uuid  NOT NULL,
    subject   bytea NOT NULL CHECK (octet_length(subject) = 16),
    variant   bytea NOT NULL CHECK (octet_length(variant) = 8),
    seen_on   date  NOT NULL,
    PRIMARY KEY (tenant_id, subject, variant)
);
