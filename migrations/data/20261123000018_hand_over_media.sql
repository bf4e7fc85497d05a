-- Files that applications hand over to be sent, beside those that people send; and what a channel does with the latter.
SET LOCAL lock_timeout = '2s';

-- Serves every message that comes with a file: fetched and kept, passed through when somebody asks for it, or left at Meta.
ALTER TABLE channel
    ADD COLUMN media_mode text NOT NULL DEFAULT 'store' CHECK (media_mode IN ('store', 'proxy', 'never'));

-- A file that is handed over stands here before it lies in the object store, as 'arriving', so that nothing lies there that no row
-- knows. One that is being deleted stays until nothing of it is left, here or at Meta.
ALTER TABLE media
    ALTER COLUMN channel_id DROP NOT NULL,      -- absent: may be sent through every channel
    ADD COLUMN direction text NOT NULL DEFAULT 'in' CHECK (direction IN ('in', 'out')),
    ADD COLUMN kind text CHECK (kind IN ('image', 'sticker', 'audio', 'video', 'document')), -- as Meta tells its limits; absent: of none
    DROP CONSTRAINT media_state_check,
    ADD CONSTRAINT media_state_check CHECK (state IN ('arriving', 'stored', 'deleting', 'lost')),
    DROP CONSTRAINT media_reason_check,
    ADD CONSTRAINT media_reason_check
        CHECK (reason IN ('gone', 'too_old', 'too_large', 'damaged', 'erased', 'unreadable', 'deleted'));
-- Serves the sweep of what somebody began and did not live to finish.
CREATE INDEX media_unfinished ON media (state, settled_at) WHERE state IN ('arriving', 'deleting');

-- Serves erasure: files about a person, whichever event or request brought them.
CREATE INDEX media_by_contact ON media (tenant_id, contact_id) WHERE contact_id IS NOT NULL;

-- Where a file was uploaded at Meta: once for each channel, until Meta forgets it. Serves the lane that sends, and deletion.
CREATE TABLE media_at_meta (
    tenant_id  uuid        NOT NULL,
    media_id   uuid        NOT NULL,
    channel_id uuid        NOT NULL,
    meta_id    sealed      NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, media_id, channel_id)
);
