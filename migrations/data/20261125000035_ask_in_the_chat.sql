-- What people ask about their data in the chat, by a word, and confirm by a code.

-- state: asked (is to be asked back), told (was asked back), confirmed (is to be answered), answered (is to be done), done. The id is that of the
-- request and the erasure which it becomes. The code is made of the id by a key, and stands nowhere.
CREATE TABLE in_chat (
    tenant_id  uuid        NOT NULL,
    in_chat_id uuid        NOT NULL,
    contact_id uuid        NOT NULL,
    channel_id uuid        NOT NULL,
    wish       text        NOT NULL CHECK (wish IN ('erasure', 'portability', 'access')),
    language   text        NOT NULL CHECK (language IN ('de', 'en', 'es', 'pt')),
    state      text        NOT NULL CHECK (state IN ('asked', 'told', 'confirmed', 'answered', 'done')),
    message_id uuid,                            -- the last message to them
    asked_at   timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,            -- of the code
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, in_chat_id)
);
-- Serves the way in: what may this person confirm? One thing at a time.
CREATE UNIQUE INDEX in_chat_open ON in_chat (tenant_id, contact_id) WHERE state IN ('asked', 'told');
-- Serves the look, once a second, for those who wait for something.
CREATE INDEX in_chat_waiting ON in_chat (state, changed_at) WHERE state IN ('asked', 'confirmed', 'answered');
