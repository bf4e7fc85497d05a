-- Restriction of processing (GDPR Art. 18), and consent for whatever purpose.
SET LOCAL lock_timeout = '2s';

-- People whose data are kept and not used: nothing of them is delivered or sent, and they are read by few. A row as long as it is in force.
-- Serves every reading, delivery and sending (in memory, with the settings), and GET /v1/privacy/restrictions.
CREATE TABLE restriction (
    tenant_id  uuid        NOT NULL,
    contact_id uuid        NOT NULL,
    reason     sealed      NOT NULL,
    actor_id   uuid        NOT NULL,            -- the API key that asked for it; nil: an operator
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, contact_id)
);

-- A purpose is any word of the operator's, and somebody may have said it elsewhere than to us. Serves PUT /v1/contacts/{id}/consent.
-- What is there was checked before, and holds: the new conditions are wider.
ALTER TABLE consent
    DROP CONSTRAINT consent_purpose_check,
    DROP CONSTRAINT consent_source_check,
    ADD COLUMN wording_version text CHECK (wording_version ~ '^[A-Za-z0-9._-]{1,40}$'), -- which wording was agreed to, by the operator's name for it
    ADD CONSTRAINT consent_purpose_check CHECK (purpose ~ '^[a-z][a-z0-9_]{0,39}$') NOT VALID,
    ADD CONSTRAINT consent_source_check CHECK (source IN ('keyword', 'meta', 'meta_error', 'api', 'web_form', 'email', 'phone', 'paper',
                                                          'in_person', 'import')) NOT VALID;
ALTER TABLE consent_proof ADD COLUMN wording_version text;
