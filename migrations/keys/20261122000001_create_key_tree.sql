-- The key tree: every key here is wrapped by the one above it, the topmost by the KMS (docs/envelope.md).
-- Own schema, own connection string: it may be another server, and belongs in no backup of the data.

CREATE TABLE waxseal_keys.installation (
    only_row        boolean     NOT NULL DEFAULT true CHECK (only_row),
    installation_id uuid        NOT NULL,
    epoch           bigint      NOT NULL,
    root_share      bytea       NOT NULL,       -- wrapped by the KMS; with the epoch cell it makes the root
    root_check      bytea       NOT NULL,       -- wrapped by the root; fails to open under the keys of another installation
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (only_row)
);

CREATE TABLE waxseal_keys.tenant_kek (
    tenant_id  uuid        NOT NULL,
    kek_id     uuid        NOT NULL,
    epoch      bigint      NOT NULL,
    wrapped    bytea       NOT NULL CHECK (octet_length(wrapped) = 60),
    current    boolean     NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, kek_id)
);
CREATE UNIQUE INDEX tenant_kek_one_current ON waxseal_keys.tenant_kek (tenant_id) WHERE current;

CREATE TABLE waxseal_keys.bucket_key (
    tenant_id     uuid     NOT NULL,
    bucket        smallint NOT NULL CHECK (bucket BETWEEN 0 AND 4095),
    bucket_key_id uuid     NOT NULL,
    kek_id        uuid     NOT NULL,
    wrapped       bytea    NOT NULL CHECK (octet_length(wrapped) = 60),
    PRIMARY KEY (tenant_id, bucket)
);

CREATE TABLE waxseal_keys.index_key (
    tenant_id uuid     NOT NULL,
    purpose   text     NOT NULL,
    version   smallint NOT NULL,
    kek_id    uuid     NOT NULL,
    wrapped   bytea    NOT NULL CHECK (octet_length(wrapped) = 60),
    PRIMARY KEY (tenant_id, purpose, version)
);

-- scope: 0 tenant system (tokens, secrets), 1 contact profile, 2 contact and month, 3 tenant and month (events about nobody).
CREATE TABLE waxseal_keys.dek (
    tenant_id     uuid     NOT NULL,
    scope         smallint NOT NULL CHECK (scope BETWEEN 0 AND 3),
    subject_id    uuid     NOT NULL,            -- the contact, or the tenant itself
    month         date     NOT NULL,            -- first day of the month; 1970-01-01 where the scope has none
    dek_id        uuid     NOT NULL,            -- random; stands in every envelope
    bucket        smallint NOT NULL,
    bucket_key_id uuid     NOT NULL,
    wrapped       bytea    NOT NULL CHECK (octet_length(wrapped) = 60),
    PRIMARY KEY (tenant_id, scope, subject_id, month),
    UNIQUE (tenant_id, dek_id)
);
