-- Rotation of the keys that no month ends: the tenant's own, and those of profiles (docs/adr/0022).
SET LOCAL lock_timeout = '2s';

-- scope: as before, and 8 what the first key of a profile gives for keyed hashes, 9 the same of the tenant's own key. Of scopes 0 and 1 month
-- is 1970-01-01 and one day more for each rotation. Wider than before, so that no row needs to be looked at.
ALTER TABLE waxseal_keys.dek
    DROP CONSTRAINT dek_scope_check,
    ADD CONSTRAINT dek_scope_check CHECK (scope BETWEEN 0 AND 9) NOT VALID;

-- A rotation of these keys, and how far it has come: taken up again where it stopped. One row a tenant, read by key every few seconds.
CREATE TABLE waxseal_keys.data_rotation (
    tenant_id  uuid        NOT NULL,
    state      text        NOT NULL CHECK (state IN ('keys', 'content', 'rests', 'over')),
    scope      smallint    NOT NULL,            -- keys: whose was replaced last
    subject_id uuid        NOT NULL,
    until      uuid        NOT NULL,            -- keys: whose is the last
    place      smallint    NOT NULL,            -- content: the column that is looked at, of the list in the code
    behind     uuid        NOT NULL,            -- content: the row that was looked at last
    and_behind uuid        NOT NULL,            -- the same, where two columns are its key
    made       bigint      NOT NULL,            -- keys that were replaced
    resealed   bigint      NOT NULL,            -- values that were sealed anew
    kept       bigint      NOT NULL,            -- keys of before that stay, because something under them does not open
    started_at timestamptz NOT NULL,
    rests_from timestamptz NOT NULL,            -- rests: since when nothing was found under keys of before
    PRIMARY KEY (tenant_id)
);
