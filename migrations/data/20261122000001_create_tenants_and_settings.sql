-- Everything that an operator sets up. Small tables, read whole into memory by every gateway process
-- (directory::Snapshot), so that no request waits for them.

-- Anything that could name a person or open a door is stored in this domain alone. A release with a bug that
-- tried to write plaintext is refused here, by Postgres, and not by a convention (docs/envelope.md: 92 = header and tag of an empty record).
CREATE DOMAIN sealed AS bytea
    CHECK (octet_length(VALUE) >= 92 AND substring(VALUE FROM 1 FOR 2) = '\x5701'::bytea);

CREATE TABLE tenant (
    tenant_id  uuid        NOT NULL,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id)
);

-- A Meta app: its secret signs the webhooks of every number that the app is subscribed to.
CREATE TABLE meta_app (
    tenant_id           uuid        NOT NULL REFERENCES tenant,
    app_id              uuid        NOT NULL,
    name                text        NOT NULL,
    app_secret          sealed      NOT NULL,
    previous_app_secret sealed,                 -- still accepted after a rotation, until removed
    verify_token        sealed      NOT NULL,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, app_id)
);

-- A channel: one business phone number. phone_number_id is Meta's opaque id, not the number.
CREATE TABLE channel (
    tenant_id       uuid        NOT NULL REFERENCES tenant,
    channel_id      uuid        NOT NULL,
    phone_number_id text        NOT NULL,
    waba_id         text        NOT NULL,
    name            text        NOT NULL,
    access_token    sealed,                     -- absent: receives, cannot send
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, channel_id),
    UNIQUE (tenant_id, phone_number_id)
);

-- An endpoint: an internal application that receives events. The URL is sealed because callers put tokens into URLs; options
-- hold what it wants to see from us (headers, passwords, keys) and its predicate, which may quote what people write.
CREATE TABLE endpoint (
    tenant_id       uuid        NOT NULL REFERENCES tenant,
    endpoint_id     uuid        NOT NULL,
    name            text        NOT NULL,
    url             sealed      NOT NULL,
    url_host        text        NOT NULL,
    format          text        NOT NULL CHECK (format IN ('standard', 'meta', 'cloudevents')),
    event_types     text[]      NOT NULL,       -- empty: all
    channel_ids     uuid[]      NOT NULL,       -- empty: all
    direction       text        CHECK (direction IN ('in', 'out')), -- absent: both
    fields          text        NOT NULL CHECK (fields IN ('ids', 'metadata', 'masked', 'full')),
    pseudonymous    boolean     NOT NULL,
    ordering        text        NOT NULL CHECK (ordering IN ('none', 'block', 'skip')),
    skip_after      smallint    CHECK ((ordering = 'skip') = (skip_after IS NOT NULL)),
    max_per_second  integer,                    -- absent: no limit
    max_in_flight   smallint,                   -- absent: as configured
    timeout_ms      integer,                    -- absent: as configured
    options         sealed,                     -- absent: none
    signing_secret  sealed      NOT NULL,
    previous_signing_secret sealed,             -- signs too, until then
    previous_secret_until   timestamptz CHECK ((previous_secret_until IS NULL) = (previous_signing_secret IS NULL)),
    state           text        NOT NULL CHECK (state IN ('active', 'paused', 'disabled')),
    disabled_reason text        CHECK (disabled_reason IN ('gone', 'failing')),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id)
);

-- Keys of calling applications. hash = SHA-256 of a 190-bit random secret, so a stolen table opens nothing.
CREATE TABLE api_key (
    tenant_id    uuid        NOT NULL REFERENCES tenant,
    key_id       uuid        NOT NULL,
    lookup       text        NOT NULL CHECK (length(lookup) = 12),
    name         text        NOT NULL,
    hash         bytea       NOT NULL CHECK (octet_length(hash) = 32),
    role         text        CHECK (role IN ('owner', 'admin', 'agent', 'auditor', 'privacy_officer', 'service')),
    scopes       text[]      NOT NULL CHECK (role IS NULL OR scopes = '{}'), -- what a key without a role may do
    field_class  text        NOT NULL CHECK (field_class IN ('public', 'internal', 'personal', 'sensitive')),
    unmasked     boolean     NOT NULL,
    channel_ids  uuid[]      NOT NULL,          -- empty: all
    cidrs        text[]      NOT NULL,          -- networks it is used from; empty: all
    budget       integer     CHECK (budget > 0), -- contacts in an hour; absent: no limit
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    locked_at    timestamptz,                   -- its budget was exceeded
    rotated_from uuid,                          -- the key in whose place it is
    last_used_on date,                          -- written apart from settings_version: no process holds it in memory
    PRIMARY KEY (tenant_id, key_id),
    UNIQUE (tenant_id, lookup)
);

-- Whom a key with a budget was shown, for as long as it counts: an hour. The hash is keyed and differs from key to key.
CREATE TABLE key_read (
    tenant_id    uuid        NOT NULL,
    key_id       uuid        NOT NULL,
    contact_hash bytea       NOT NULL CHECK (octet_length(contact_hash) = 16),
    seen_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key_id, contact_hash)
);
-- Serves the hourly sweep: it reads what it deletes and nothing else.
CREATE INDEX key_read_by_age ON key_read (seen_at);

-- One row that every change to the tables above steps; processes compare it to know that their snapshot is old.
CREATE TABLE settings_version (
    only_row boolean NOT NULL DEFAULT true CHECK (only_row),
    version  bigint  NOT NULL,
    PRIMARY KEY (only_row)
);
INSERT INTO settings_version (version) VALUES (1);
