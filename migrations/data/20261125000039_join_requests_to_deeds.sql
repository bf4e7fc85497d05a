-- What was done for the requests of people (docs/privacy.md): the exports, holds, restrictions and corrections that a request led to.
-- Erasures stand in the request itself, because it ends with one.

-- One row for each deed, made in the commit of the deed. Serves GET /v1/privacy/requests.
CREATE TABLE privacy_request_deed (
    tenant_id  uuid        NOT NULL,
    request_id uuid        NOT NULL,
    deed       text        NOT NULL CHECK (deed IN ('export', 'hold', 'restriction', 'rectification')),
    deed_id    uuid        NOT NULL,            -- of the export or the hold; else of the entry in the audit log
    done_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id, deed_id)
);
-- Serves who fetched an export: which request is answered with it?
CREATE INDEX privacy_request_deed_by_id ON privacy_request_deed (tenant_id, deed_id);
