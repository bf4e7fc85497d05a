-- What is asked before a message is sent: may anything but a template be sent to this person now, and do they want marketing at all.

-- Until when Meta takes free-form messages to a contact through a channel: 24 hours from their last message or call, by Meta's time.
-- One row for each contact and channel, written with the events that open it and never by others; the later end wins, so that
-- neither order nor repetition matters. Serves the check before sending and GET /v1/contacts/{id}/window.
CREATE TABLE service_window (
    tenant_id    uuid        NOT NULL,
    contact_id   uuid        NOT NULL,
    channel_id   uuid        NOT NULL,
    closes_at    timestamptz NOT NULL,
    closing_hour timestamptz NOT NULL,          -- closes_at without its minutes: changes rarely, so that most updates touch no index
    told_of      timestamptz,                   -- the closes_at that window.closing told of
    PRIMARY KEY (tenant_id, contact_id, channel_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- Serves window.closing: what closes within the next hours, of all tenants.
CREATE INDEX service_window_by_hour ON service_window (closing_hour);

-- Who allowed or forbade what, when and how. Append-only: the newest of a contact, for the channel or for all of them, counts.
-- Serves the check before marketing is sent and GET /v1/contacts/{id}/consent.
CREATE TABLE consent (
    tenant_id   uuid        NOT NULL,
    contact_id  uuid        NOT NULL,
    consent_id  uuid        NOT NULL,
    channel_id  uuid,                           -- absent: all channels
    purpose     text        NOT NULL CHECK (purpose IN ('marketing')),
    state       text        NOT NULL CHECK (state IN ('granted', 'withdrawn')),
    source      text        NOT NULL CHECK (source IN ('keyword', 'meta', 'meta_error', 'api')),
    wording     sealed,                         -- what the person agreed to, as the application says
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, contact_id, consent_id)
);
