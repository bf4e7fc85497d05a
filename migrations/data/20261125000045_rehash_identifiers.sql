-- Another key for the keyed hashes of identifiers, while gateways run (docs/adr/0017): each row says by which version of the key its hash is made.

SET LOCAL lock_timeout = '2s';
ALTER TABLE contact_identifier
    ADD COLUMN version smallint NOT NULL DEFAULT 1; -- the key of this version was the last to hash it

-- By which version hashes are made, and how far those of before have been rehashed. No row: by version 1, and nothing is under way.
-- Who adds identifiers reads the row of the tenant and locks it as a foreign key would; the version is stepped with the table
-- locked against that. The walk goes through contact_identifier in the order of its primary key.
CREATE TABLE index_version (
    tenant_id   uuid        NOT NULL REFERENCES tenant,
    version     smallint    NOT NULL CHECK (version > 1),
    next_kind   smallint    NOT NULL,           -- everything up to here was looked at
    next_hash   bytea       NOT NULL,
    rehashed    bigint      NOT NULL,
    passed_over bigint      NOT NULL,           -- somebody was changing them: they are for the next walk
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz,                    -- null: hashes of before are still there
    PRIMARY KEY (tenant_id)
);
