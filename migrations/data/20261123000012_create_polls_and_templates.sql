-- What is asked of Meta regularly, and what it said last: the templates of an account, the state of a number.

-- One row for each thing that is asked. Whoever moves next_at to the end of its turn asks; a turn that was not finished is due
-- again. Serves the look for what is due, once a second, and the look for templates that were read anew.
CREATE TABLE poll (
    tenant_id uuid        NOT NULL,
    kind      text        NOT NULL CHECK (kind IN ('templates', 'number')),
    owner     text        NOT NULL,             -- Meta's id of the account, or the channel's id
    next_at   timestamptz NOT NULL,
    done_at   timestamptz,                      -- when it last succeeded
    failures  smallint    NOT NULL DEFAULT 0,   -- since then
    version   bigint      NOT NULL DEFAULT 0,   -- stepped by each success; processes compare it
    PRIMARY KEY (tenant_id, kind, owner)
) WITH (fillfactor = 50);

-- The templates of an account, as Meta listed them. Serves the check before sending, which reads them whole, and GET /v1/templates.
CREATE TABLE template (
    tenant_id   uuid        NOT NULL,
    template_id text        NOT NULL,           -- Meta's
    waba_id     text        NOT NULL,
    name        text        NOT NULL,
    language    text        NOT NULL,
    category    text        NOT NULL,
    status      text        NOT NULL,
    quality     text,
    content     sealed      NOT NULL,           -- components and the form of their parameters
    synced_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, template_id)
);
-- Serves the reading of one account's templates.
CREATE INDEX template_by_account ON template (tenant_id, waba_id, name, language);

-- What Meta says of a number: its name, quality, limits, health, and what its token may do. Serves GET /v1/channels/{id}/status.
CREATE TABLE channel_state (
    tenant_id  uuid        NOT NULL,
    channel_id uuid        NOT NULL,
    facts      sealed      NOT NULL,
    asked_at   timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, channel_id)
);
