-- The audit log: who read or changed what. Entries are inserted and never changed; a sequencer puts them into a Merkle tree
-- (docs/audit.md). Nothing here holds a person's data, so that the tree can stay when a person is forgotten.

-- Written before anything is opened. part_day is the UTC day inside entry_id, so the id alone finds its partition.
CREATE TABLE audit_entry (
    tenant_id uuid  NOT NULL,
    part_day  date  NOT NULL,
    entry_id  uuid  NOT NULL,
    actor_id  uuid  NOT NULL,                   -- the API key; nil: an operator, or the gateway itself. Also inside entry
    action    text  NOT NULL,                   -- from a closed list. Also inside entry
    entry     bytea NOT NULL CHECK (octet_length(entry) BETWEEN 134 AND 4096), -- what the tree commits to, byte for byte
    salt      bytea NOT NULL CHECK (octet_length(salt) = 32), -- without it, the leaf says nothing about the entry
    xid       xid8  NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (tenant_id, part_day, entry_id)
) PARTITION BY RANGE (part_day);
-- Serves the sequencer: a cursor over commits that no late commit can slip behind.
CREATE INDEX audit_entry_in_commit_order ON audit_entry (tenant_id, xid, entry_id);
-- Serves GET /v1/audit?actor_id=.
CREATE INDEX audit_entry_by_actor ON audit_entry (tenant_id, actor_id, part_day, entry_id);

-- Whom an entry is about. Removed when the contact is forgotten; the entry holds but a keyed commitment, and still verifies.
-- Serves GET /v1/audit?contact_id=.
CREATE TABLE audit_subject (
    tenant_id  uuid NOT NULL,
    part_day   date NOT NULL,
    contact_id uuid NOT NULL,
    entry_id   uuid NOT NULL,
    PRIMARY KEY (tenant_id, part_day, contact_id, entry_id)
) PARTITION BY RANGE (part_day);

-- One log for each tenant. Its row is locked while the sequencer takes a step, so that two of them cannot fork the tree.
CREATE TABLE audit_log (
    tenant_id    uuid        NOT NULL REFERENCES tenant,
    origin       text        NOT NULL,          -- the log's name in its checkpoints
    verifier_key text        NOT NULL,          -- public
    signing_key  sealed      NOT NULL,
    size         bigint      NOT NULL DEFAULT 0,
    at_xid       xid8,                          -- the entry that was put into the tree last; absent: none
    at_entry     uuid        CHECK ((at_entry IS NULL) = (at_xid IS NULL)),
    stepped_at   timestamptz,                   -- when the tree last grew
    pruned       bigint      NOT NULL DEFAULT 0, -- entries below this index may have been dropped with age; their leaves stay
    pruned_by    uuid        CHECK ((pruned_by IS NULL) = (pruned = 0)), -- the entry that says so
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id)
);

-- Which entry stands where.
CREATE TABLE audit_leaf (
    tenant_id  uuid   NOT NULL,
    leaf_index bigint NOT NULL,
    entry_id   uuid   NOT NULL,
    PRIMARY KEY (tenant_id, leaf_index),
    UNIQUE (tenant_id, entry_id)
);

-- 256 hashes of one level to a row (C2SP tlog-tiles); the last of a level grows.
CREATE TABLE audit_tile (
    tenant_id  uuid     NOT NULL,
    level      smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    tile_index bigint   NOT NULL,
    hashes     bytea    NOT NULL CHECK (octet_length(hashes) % 32 = 0 AND octet_length(hashes) BETWEEN 32 AND 8192),
    PRIMARY KEY (tenant_id, level, tile_index)
) WITH (fillfactor = 50);

-- The same for what is hashed into the leaves: a salted commitment to each entry.
CREATE TABLE audit_bundle (
    tenant_id    uuid   NOT NULL,
    bundle_index bigint NOT NULL,
    commitments  bytea  NOT NULL CHECK (octet_length(commitments) % 32 = 0 AND octet_length(commitments) BETWEEN 32 AND 8192),
    PRIMARY KEY (tenant_id, bundle_index)
) WITH (fillfactor = 50);

-- Signed heads of the tree. Those of a day that is over are thinned to its last, and the last that was published.
CREATE TABLE audit_checkpoint (
    tenant_id uuid        NOT NULL,
    size      bigint      NOT NULL,
    note      text        NOT NULL,             -- a signed note (C2SP tlog-checkpoint), with the witnesses' lines
    published boolean     NOT NULL,             -- false: witnesses are still missing
    made_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, size)
);
-- Serves the thinning, which looks at those of days long past alone.
CREATE INDEX audit_checkpoint_by_time ON audit_checkpoint (tenant_id, made_at);
-- Serves whoever asks for the newest that is shown, however many have been waiting for witnesses since.
CREATE INDEX audit_checkpoint_published ON audit_checkpoint (tenant_id, size) WHERE published;
