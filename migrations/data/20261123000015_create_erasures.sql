-- Erasure of a person: what was asked for, how far it has come, what went, who was told (docs/privacy.md).
SET LOCAL lock_timeout = '2s';

-- One row for each request. Each step is an update from the state before, so that any process takes it up where another stopped.
-- Serves GET /v1/privacy/erasures and the owner of its lane (kind 5).
CREATE TABLE erasure (
    tenant_id         uuid        NOT NULL,
    erasure_id        uuid        NOT NULL,
    state             text        NOT NULL CHECK (state IN ('received', 'identity_checked', 'held', 'fenced', 'keys_destroyed',
                                                            'rows_removed', 'epoch_stepped', 'downstream_done', 'certified')),
    contact_ids       uuid[]      NOT NULL,     -- whom: every id of one person; emptied with the certificate
    channel_ids       uuid[]      NOT NULL DEFAULT '{}', -- through which numbers they were met: who has to be told
    commitment        bytea       NOT NULL CHECK (octet_length(commitment) = 32), -- to the person; only the requester has its salt
    asked_by          text        NOT NULL CHECK (asked_by IN ('contact_id', 'phone', 'user_id', 'username')),
    basis             text        NOT NULL,     -- a word from a closed list
    reference         sealed,                   -- of the case, as the requester says; emptied with the certificate
    actor_id          uuid        NOT NULL,     -- the API key; nil: an operator
    step_now          boolean     NOT NULL,     -- whether the epoch is stepped for it, or the next step is waited for
    key_checks        bytea       NOT NULL DEFAULT '' CHECK (octet_length(key_checks) % 32 = 0), -- of the keys that were destroyed
    epoch_before      bigint,
    epoch_after       bigint,
    places_written    smallint,                 -- of the epoch cell
    places            smallint,
    event_id          uuid,                     -- contact.erased
    created_at        timestamptz NOT NULL,
    fenced_at         timestamptz,
    keys_destroyed_at timestamptz,
    rows_removed_at   timestamptz,
    epoch_stepped_at  timestamptz,
    downstream_at     timestamptz,
    certified_at      timestamptz CHECK ((certified_at IS NULL) = (state <> 'certified')),
    certificate       text,                     -- holds no identifier of anybody
    entry_id          uuid CHECK ((entry_id IS NULL) = (certificate IS NULL)), -- of the audit log: commits to the certificate
    PRIMARY KEY (tenant_id, erasure_id)
);
-- Serves "is somebody erasing this contact already?" and the gauge of those that are under way.
CREATE INDEX erasure_under_way ON erasure (tenant_id, erasure_id) WHERE state <> 'certified';

-- How many rows of each table went: added to in the transaction that removes them.
CREATE TABLE erasure_count (
    tenant_id  uuid   NOT NULL,
    erasure_id uuid   NOT NULL,
    counted    text   NOT NULL,                 -- name of the table
    removed    bigint NOT NULL,
    PRIMARY KEY (tenant_id, erasure_id, counted)
);

-- Who has to be told, and whether they have taken it.
CREATE TABLE erasure_receipt (
    tenant_id   uuid        NOT NULL,
    erasure_id  uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('pending', 'acknowledged', 'dead', 'removed', 'cannot_be_told')),
    settled_at  timestamptz,
    PRIMARY KEY (tenant_id, erasure_id, endpoint_id)
);

-- Contacts under which nothing is stored any more. Looked at by every statement that stores something about a person, because a process
-- may remember a contact for minutes. Random ids of nobody; swept after 40 days, when nobody remembers them.
CREATE TABLE erased_contact (
    tenant_id  uuid        NOT NULL,
    contact_id uuid        NOT NULL,
    erased_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, contact_id)
);

-- Serves erasure: statuses about a contact, which event_by_contact leaves out.
CREATE INDEX event_status_by_contact ON event (tenant_id, contact_id)
    WHERE status_rank IS NOT NULL AND contact_id IS NOT NULL;

-- That somebody agreed or refused, kept for three years after they were forgotten: found by who shows their number or id again, and
-- joined to nobody. Serves GET /v1/privacy/consent-proofs.
CREATE TABLE consent_proof (
    tenant_id   uuid        NOT NULL,
    person      bytea       NOT NULL CHECK (octet_length(person) = 16), -- keyed hash of the keyed hash of a number or id
    proof_id    uuid        NOT NULL,
    purpose     text        NOT NULL,
    state       text        NOT NULL,
    source      text        NOT NULL,
    occurred_at timestamptz NOT NULL,
    kept_until  date        NOT NULL,
    PRIMARY KEY (tenant_id, person, proof_id)
);
