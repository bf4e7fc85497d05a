-- Who was told what becomes of their data (GDPR Art. 13): once for each person and version of the text (docs/privacy.md). Serves the look for
-- people who wrote and were not told yet, and exports.
CREATE TABLE notice (
    tenant_id  uuid        NOT NULL,
    contact_id uuid        NOT NULL,
    version    text        NOT NULL,            -- the operator's name for the text
    state      text        NOT NULL CHECK (state IN ('sent', 'refused')),
    message_id uuid        CHECK ((message_id IS NULL) = (state = 'refused')),
    told_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, contact_id, version)
);
