-- Exports: everything that is known of a person, written into one encrypted archive for them (docs/privacy.md). The archive lies where
-- files lie; this is what is known of it.
SET LOCAL lock_timeout = '2s';

ALTER TABLE lane DROP CONSTRAINT lane_kind_check, ADD CONSTRAINT lane_kind_check CHECK (kind BETWEEN 1 AND 7);

-- One row for each request, made by whoever owns its lane (kind 7). Who is killed in the middle of it has it begun anew by the next owner:
-- every write carries the epoch, and the archive takes the place of what lay there. Serves /v1/privacy/exports and the look for those that are over.
CREATE TABLE export (
    tenant_id     uuid        NOT NULL,
    export_id     uuid        NOT NULL,
    contact_id    uuid        NOT NULL,         -- of whom
    contact_ids   uuid[]      NOT NULL,         -- every id of the person, at the time of the request
    state         text        NOT NULL CHECK (state IN ('requested', 'building', 'ready', 'removed')),
    sealed_for    text        NOT NULL CHECK (sealed_for IN ('recipient', 'new_key')),
    recipient     sealed,                       -- the public key; emptied when the archive is there
    dek_id        uuid,                         -- the data key that the archive lies under, beside its own encryption
    actor_id      uuid        NOT NULL,         -- the API key; nil: an operator
    messages      bigint      NOT NULL DEFAULT 0,
    messages_done bigint      NOT NULL DEFAULT 0,
    files         bigint      NOT NULL DEFAULT 0,
    files_done    bigint      NOT NULL DEFAULT 0,
    bytes         bigint,                       -- of the archive
    created_at    timestamptz NOT NULL,
    ready_at      timestamptz,
    expires_at    timestamptz,                  -- it is removed then
    PRIMARY KEY (tenant_id, export_id),
    CHECK ((state IN ('requested', 'building')) = (ready_at IS NULL)),
    CHECK ((ready_at IS NULL) = (expires_at IS NULL))
);
-- Few: looked at by who removes what is over, and by who erases.
CREATE INDEX export_there ON export (expires_at) WHERE state = 'ready';
CREATE INDEX export_by_contact ON export (tenant_id, contact_id);
