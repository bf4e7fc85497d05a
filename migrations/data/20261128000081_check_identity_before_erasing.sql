-- Who asked for an erasure was looked at before it began: how, by whom (erasure.actor_id) and when. The note of it goes with the certificate.
SET LOCAL lock_timeout = '2s';

ALTER TABLE erasure
    ADD COLUMN identity text CHECK (identity IN ('chat', 'login', 'callback', 'document', 'in_person', 'known')), -- absent: nobody said
    ADD COLUMN identity_note sealed CHECK (identity_note IS NULL OR identity IS NOT NULL),
    ADD COLUMN identity_at timestamptz CHECK ((identity_at IS NULL) = (identity IS NULL));
