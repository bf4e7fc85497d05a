-- Forgetting of keys: what was forgotten, which keys above have yet to be replaced, and the steps of the epoch (docs/envelope.md).

ALTER TABLE waxseal_keys.installation
    ADD COLUMN stepped_at timestamptz;          -- null until the first step

ALTER TABLE waxseal_keys.bucket_key
    ADD COLUMN made_at timestamptz;             -- null for those of earlier releases

-- Replacing a bucket key reads what it wraps: WHERE tenant_id = … AND bucket = …
CREATE INDEX dek_by_bucket ON waxseal_keys.dek (tenant_id, bucket);

-- A data key that was destroyed, by a value that cannot be turned back. "Was this key forgotten?" by its id; "which of this
-- contact's?" for its certificate.
CREATE TABLE waxseal_keys.forgotten_key (
    tenant_id    uuid        NOT NULL,
    dek_id       uuid        NOT NULL,
    subject_id   uuid        NOT NULL,          -- the contact, or the tenant itself
    check_value  bytea       NOT NULL CHECK (octet_length(check_value) = 32),
    forgotten_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, dek_id)
);
CREATE INDEX forgotten_key_by_subject ON waxseal_keys.forgotten_key (tenant_id, subject_id);

-- A contact whose keys were all destroyed: no key is ever made for it again. Asked by (tenant_id, subject_id) when one is made, and by
-- (tenant_id, bucket) when the bucket key is replaced.
CREATE TABLE waxseal_keys.forgotten_subject (
    tenant_id    uuid        NOT NULL,
    subject_id   uuid        NOT NULL,
    bucket       smallint    NOT NULL,
    forgotten_at timestamptz NOT NULL,
    replaced     boolean     NOT NULL DEFAULT false,    -- whether the bucket key is another since
    epoch        bigint,                                -- from which on no copy of before opens its keys; null: not yet
    PRIMARY KEY (tenant_id, subject_id)
);
CREATE INDEX forgotten_subject_pending ON waxseal_keys.forgotten_subject (tenant_id, bucket) WHERE epoch IS NULL;

-- A bucket from which something was forgotten: its key wraps what an old copy still has, and has to be replaced.
CREATE TABLE waxseal_keys.touched_bucket (
    tenant_id uuid        NOT NULL,
    bucket    smallint    NOT NULL,
    keys      bigint      NOT NULL,             -- forgotten since the bucket key was made
    since     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, bucket)
);

-- A tenant whose bucket keys were replaced: its KEK opens the old ones in an old copy, and is replaced by the next step.
CREATE TABLE waxseal_keys.touched_tenant (
    tenant_id uuid        NOT NULL,
    keys      bigint      NOT NULL,
    since     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id)
);

-- Steps of the epoch, for the operator and the audit log. noted_at: when the log had the entry.
CREATE TABLE waxseal_keys.epoch_step (
    epoch          bigint      NOT NULL,        -- the new one
    stepped_at     timestamptz NOT NULL,
    keys_forgotten bigint      NOT NULL,
    tenants        integer     NOT NULL,        -- with another KEK
    places_written smallint    NOT NULL,
    places         smallint    NOT NULL,
    noted_at       timestamptz,
    PRIMARY KEY (epoch)
);

-- A rotation of all bucket keys of a tenant, and how far it has come: taken up again where it stopped.
CREATE TABLE waxseal_keys.rotation (
    tenant_id  uuid        NOT NULL,
    next       smallint    NOT NULL,            -- the bucket to be replaced next; 4096: all were
    replaced   integer     NOT NULL,
    started_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id)
);
