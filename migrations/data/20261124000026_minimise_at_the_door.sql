-- What of people's data is left out of what Meta sends to a number, before it is stored.
SET LOCAL lock_timeout = '2s';

-- Read with the settings; serves every webhook that comes in. Words such as 'names:drop'; none: everything is kept.
ALTER TABLE channel
    ADD COLUMN minimise text[] NOT NULL DEFAULT '{}'
        CHECK (minimise <@ ARRAY['names:drop', 'names:hash', 'locations:drop', 'locations:hash', 'contacts:drop', 'contacts:hash',
                                 'referrals:drop', 'referrals:hash']);
