-- Holds: people whose data must stay, and must not be read in the ordinary way, because of a dispute or a duty (docs/privacy.md).
-- Asked for by one key and put in force by another. Serves GET /v1/privacy/holds, and by contact every reading, erasure and cleaning.
CREATE TABLE hold (
    tenant_id   uuid        NOT NULL,
    hold_id     uuid        NOT NULL,
    contact_id  uuid        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('requested', 'active', 'released')),
    reason      sealed      NOT NULL,
    owner_id    uuid        NOT NULL,           -- the API key that asked for it; nil: an operator
    approver_id uuid,                           -- another one
    created_at  timestamptz NOT NULL,
    active_at   timestamptz CHECK ((active_at IS NULL) = (approver_id IS NULL)),
    expires_at  timestamptz NOT NULL,           -- within a year
    ended_at    timestamptz CHECK ((ended_at IS NULL) = (state <> 'released')),
    PRIMARY KEY (tenant_id, hold_id)
);
-- Few: looked at by whoever reads, erases or cleans.
CREATE INDEX hold_by_contact ON hold (tenant_id, contact_id) WHERE state = 'active';
