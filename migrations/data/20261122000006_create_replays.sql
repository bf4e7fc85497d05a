-- Replays: events of the past that an endpoint is owed once more. One that is running has a lane of its own (kind 3); its row holds
-- how far it has come, and is locked while it goes a step further, so that no event is passed over or owed twice.

CREATE TABLE replay (
    tenant_id   uuid        NOT NULL,
    replay_id   uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('running', 'done', 'cancelled', 'failed')),
    event_ids   uuid[],                         -- these and no span; done as soon as it is made
    since       timestamptz,                    -- of event.received_at
    until       timestamptz CHECK ((since IS NULL) = (until IS NULL) AND (since IS NULL) = (event_ids IS NOT NULL)),
    event_types text[]      NOT NULL,           -- empty: all that the endpoint asks for
    channel_ids uuid[]      NOT NULL,           -- empty: all that the endpoint asks for
    contact_id  uuid,                           -- absent: everybody
    end_xid     xid8        NOT NULL,           -- what was stored from here on is owed anyway
    at_xid      xid8,                           -- the place reached in event_in_commit_order; absent: not begun
    at_event    uuid        CHECK ((at_event IS NULL) = (at_xid IS NULL)),
    counted     bigint      NOT NULL DEFAULT 0, -- events found so far
    inserted    bigint      NOT NULL DEFAULT 0, -- of these, were not waiting already
    created_at  timestamptz NOT NULL,
    ended_at    timestamptz CHECK ((ended_at IS NULL) = (state = 'running')),
    PRIMARY KEY (tenant_id, replay_id)
);
-- Serves the list of an endpoint's replays, newest first, and their removal with it.
CREATE INDEX replay_by_endpoint ON replay (tenant_id, endpoint_id, replay_id);
