-- Requests of people about their data, and by when the law wants them answered (docs/privacy.md).

-- One row for each request. Serves GET /v1/privacy/requests and the look for those that fall due.
CREATE TABLE privacy_request (
    tenant_id    uuid        NOT NULL,
    request_id   uuid        NOT NULL,
    kind         text        NOT NULL CHECK (kind IN ('access', 'portability', 'erasure', 'rectification', 'restriction', 'objection',
                                                      'opt_out', 'information')),
    law          text        NOT NULL CHECK (law IN ('gdpr', 'ccpa', 'lgpd')),
    state        text        NOT NULL CHECK (state IN ('open', 'done', 'refused')),
    contact_id   uuid,                          -- whom; null: somebody nobody knows here, or who was erased since
    reference    sealed,                        -- of the case, as the requester says; emptied when the person is erased
    reason       sealed,                        -- why it takes longer, or was refused; emptied then too
    actor_id     uuid        NOT NULL,          -- the API key; nil: an operator
    erasure_id   uuid,                          -- what was begun for it
    received_at  timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    extended_at  timestamptz,                   -- once at most
    closed_at    timestamptz CHECK ((closed_at IS NULL) = (state = 'open')),
    PRIMARY KEY (tenant_id, request_id)
);
-- Few: what is open, by when it falls due.
CREATE INDEX privacy_request_due ON privacy_request (tenant_id, due_at) WHERE state = 'open';
-- Serves erasure.
CREATE INDEX privacy_request_by_contact ON privacy_request (tenant_id, contact_id) WHERE contact_id IS NOT NULL;
