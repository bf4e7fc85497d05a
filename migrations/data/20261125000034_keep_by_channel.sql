-- For how long a number keeps what is said through it, where that is shorter than for all; and what is kept until every endpoint has it.
SET LOCAL lock_timeout = '2s';

-- Read with the settings; serves every webhook and message. Words such as 'received:7' or 'statuses:delivered'; none: as for all.
ALTER TABLE channel
    ADD COLUMN retention text[] NOT NULL DEFAULT '{}';

-- Events whose content goes once no endpoint is owed it any more: written with the event, removed with the content. Serves the look for
-- what was acknowledged, in the order of the key.
CREATE TABLE passing (
    tenant_id  uuid NOT NULL,
    event_id   uuid NOT NULL,
    part_day   date NOT NULL,                   -- of the event
    contact_id uuid,                            -- of the event
    kept_on    date NOT NULL,                   -- the day that its key is named after
    PRIMARY KEY (tenant_id, event_id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
-- Serves the forgetting of keys: does anything still wait under the key of this person and day?
CREATE INDEX passing_by_key ON passing (tenant_id, kept_on, contact_id);
