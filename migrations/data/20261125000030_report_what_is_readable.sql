-- What a process says that it can read, before others write it. "Which living process cannot read this yet?" looks at the whole table, which
-- has a row for each process.
ALTER TABLE worker
    ADD COLUMN reads text[];                    -- words; null: of a release that says nothing
