-- Who asks for their data in the chat may get a link to them there (privacy.in_chat_exports).
SET LOCAL lock_timeout = '2s';

-- state: also making (the archive is being made) and ready (it is there, and they are to be told), between answered and done.
-- What is there was checked before, and holds: the new condition is wider.
ALTER TABLE in_chat
    DROP CONSTRAINT in_chat_state_check,
    ADD CONSTRAINT in_chat_state_check
        CHECK (state IN ('asked', 'told', 'confirmed', 'answered', 'making', 'ready', 'done')) NOT VALID;
-- Serves the look, once a second, for those who wait for something; in the place of the one of before, which knew fewer states.
CREATE INDEX in_chat_to_do ON in_chat (state, changed_at) WHERE state NOT IN ('told', 'done');
DROP INDEX in_chat_waiting;
